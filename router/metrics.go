package router

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// kind of a call, a label of few values.
type kind uint8

const (
	kindOther kind = iota
	kindChat
	kindCompletions
	kindResponses
	kindMessages
	kindEmbeddings
	kindRerank
	kindAudio
	kindImages
	kindGRPC
	kindUpgrade
	kinds
)

var kindNames = [kinds]string{"other", "chat", "completions", "responses", "messages", "embeddings", "rerank", "audio", "images", "grpc", "upgrade"}

// kindOf tells what sort of call an engine's path is.
func kindOf(path string) kind {
	switch rest := strings.TrimPrefix(strings.TrimPrefix(path, "/v1"), "/v2"); {
	case rest == "/chat/completions":
		return kindChat
	case rest == "/completions":
		return kindCompletions
	case rest == "/responses" || strings.HasPrefix(rest, "/responses/"):
		return kindResponses
	case rest == "/messages" || strings.HasPrefix(rest, "/messages/"):
		return kindMessages
	case rest == "/embeddings":
		return kindEmbeddings
	case rest == "/rerank" || rest == "/score":
		return kindRerank
	case strings.HasPrefix(rest, "/audio/"):
		return kindAudio
	case strings.HasPrefix(rest, "/images/"):
		return kindImages
	}
	return kindOther
}

// counts tells whether answers to such a call say what they used.
func (k kind) counts() bool {
	return k != kindOther && k != kindUpgrade && k != kindGRPC && k != kindImages && k != kindAudio
}

// The classes of answers: of the status, or of what happened instead of one.
var classNames = [...]string{"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"}

const classAborted = 0 // the client went before the answer was complete

func classOf(status int) int { return min(max(status/100, 1), 5) }

// metrics are the router's counters. Labels are names of services in the table and words of this file.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	ttft       *prometheus.HistogramVec
	faults     *prometheus.CounterVec
	retries    *prometheus.CounterVec
	refused    *prometheus.CounterVec
	tokens     *prometheus.CounterVec
	limited    *prometheus.CounterVec
	held       *prometheus.HistogramVec
	swaps      prometheus.Counter
	waitingNow *prometheus.Desc
	flyingNow  *prometheus.Desc
	routesNow  *prometheus.Desc
}

// from the 5 ms of an embedding to the 10 minutes of a long answer
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "palisade_router_" + name, Help: help}, labels)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "palisade_router_" + name, Help: help, Buckets: buckets}, []string{"service"})
	}
	m := &metrics{
		requests: counter("requests_total", "Requests that reached a service, by kind of call and class of status.", "service", "kind", "code"),
		duration: histogram("request_duration_seconds", "Time from a request's arrival to the end of its answer, where there was one. Upgraded connections are not in it."),
		ttft:     histogram("ttft_seconds", "Time from a request's arrival to the first bytes of a streamed answer."),
		faults:   counter("upstream_errors_total", "What went wrong with routes.", "service", "kind"),
		retries:  counter("retries_total", "Requests given to another route, by what the first one did.", "service", "reason"),
		refused:  counter("refused_total", "Requests that reached no route, by the error's code.", "code"),
		swaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "palisade_router_table_swaps_total", Help: "Tables of services and routes that were put in force.",
		}),
		flyingNow: prometheus.NewDesc("palisade_router_requests_in_flight", "Requests being answered.", []string{"service"}, nil),
		routesNow: prometheus.NewDesc("palisade_router_routes", "Routes by what they may get: ready, avoided (connections failed), off (weight 0), draining, lost (its box is silent).", []string{"service", "state"}, nil),
	}
	m.tokens = counter("tokens_total", "Tokens that engines said they used, or events of streams where they said nothing: prompt, of those cached, completion.", "service", "kind")
	m.limited = counter("limited_total", "Requests that a limit of their token or project kept out, by the limit.", "service", "limit")
	m.held = histogram("held_seconds", "Time that requests waited for a route, of those that waited.")
	m.waitingNow = prometheus.NewDesc("palisade_router_requests_waiting", "Requests that wait for a route.", []string{"service"}, nil)
	reg.MustRegister(m.tokens, m.limited, m.held, m.requests, m.duration, m.ttft, m.faults, m.retries, m.refused, m.swaps)
	return m
}

// serviceMetrics are the counters of one service, found once.
type serviceMetrics struct {
	all                        *metrics
	name                       string
	gone                       atomic.Bool // out of the table: nothing may bring its series back
	duration                   prometheus.Observer
	ttft                       prometheus.Observer
	held                       prometheus.Observer
	prompt, cached, completion prometheus.Counter
	requests                   [kinds][len(classNames)]atomic.Pointer[prometheus.Counter]
}

func (m *metrics) service(name string) *serviceMetrics {
	return &serviceMetrics{
		all: m, name: name,
		duration: m.duration.WithLabelValues(name), ttft: m.ttft.WithLabelValues(name), held: m.held.WithLabelValues(name),
		prompt: m.tokens.WithLabelValues(name, "prompt"), cached: m.tokens.WithLabelValues(name, "cached"), completion: m.tokens.WithLabelValues(name, "completion"),
	}
}

// forget drops the series of a service that is gone, unless they are shared with one of the same name.
func (s *serviceMetrics) forget(shared bool) {
	s.gone.Store(true)
	if shared {
		return
	}
	labels := prometheus.Labels{"service": s.name}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		s.all.tokens, s.all.limited, s.all.held, s.all.requests, s.all.duration, s.all.ttft, s.all.faults, s.all.retries,
	} {
		vec.DeletePartialMatch(labels)
	}
}

func (s *serviceMetrics) request(k kind, class int) {
	at := &s.requests[k][class]
	c := at.Load()
	if c == nil {
		if s.gone.Load() {
			return
		}
		made := s.all.requests.WithLabelValues(s.name, kindNames[k], classNames[class])
		c = &made
		at.Store(c)
	}
	(*c).Inc()
}

func (s *serviceMetrics) fault(f fault) {
	if !s.gone.Load() {
		s.all.faults.WithLabelValues(s.name, string(f)).Inc()
	}
}

func (s *serviceMetrics) limit(kind string) {
	if !s.gone.Load() {
		s.all.limited.WithLabelValues(s.name, kind).Inc()
	}
}

func (s *serviceMetrics) retry(reason string) {
	if !s.gone.Load() {
		s.all.retries.WithLabelValues(s.name, reason).Inc()
	}
}

// Describe and Collect show what is true now, read when asked.
func (r *Router) Describe(ch chan<- *prometheus.Desc) {
	ch <- r.metrics.flyingNow
	ch <- r.metrics.routesNow
	ch <- r.metrics.waitingNow
}

// Collect is part of prometheus.Collector. Services of one name, in several projects, are counted together.
func (r *Router) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for name, same := range r.table.Load().byName {
		flying, waiting := int64(0), int64(0)
		states := map[string]int64{"ready": 0, "avoided": 0, "off": 0, "draining": 0, "lost": 0}
		for _, s := range same {
			flying += s.flying.Load()
			waiting += int64(s.line.Depth())
			for i, t := range s.Routes {
				states[t.state(s.routes[i])]++
			}
		}
		gauge(r.metrics.flyingNow, flying, name)
		gauge(r.metrics.waitingNow, waiting, name)
		for state, n := range states {
			gauge(r.metrics.routesNow, n, name, state)
		}
	}
}

func (t Route) state(r *route) string {
	switch {
	case t.Lost:
		return "lost"
	case t.Draining:
		return "draining"
	case !(t.Weight > 0):
		return "off"
	case r.Suspect():
		return "avoided"
	}
	return "ready"
}
