package install

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of installs.
type metrics struct {
	running  prometheus.Gauge
	models   prometheus.Gauge
	bytes    prometheus.Gauge
	installs *prometheus.CounterVec // by kind and how they ended
	steps    *prometheus.HistogramVec
	fetched  prometheus.Counter
	freed    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		running:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "palisade_installs_running", Help: "Installs, updates and roll-backs of models that are under way."}),
		models:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "palisade_models", Help: "Models that are installed."}),
		bytes:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "palisade_models_bytes", Help: "Bytes of all models' files, each content once."}),
		installs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palisade_installs_total", Help: "Installs that have ended, by kind and status."}, []string{"kind", "status"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "palisade_install_step_seconds", Help: "How long the steps of installs took.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 9),
		}, []string{"step"}),
		fetched: prometheus.NewCounter(prometheus.CounterOpts{Name: "palisade_install_fetched_bytes_total", Help: "Bytes of models that were fetched."}),
		freed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "palisade_install_freed_bytes_total", Help: "Bytes that were deleted because no model had them any more."}),
	}
	reg.MustRegister(m.running, m.models, m.bytes, m.installs, m.steps, m.fetched, m.freed)
	return m
}

// set follows what there is. The caller holds the manager's mu.
func (m *metrics) set(jobs map[string]*job, models map[string]*Model) {
	running := 0
	for _, j := range jobs {
		if j.Status == Running {
			running++
		}
	}
	seen, bytes := map[string]bool{}, int64(0)
	for _, model := range models {
		for _, r := range model.Revisions {
			for _, f := range r.Files {
				if !seen[f.SHA256] {
					seen[f.SHA256] = true
					bytes += f.Bytes
				}
			}
		}
	}
	m.running.Set(float64(running))
	m.models.Set(float64(len(models)))
	m.bytes.Set(float64(bytes))
}

func (m *metrics) step(s Step, took time.Duration) {
	m.steps.WithLabelValues(string(s)).Observe(took.Seconds())
}

func (m *metrics) ended(k Kind, s Status) {
	m.installs.WithLabelValues(string(k), string(s)).Inc()
}
