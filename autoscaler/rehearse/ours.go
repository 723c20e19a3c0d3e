package rehearse

import (
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// ours is autoscaler.Decide, given what it is given when it runs live.
type ours struct {
	start   time.Time
	series  signals
	times   bool
	input   autoscaler.Input
	unknown []string
}

// tick is how often the live loop decides.
const tick = time.Second

// signals are series by metric.
type signals map[autoscaler.Metric]*autoscaler.Series

// Series is one of them; nil where nothing is known of it.
func (s signals) Series(m autoscaler.Metric) *autoscaler.Series { return s[m] }

// newOurs makes one that begins at start without a memory.
func newOurs(p *autoscaler.Policy, start time.Time) *ours {
	o := &ours{start: start, series: signals{}}
	o.input = autoscaler.Input{Policy: p, Known: start, Signals: o.series}
	wanted := []autoscaler.Metric{router("concurrency"), router("queued"), router("requests_per_second")} // what the router tells always
	for i := range p.Rules {
		if r := &p.Rules[i]; r.Kind != autoscaler.KindSchedule {
			wanted = append(wanted, r.Metric)
		}
	}
	for _, m := range wanted {
		switch {
		case o.series[m] != nil:
		case modelled(m):
			o.series[m] = &autoscaler.Series{}
			o.times = o.times || slices.Contains(timed(), m)
		default:
			if note := fmt.Sprintf("%s is not known in a rehearsal: the rule that looks at it is silent", m); !slices.Contains(o.unknown, note) {
				o.unknown = append(o.unknown, note)
			}
		}
	}
	return o
}

func (*ours) name() string         { return "palisade" }
func (*ours) every() time.Duration { return tick }
func (o *ours) wantsTimes() bool   { return o.times }
func (o *ours) notes() []string    { return o.unknown }

func router(name string) autoscaler.Metric {
	return autoscaler.Metric{Source: autoscaler.SourceRouter, Name: name}
}

func engine(name string) autoscaler.Metric {
	return autoscaler.Metric{Source: autoscaler.SourceEngine, Name: name}
}

// timed are the metrics that tell how long requests take.
func timed() []autoscaler.Metric {
	return []autoscaler.Metric{router("ttft_p95"), router("latency_p95"), engine("ttft")}
}

// modelled reports whether a rehearsal knows a metric.
func modelled(m autoscaler.Metric) bool {
	return slices.Contains(timed(), m) || slices.Contains([]autoscaler.Metric{
		router("concurrency"), router("queued"), router("requests_per_second"), router("tokens_per_second"), router("error_rate"),
		engine("running"), engine("tokens_per_second"),
	}, m)
}

// sample tells the series what was in a second. The router's are there at all times; an engine's where there is an engine.
func (o *ours) sample(s *second) {
	at := o.start.Add(s.now)
	for m, series := range o.series {
		v, of := 0.0, 0
		if m.Source == autoscaler.SourceEngine {
			if of = s.ready; of == 0 {
				continue
			}
		}
		switch m.Name {
		case "concurrency":
			v = float64(s.inFlight + s.held)
		case "queued":
			v = float64(s.held)
		case "running":
			v = float64(s.inFlight)
		case "requests_per_second":
			v = float64(s.arrivals)
		case "tokens_per_second":
			v = s.tokens
		case "error_rate":
			v = float64(s.failed) / float64(max(s.failed+s.ended, 1))
		case "latency_p95":
			v, _ = s.latency.at(0.95)
		case "ttft_p95", "ttft":
			v, _ = s.ttft.at(0.95)
			v *= float64(max(of, 1))
		}
		series.Add(autoscaler.Sample{At: at, Total: v, Of: of})
	}
}

func (o *ours) decide(x *player) (want int, why string) {
	in := &o.input
	now := o.start.Add(x.now)
	in.Replicas, in.Held, in.Full = x.replicas, x.line.n, ""
	in.LoadTime = x.setup.LoadTime
	in.Busy = time.Time{}
	if x.count(); x.wasBusy {
		in.Busy = o.start.Add(x.busyAt)
	}
	if x.full() {
		in.Full = "no device is free"
	}
	in.Routes = in.Routes[:0]
	for _, r := range x.routes {
		seen := autoscaler.Route{ID: r.id, State: r.state, Since: o.start.Add(r.since), InFlight: r.inFlight()}
		if r.state != autoscaler.RouteStarting {
			seen.ReadyAt = o.start.Add(r.readyAt)
		}
		in.Routes = append(in.Routes, seen)
	}
	d := autoscaler.Decide(in, now)
	in.Memory = d.Memory
	return d.Replicas, d.Reason
}
