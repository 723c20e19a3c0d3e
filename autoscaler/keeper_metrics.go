package autoscaler

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics shows a keeper to Prometheus, as it is when it is asked: what is gone has no series.
type metrics struct {
	keeper *Keeper
	took   prometheus.Histogram

	wanted, moves, services, missing *prometheus.Desc

	mu    sync.Mutex
	seen  []Observed          // as the last tick saw them
	count map[string]*counted // by service
}

// counted is how often a service's number of routes was changed.
type counted struct{ up, down int }

func newMetrics(k *Keeper) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("palisade_autoscaler_"+name, help, labels, nil)
	}
	return &metrics{
		keeper: k,
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "palisade_autoscaler_tick_seconds", Help: "Duration of one look at all services, with what was done for them.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		wanted:   desc("wanted_replicas", "Routes that a service is to have, by who says so: autoscaler or person.", "service", "by"),
		moves:    desc("scalings_total", "How often the autoscaler changed a service's number of routes: up or down.", "service", "direction"),
		services: desc("services", "Services that have a policy of autoscaling: on, paused by a person's number of routes, or off.", "state"),
		missing:  desc("signals_missing", "Metrics of a service's rules that tell nothing.", "service"),
		count:    map[string]*counted{},
	}
}

// saw takes in what services there are.
func (m *metrics) saw(services []Observed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = services
	count := make(map[string]*counted, len(m.count))
	for i := range services {
		if c := m.count[services[i].ID]; c != nil {
			count[services[i].ID] = c
		}
	}
	m.count = count
}

// moved takes in that the number of routes of a service that has been seen is another.
func (m *metrics) moved(o *Observed, to int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.count[o.ID]
	if c == nil {
		c = &counted{}
		m.count[o.ID] = c
	}
	if to > o.Replicas {
		c.up++
	} else {
		c.down++
	}
}

// ticked takes in how long a tick took that began then.
func (m *metrics) ticked(begun time.Time) { m.took.Observe(time.Since(begun).Seconds()) }

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.wanted, m.moves, m.services, m.missing} {
		out <- d
	}
	m.took.Describe(out)
}

// Collect implements prometheus.Collector. Services of one name, in several projects, are counted together.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	seen, count := m.seen, make(map[string]counted, len(m.count))
	for id, c := range m.count {
		count[id] = *c
	}
	m.mu.Unlock()
	wanted, moves, missing := map[[2]string]int{}, map[[2]string]int{}, map[string]int{}
	states := map[string]int{"on": 0, "paused": 0, "off": 0}
	for i := range seen {
		o := &seen[i]
		state := m.keeper.state(o)
		by := "person"
		if state == "on" {
			by = "autoscaler"
		}
		wanted[[2]string{o.Name, by}] += o.Replicas
		if state == "" {
			continue
		}
		states[state]++
		moves[[2]string{o.Name, "up"}] += count[o.ID].up
		moves[[2]string{o.Name, "down"}] += count[o.ID].down
		missing[o.Name] += 0 // shown where none is missing too
		for _, s := range m.keeper.signals.Status(o.ID) {
			if s.Missing != "" {
				missing[o.Name]++
			}
		}
	}
	show := func(desc *prometheus.Desc, kind prometheus.ValueType, value int, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, float64(value), labels...)
	}
	for of, n := range wanted {
		show(m.wanted, prometheus.GaugeValue, n, of[:]...)
	}
	for of, n := range moves {
		show(m.moves, prometheus.CounterValue, n, of[:]...)
	}
	for of, n := range missing {
		show(m.missing, prometheus.GaugeValue, n, of)
	}
	for state, n := range states {
		show(m.services, prometheus.GaugeValue, n, state)
	}
	m.took.Collect(out)
}

// state is how a service's policy stands: on, paused or off; "" where it has none.
func (k *Keeper) state(o *Observed) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[o.ID]
	switch {
	case s == nil:
		return ""
	case !s.Policy.On():
		return "off"
	case s.pausedBy(o.ScaledBy, o.ScaledAt):
		return "paused"
	}
	return "on"
}
