package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// The virtual NIC of each container under the names that hosts with a real one know: those of node_exporter's collector
// "infiniband", and of `rdma statistic` as Soft-RoCE has it. Only what means the same is here.

// Every container's device has this name.
const (
	device = "rxe0"
	port   = "1"
)

var (
	deviceLabels = []string{"device", "port", "network", "container", "tenant"}
	linkLabels   = []string{"link", "network", "container", "tenant"}
)

func deviceDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("node_infiniband_"+name, help, deviceLabels, nil)
}

var deviceSeries = []series{
	{desc: deviceDesc("port_data_transmitted_bytes_total", "Number of data octets transmitted on all links"), number: float((*pb.Counters).GetTxBytes)},
	{desc: deviceDesc("port_data_received_bytes_total", "Number of data octets received on all links"), number: float((*pb.Counters).GetRxBytes)},
	{desc: deviceDesc("port_packets_transmitted_total", "Number of packets transmitted on all VLs by this port (including errors)"), number: float((*pb.Counters).GetTxPackets)},
	{desc: deviceDesc("port_packets_received_total", "Number of packets received on all VLs by this port (including errors)"), number: float((*pb.Counters).GetRxPackets)},
}

func float(f func(*pb.Counters) uint64) func(*pb.Counters) float64 {
	return func(c *pb.Counters) float64 { return float64(f(c)) }
}

// statistic is a counter of `rdma statistic`: from the router's own count of that name, or from what means the same.
type statistic struct {
	name string
	desc *prometheus.Desc
	same func(*pb.Counters) uint64 // nil: nothing does
}

func stat(name, help string, same func(*pb.Counters) uint64) statistic {
	return statistic{name, prometheus.NewDesc("freeflow_rdma_"+name+"_total", help, linkLabels, nil), same}
}

// statistics are those of rxe, in its order.
var statistics = []statistic{
	stat("sent_pkts", "Packets sent.", (*pb.Counters).GetTxPackets),
	stat("rcvd_pkts", "Packets received.", (*pb.Counters).GetRxPackets),
	stat("duplicate_request", "Requests that had been there before.", (*pb.Counters).GetDuplicates),
	stat("out_of_seq_request", "Requests that came out of sequence.", (*pb.Counters).GetSequenceErrors),
	stat("rcvd_rnr_err", "Receiver not ready: answers received.", (*pb.Counters).GetRnrWaits),
	stat("send_rnr_err", "Receiver not ready: answers sent.", nil),
	stat("rcvd_seq_err", "Negative acknowledgements for sequence errors received.", nil),
	stat("ack_deferred", "Acknowledgements that were deferred.", nil),
	stat("retry_exceeded_err", "Connections that ended because retries ran out.", func(c *pb.Counters) uint64 { return c.Errors["RETRY_EXC_ERR"] }),
	stat("retry_rnr_exceeded_err", "Connections that ended because the receiver was never ready.", func(c *pb.Counters) uint64 { return c.Errors["RNR_RETRY_EXC_ERR"] }),
	stat("completer_retry_err", "Retries of the completer.", nil),
	stat("send_err", "Packets that could not be sent.", nil),
	stat("link_downed", "Times that the link went down.", nil),
	stat("rdma_sends", "SENDs.", func(c *pb.Counters) uint64 {
		return c.Operations["send"] + c.Operations["send_imm"] + c.Operations["send_inv"]
	}),
	stat("rdma_recvs", "Receives.", nil),
}

func collectDevice(c Container, counters *pb.Counters, out chan<- prometheus.Metric) {
	for _, s := range deviceSeries {
		out <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, s.number(counters), device, port, c.Network, c.Name, c.Tenant)
	}
	for _, s := range statistics {
		n, known := counters.Rdma[s.name]
		if !known && s.same == nil {
			continue
		}
		if !known {
			n = s.same(counters)
		}
		out <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, float64(n), device+"/"+port, c.Network, c.Name, c.Tenant)
	}
}
