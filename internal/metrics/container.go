package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// containerLabels say which container a metric is of.
var containerLabels = []string{"network", "container", "tenant"}

// series is a metric of a container: one number, or one for each name of a family.
type series struct {
	desc   *prometheus.Desc
	number func(*pb.Counters) float64
	family func(*pb.Counters) map[string]uint64
}

func number(name, help string, f func(*pb.Counters) uint64) series {
	return series{desc: prometheus.NewDesc("freeflow_container_"+name, help, containerLabels, nil), number: func(c *pb.Counters) float64 { return float64(f(c)) }}
}

func family(name, label, help string, f func(*pb.Counters) map[string]uint64) series {
	labels := append(append([]string(nil), containerLabels...), label)
	return series{desc: prometheus.NewDesc("freeflow_container_"+name, help, labels, nil), family: f}
}

// containerSeries are the metrics of a container; docs/metering.md tells the same.
var containerSeries = []series{
	number("transmitted_bytes_total", "Payload that the container's programs have sent.", (*pb.Counters).GetTxBytes),
	number("received_bytes_total", "Payload that they have received.", (*pb.Counters).GetRxBytes),
	number("transmitted_messages_total", "Messages sent.", (*pb.Counters).GetTxMessages),
	number("received_messages_total", "Messages received.", (*pb.Counters).GetRxMessages),
	number("transmitted_packets_total", "Packets sent to other hosts.", (*pb.Counters).GetTxPackets),
	number("received_packets_total", "Packets received from other hosts.", (*pb.Counters).GetRxPackets),
	number("rnr_waits_total", "Times that a sender waited because the receiver was not ready.", (*pb.Counters).GetRnrWaits),
	number("retransmitted_packets_total", "Packets sent again.", (*pb.Counters).GetRetransmits),
	number("timeouts_total", "Timers that ran out before an acknowledgement.", (*pb.Counters).GetTimeouts),
	number("sequence_errors_total", "Packets that came out of sequence.", (*pb.Counters).GetSequenceErrors),
	number("duplicate_packets_total", "Packets that had been there before.", (*pb.Counters).GetDuplicates),
	number("congestion_notifications_sent_total", "Congestion notifications sent.", (*pb.Counters).GetCnpsSent),
	number("congestion_notifications_received_total", "Congestion notifications received.", (*pb.Counters).GetCnpsReceived),
	number("refused_total", "Connections and datagrams that an access policy has stopped.", (*pb.Counters).GetRefused),
	{
		desc:   prometheus.NewDesc("freeflow_container_rate_limited_seconds_total", "Time that work waited for a rate limit.", containerLabels, nil),
		number: func(c *pb.Counters) float64 { return float64(c.LimitedNs) / 1e9 },
	},
	family("operations_total", "operation", "Operations by type.", (*pb.Counters).GetOperations),
	family("completion_errors_total", "status", "Work completed in error, by status.", (*pb.Counters).GetErrors),
	family("dropped_total", "reason", "What came and was dropped, by reason.", (*pb.Counters).GetDrops),
	family("quota_denied_total", "resource", "Objects that were not made because of a quota.", (*pb.Counters).GetDenied),
}

// Resources that are bytes have metrics of their own: a metric has one unit.
const bytesResource = "mrBytes"

var (
	objectsDesc = prometheus.NewDesc("freeflow_container_objects", "Objects that there are, by resource.",
		[]string{"network", "container", "tenant", "resource"}, nil)
	quotaDesc = prometheus.NewDesc("freeflow_container_objects_quota", "The most objects that there may be, by resource.",
		[]string{"network", "container", "tenant", "resource"}, nil)
	registeredDesc      = prometheus.NewDesc("freeflow_container_registered_bytes", "Memory that is registered.", containerLabels, nil)
	registeredQuotaDesc = prometheus.NewDesc("freeflow_container_registered_quota_bytes", "The most memory that may be registered.", containerLabels, nil)
	startedDesc         = prometheus.NewDesc("freeflow_container_start_time_seconds", "When the container started, in seconds since 1970.", containerLabels, nil)
	infoDesc            = prometheus.NewDesc("freeflow_container_info", "What holds for the container; always 1.",
		[]string{"network", "container", "tenant", "class", "mode", "limit"}, nil)
)

func collectContainer(c Container, out chan<- prometheus.Metric) {
	labels := []string{c.Network, c.Name, c.Tenant}
	counters := c.Counters
	if counters == nil {
		counters = &pb.Counters{}
	}
	for _, s := range containerSeries {
		if s.number != nil {
			out <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, s.number(counters), labels...)
			continue
		}
		for name, n := range trim(s.family(counters)) {
			out <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, float64(n), append(labels, name)...)
		}
	}
	gauges(c.Objects, objectsDesc, registeredDesc, labels, out)
	gauges(c.Quota, quotaDesc, registeredQuotaDesc, labels, out)
	if !c.Started.IsZero() {
		out <- prometheus.MustNewConstMetric(startedDesc, prometheus.GaugeValue, float64(c.Started.UnixNano())/1e9, labels...)
	}
	out <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, append(labels, c.Class, c.Mode, c.Limit)...)
	collectDevice(c, counters, out)
}

func gauges(m map[string]uint64, many, bytes *prometheus.Desc, labels []string, out chan<- prometheus.Metric) {
	for name, n := range trim(m) {
		if name == bytesResource {
			out <- prometheus.MustNewConstMetric(bytes, prometheus.GaugeValue, float64(n), labels...)
		} else {
			out <- prometheus.MustNewConstMetric(many, prometheus.GaugeValue, float64(n), append(labels, name)...)
		}
	}
}
