package sessions

import "github.com/prometheus/client_golang/prometheus"

// metrics of this room.
type metrics struct {
	probes    *prometheus.CounterVec
	decisions *prometheus.CounterVec
	sessions  *prometheus.GaugeVec
	routes    *prometheus.GaugeVec
	pass      prometheus.Histogram
	placement prometheus.Histogram
	waiting   prometheus.Gauge
	load      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "palisade_probes_total", Help: "Health probes by result (pass, fail).",
		}, []string{"result"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "palisade_decisions_total", Help: "What the plan of services decided, by kind.",
		}, []string{"kind"}),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "palisade_sessions", Help: "Sessions that have not ended, by status.",
		}, []string{"status"}),
		routes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "palisade_service_routes", Help: "Routes of a service by status.",
		}, []string{"service", "status"}),
		pass: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "palisade_decision_pass_seconds", Help: "Duration of one look at what has changed, or every ten seconds at everything, and of what is done about it.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
	}
	m.placement = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "palisade_placement_pass_seconds", Help: "Duration of one decision about the sessions that wait.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
	})
	m.waiting = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "palisade_sessions_waiting", Help: "Sessions that wait for a place.",
	})
	m.load = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "palisade_route_load_seconds", Help: "Time from the start of a route to its first passing probe.",
		Buckets: prometheus.ExponentialBuckets(0.25, 2, 14),
	})
	if reg != nil {
		reg.MustRegister(m.probes, m.decisions, m.sessions, m.routes, m.pass, m.placement, m.waiting, m.load)
	}
	return m
}

func (m *metrics) probed(ok bool) {
	if ok {
		m.probes.WithLabelValues("pass").Inc()
	} else {
		m.probes.WithLabelValues("fail").Inc()
	}
}
