package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers Prometheus' scrapes of a router. docs/metering.md has the names.
func Handler(s Source) http.Handler {
	return promhttp.HandlerFor(registry(s), promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

func registry(s Source) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// collector makes metrics of a snapshot, anew for each scrape: what has gone is not shown any more. Which metrics there are follows from the
// snapshot, so it is an unchecked collector and describes none.
type collector struct{ source Source }

// Describe is part of prometheus.Collector.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.source.Snapshot()
	out <- prometheus.MustNewConstMetric(containersDesc, prometheus.GaugeValue, float64(len(s.Containers)))
	seen := make(map[[2]string]bool)
	for _, one := range s.Containers {
		if name := [2]string{one.Network, one.Name}; !seen[name] { // of one that starts as another ends, the first
			seen[name] = true
			collectContainer(one, out)
		}
	}
	collectCounters(s.Counters, out)
}

var containersDesc = prometheus.NewDesc("freeflow_containers", "Containers on this host.", nil, nil)
