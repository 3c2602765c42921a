package rows

import (
	"slices"
	"strings"
)

// Perftest are rows of perftest with RDMA-CM (-R); there is no UC with it. Its client makes a second connection, which the server may not
// listen for yet: then the client is rejected and falls.
func Perftest() (all []Row) {
	for _, command := range []string{
		"ib_send_bw -s 4096 -n 50", "ib_send_bw -s 65536 -n 50", "ib_write_bw -s 4096 -n 50", "ib_read_bw -s 4096 -n 50",
		"ib_send_lat -s 64 -n 50", "ib_write_lat -s 64 -n 50", "ib_read_lat -s 64 -n 50", "ib_atomic_bw -n 50",
		"ib_send_bw -c UD -s 512 -n 50", "ib_send_lat -c UD -s 512 -n 50",
		"ib_send_bw -q 4 -s 4096 -n 50", "ib_write_bw -z -s 4096 -n 50", "ib_send_bw -e -s 4096 -n 50", "ib_write_bw -b -s 4096 -n 50",
	} {
		r := same(strings.Replace(command, " ", " -R -F ", 1), "", perfPort)
		r.Says = []string{"rdma_cm QPs\t : ON"}
		r.Again = []string{"Event: RDMA_CM_EVENT_REJECTED; error: 8", "Event: RDMA_CM_EVENT_UNREACHABLE; error: 1", "Can't produce a report", " inf "}
		r.Dispensable = !slices.Contains([]string{"ib_send_bw -s 4096 -n 50", "ib_write_bw -s 4096 -n 50", "ib_read_bw -s 4096 -n 50",
			"ib_send_lat -c UD -s 512 -n 50", "ib_send_bw -q 4 -s 4096 -n 50"}, command)
		all = append(all, r)
	}
	return all
}

// Qperf are rows of qperf with RDMA-CM (-cm1), which it has for RC only. Its two sides meet over TCP first, at the same address; there the server
// names a port that it listens on a moment later.
func Qperf() (all []Row) {
	for _, test := range []string{"rc_rdma_write_bw", "rc_rdma_read_bw", "rc_bw", "rc_lat", "rc_bi_bw", "rc_rdma_read_lat", "rc_rdma_write_lat",
		"rc_rdma_write_poll_lat", "rc_compare_swap_mr", "rc_fetch_add_mr", "ver_rc_compare_swap", "ver_rc_fetch_add"} {
		all = append(all, Row{
			Name: "qperf -cm1 " + test, Server: "exec qperf", Client: "exec qperf -cm1 -t 1 $SERVER " + test, TCP: qperfPort, Stays: true, OwnTCP: true,
			Says: []string{test + ":"}, Never: []string{"failed", "error"}, Again: []string{"unexpected event from RDMA CM: Event rejected"},
			Dispensable: !slices.Contains([]string{"rc_rdma_write_bw", "rc_lat", "ver_rc_fetch_add"}, test),
		})
	}
	return all
}
