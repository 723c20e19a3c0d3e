package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/autoscaler/signals"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

// scaling is the appliance as the autoscaler sees it: what services do in its words, and where its own word counts.
type scaling struct {
	*signals.Collector
	manager *sessions.Manager
	traffic *traffic
	ledger  *accel.Ledger
	live    *record.Live
	stats   func(ctx context.Context, session string) (sessions.Stats, error)
	measure *calibrate.Keeper
	// elsewhere are requests that other boxes have let through, by service.
	elsewhere func() map[string]uint64
	seen      map[string]*demand // by service; of the keeper's loop alone

	needing sync.Mutex
	needed  map[string]bool // services that a request found without a route since the last look; it may not wait for one

	mu       sync.Mutex // guards what follows, and calls of Collector.Set
	services []*sessions.ServiceRoutes
	wanted   map[string][]autoscaler.Metric
}

var (
	_ autoscaler.World      = (*scaling)(nil)
	_ autoscaler.Signalling = (*scaling)(nil)
)

func newScaling(c signals.Config, d *daemon) *scaling {
	return &scaling{
		Collector: signals.New(c, d.Log.With("room", "signals")), manager: d.manager, traffic: d.traffic, ledger: d.pool.ledger,
		live: d.seeing.live, stats: d.runtime.Stats, measure: d.measures, elsewhere: d.peers.totals, seen: map[string]*demand{}, needed: map[string]bool{},
	}
}

// run looks at engines and sessions until ctx ends.
func (s *scaling) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.Run(ctx) })
	statistics := &statistics{scaling: s, stats: s.stats}
	both.Go(func() { statistics.run(ctx) })
	both.Wait()
}

// demand is how much was asked of a service, from look to look.
type demand struct {
	total uint64
	at    time.Time
	busy  time.Time // when a request was last there, or it was looked at first
	rate  float64   // requests a second, the last five minutes counting most
}

// leastLook is over how much time it is counted what comes. Services are looked at more often where requests ask for it,
// which would be a look just behind each of them: as if as many came all the time.
const leastLook = 500 * time.Millisecond

// look takes a look at what the router says. due: it is time for a sample; rate is what came a second since the last one,
// where that is known.
func (d *demand) look(load router.ServiceLoad, inFlight int, now time.Time) (rate float64, known, due bool) {
	if inFlight > 0 || load.Total != d.total {
		d.busy = now
	}
	elapsed := now.Sub(d.at)
	if !d.at.IsZero() && elapsed >= 0 && elapsed < leastLook {
		return 0, false, false
	}
	// The router counts anew where it has not had the service for a while, as when another one's address hid it.
	if known = !d.at.IsZero() && elapsed > 0 && load.Total >= d.total; known {
		rate = float64(load.Total-d.total) / elapsed.Seconds()
		part := min(1, elapsed.Seconds()/(5*time.Minute).Seconds())
		d.rate += (rate - d.rate) * part
	}
	d.total, d.at = load.Total, now
	return rate, known, true
}

// need notes that a request wants a route of a service that has none. It is called by requests.
func (s *scaling) need(id string) {
	s.needing.Lock()
	defer s.needing.Unlock()
	s.needed[id] = true
}

// needs gives what was noted, and forgets it.
func (s *scaling) needs() map[string]bool {
	s.needing.Lock()
	defer s.needing.Unlock()
	ids := s.needed
	s.needed = map[string]bool{}
	return ids
}

// Observe implements autoscaler.World. What the router counts is told on the way: it is as exact as the looks are often.
func (s *scaling) Observe(now time.Time) []autoscaler.Observed {
	views := s.manager.Services("")
	loads := make(map[string]router.ServiceLoad, len(views))
	for _, l := range s.traffic.Snapshot() {
		loads[l.ID] = l
	}
	memory, waiting, needed := s.memory(), s.traffic.elders.waiting(), s.needs()
	elsewhere := s.elsewhere()
	out := make([]autoscaler.Observed, 0, len(views))
	seen := make(map[string]*demand, len(views))
	for i := range views {
		v := &views[i]
		if v.Lifecycle != sessions.LifecycleActive {
			continue
		}
		o := s.observe(v, memory)
		load := loads[v.ID]
		load.Total += elsewhere[v.ID]
		o.Held = load.Waiting + waiting[v.ID]
		if needed[v.ID] {
			o.Held = max(o.Held, 1)
		}
		for _, r := range v.Routes {
			o.InFlight += r.InFlight // those of elders too
		}
		o.InFlight += o.Held
		d := s.seen[v.ID]
		if d == nil {
			d = &demand{busy: now} // nobody has asked since
		}
		rate, known, due := d.look(load, o.InFlight, now)
		o.Busy, o.Rate = d.busy, d.rate
		seen[v.ID] = d
		if due {
			s.tell(&o, rate, known, now)
		}
		out = append(out, o)
	}
	s.seen = seen
	return out
}

// observe is what the manager knows of a service.
func (s *scaling) observe(v *sessions.ServiceView, memory map[string]float64) autoscaler.Observed {
	o := autoscaler.Observed{
		ID: v.ID, Name: v.Name, Project: v.Project, Version: v.Version, Replicas: v.Replicas, Priority: v.Priority,
		ScaledBy: v.ScaledBy, ScaledAt: v.ScaledAt, CreatedAt: v.CreatedAt,
		Full: s.manager.PoolWait(v.ID), ReadyAt: v.ReadyAt,
	}
	if v.HealthyRoutes >= v.Replicas {
		o.Full = "" // what waits comes in another one's stead
	}
	o.LoadTime, _ = s.manager.LoadTime(v.ID)
	o.Knee, o.Measured = s.measure.Knee(v.ID, v.Revision), s.measure.Measuring(v.ID)
	for _, r := range v.Routes {
		o.Routes = append(o.Routes, autoscaler.Route{
			ID: r.ID, State: routeStates[r.Status], Since: latest(r.StartedAt, r.CreatedAt, r.HealthyAt), ReadyAt: r.HealthyAt, InFlight: r.InFlight,
		})
		o.Memory = max(o.Memory, heldBy(r, memory))
	}
	if o.Memory == 0 {
		o.Memory = s.wouldHold(v.Recipe)
	}
	return o
}

var routeStates = map[sessions.RouteStatus]autoscaler.RouteState{
	sessions.RouteProvisioning: autoscaler.RouteStarting, sessions.RouteHealthy: autoscaler.RouteReady,
	sessions.RouteUnhealthy: autoscaler.RouteUnhealthy, sessions.RouteDraining: autoscaler.RouteLeaving,
	sessions.RouteFailedToStart: autoscaler.RouteLeaving, sessions.RouteTerminated: autoscaler.RouteLeaving,
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// memory is how many GB each session holds of what is scarce: of its accelerators, or of the box where it has none.
func (s *scaling) memory() map[string]float64 {
	out := map[string]float64{}
	for _, e := range s.ledger.Claims() {
		sum := int64(0)
		for _, share := range e.Shares {
			sum += share.Memory
		}
		if sum == 0 {
			sum = int64(e.Slots[accel.SlotMem])
		}
		out[e.Session] = float64(sum) / (1 << 30)
	}
	return out
}

// heldBy is how much all containers of a route hold, of what each session does.
func heldBy(r sessions.RouteView, memory map[string]float64) float64 {
	if r.Containers == nil {
		return memory[r.ID]
	}
	sum := 0.0
	for _, c := range r.Containers {
		sum += memory[c.ID]
	}
	return sum
}

// wouldHold is how many GiB a route holds, once it has a place, of boxes like the first one.
func (s *scaling) wouldHold(r sessions.Recipe) float64 {
	slots, err := accel.ParseSlots(r.Resources)
	if err != nil {
		return 0 // it was checked when it was asked for
	}
	containers := float64(max(1, r.ClusterSize))
	devices := accel.Amount(0)
	for slot, amount := range slots {
		if slot != accel.SlotCPU && slot != accel.SlotMem {
			devices += amount
		}
	}
	if nodes := s.ledger.Status(); devices > 0 && len(nodes) > 0 && len(nodes[0].State.Node().Devices) > 0 {
		return containers * float64(devices) / 100 * float64(nodes[0].State.Node().Devices[0].Memory) / (1 << 30)
	}
	return containers * float64(slots[accel.SlotMem]) / (1 << 30)
}

// tell hands over what the router counts of a service.
func (s *scaling) tell(o *autoscaler.Observed, rate float64, known bool, now time.Time) {
	if len(s.Wants(o.ID, autoscaler.SourceRouter)) == 0 {
		return
	}
	metric := func(name string, value float64) {
		s.Tell(o.ID, autoscaler.Metric{Source: autoscaler.SourceRouter, Name: name}, autoscaler.Sample{At: now, Total: value})
	}
	metric("concurrency", float64(o.InFlight))
	metric("queued", float64(o.Held))
	if known {
		metric("requests_per_second", rate)
	}
	f, there := s.live.Service(now, o.ID)
	if !there {
		return
	}
	metric("tokens_per_second", f.Short.Tokens+f.Short.PromptTokens)
	if f.Short.Ended > 0 {
		metric("error_rate", float64(f.Short.Errors)/float64(f.Short.Ended))
	}
	if f.Short.First.Count > 0 {
		metric("ttft_p95", f.Short.First.P95.Seconds())
	}
	if f.Short.Took.Count > 0 {
		metric("latency_p95", f.Short.Took.P95.Seconds())
	}
}

// Scale implements autoscaler.World.
func (s *scaling) Scale(ctx context.Context, o *autoscaler.Observed, to int, reason string) error {
	_, err := s.manager.ScaleService(ctx, o.Project, o.ID, sessions.Scale{To: to, Reason: reason, Auto: true, Version: o.Version})
	if capped, is := errors.AsType[*sessions.CappedError](err); is {
		return &autoscaler.CappedError{At: capped.At, Reason: capped.Error()}
	}
	return inItsWords(err)
}

// Frees implements autoscaler.World.
func (s *scaling) Frees(claimant, giver string, n int) bool {
	return s.manager.Frees(claimant, giver, n)
}

// Note implements autoscaler.World.
func (s *scaling) Note(ctx context.Context, id, kind, message string) error {
	return inItsWords(s.manager.Note(ctx, id, kind, message))
}

// inItsWords says an error of the manager as the autoscaler knows it.
func inItsWords(err error) error {
	switch {
	case errors.Is(err, sessions.ErrConflict), errors.Is(err, sessions.ErrNotFound), errors.Is(err, sessions.ErrForbidden): // it is being removed
		return fmt.Errorf("%w: %w", autoscaler.ErrConflict, err)
	case errors.Is(err, sessions.ErrUnavailable):
		return fmt.Errorf("%w: %w", autoscaler.ErrUnavailable, err)
	}
	return err
}

// Changed implements autoscaler.World: requests that find a service at zero wait, or are told that nobody comes.
func (s *scaling) Changed() { s.traffic.again() }

// Want implements autoscaler.Signalling.
func (s *scaling) Want(metrics map[string][]autoscaler.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = metrics
	s.set()
}

// follow is told who can answer.
func (s *scaling) follow(services []*sessions.ServiceRoutes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = services
	s.set()
}

// set says to the collector whom to look at, and for what. The caller holds mu.
func (s *scaling) set() {
	all := make([]signals.Service, len(s.services))
	for i, v := range s.services {
		all[i] = signals.Service{ID: v.ID, Name: v.Name, Project: v.Project, Model: v.Name, Wanted: s.wanted[v.ID]}
		if len(v.Aliases) > 0 {
			all[i].Model = v.Aliases[0] // what its engine calls it
		}
		for _, r := range v.Routes {
			route := signals.Route{ID: r.ID, Ready: !r.Draining, Names: r.Metrics.Names}
			if r.Metrics.Path != "" {
				route.URL = "http://" + metricsAddr(r.Addr, r.Metrics.Port) + r.Metrics.Path
			}
			all[i].Routes = append(all[i].Routes, route)
		}
	}
	s.Set(all)
}

// metricsAddr is where a route shows its figures: at a port of their own, where its engine has one.
func metricsAddr(addr string, port int) string {
	host, _, err := net.SplitHostPort(addr)
	if port == 0 || err != nil {
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
