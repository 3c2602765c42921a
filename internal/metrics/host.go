package metrics

import (
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// group says what the metrics of a counter group are called. A group that begins with a word of the table has the rest of its name in a label:
// "worker core0" is worker="core0", "geneve 192.0.2.1:6081" is port="geneve 192.0.2.1:6081".
type group struct{ prefix, label, value string }

func groupOf(name string) group {
	first, rest, several := strings.Cut(name, " ")
	switch {
	case first == "geneve" || first == "plain":
		return group{"port", "port", name}
	case several:
		return group{plainName(first), plainName(first), rest}
	}
	return group{prefix: plainName(first)}
}

// states are counters that are none, but what is so now; the value is what is added to the name.
var states = map[string]string{
	"feature_segments": "", "feature_gro": "", "feature_steering": "", "receive_buffer": "_bytes", "send_buffer": "_bytes",
}

var notInNames = regexp.MustCompile(`[^a-z0-9_]+`)

func plainName(s string) string { return notInNames.ReplaceAllString(strings.ToLower(s), "_") }

// metricName is what a counter of a group is called.
func metricName(g group, name string) (full string, kind prometheus.ValueType) {
	name = plainName(name)
	if unit, ok := states[name]; ok {
		return "freeflow_" + g.prefix + "_" + name + unit, prometheus.GaugeValue
	}
	// "send_calls", "sent_bytes": the unit is last already.
	return "freeflow_" + g.prefix + "_" + name + "_total", prometheus.CounterValue
}

func collectCounters(rows []Counter, out chan<- prometheus.Metric) {
	for _, row := range rows {
		g := groupOf(row.Group)
		full, kind := metricName(g, row.Name)
		var labels, values []string
		if g.label != "" {
			labels, values = []string{g.label}, []string{g.value}
		}
		desc := prometheus.NewDesc(full, "Of the router: "+row.Name+" of "+g.prefix+", as in docs/counters.md.", labels, nil)
		out <- prometheus.MustNewConstMetric(desc, kind, float64(row.Value), values...)
	}
}
