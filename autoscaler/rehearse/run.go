package rehearse

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// afterwards is how long a rehearsal goes on after the trace, for what is in flight then.
const afterwards = 24 * time.Hour

// slack is the work, in seconds, by which a mark may lie ahead of a route's clock and yet be reached: what is lost when
// times are rounded.
const slack = 1e-8

// player plays one trace.
type player struct {
	setup   *Setup
	trace   *Trace
	policy  *autoscaler.Policy
	formula formula
	chance  *rand.Rand
	usual   [2]float64 // what work is of a request whose tokens nobody knows

	now      time.Duration
	next     int // the request that comes next
	line     line
	routes   []*route // that hold a place or wait for one, oldest first
	agenda   agenda
	spare    []*route // that have ended: their heaps are used again
	made     int
	replicas int // wanted
	placed   int // routes that hold a place
	flying   int // requests on routes
	busyAt   time.Duration
	wasBusy  bool

	second  second
	area    time.Duration // of in flight and held, since the second began
	areaAt  time.Duration
	latency *recent // nil: nobody looks at it
	ttft    *recent

	result *Result
	plot   plot
	waits  []float32 // seconds, of those that a route took
	firsts []float32
}

// Run plays a trace by a policy. The same arguments give the same result.
func Run(ctx context.Context, t *Trace, p *autoscaler.Policy, s Setup) (*Result, error) {
	return play(ctx, t, p, s, newOurs(p, t.Start))
}

func play(ctx context.Context, t *Trace, p *autoscaler.Policy, s Setup, f formula) (*Result, error) {
	x, err := newPlayer(t, p, s, f)
	if err != nil {
		return nil, err
	}
	if err := x.play(ctx); err != nil {
		return nil, err
	}
	x.finish()
	return x.result, nil
}

func newPlayer(t *Trace, p *autoscaler.Policy, s Setup, f formula) (*player, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	x := &player{
		setup: &s, trace: t, policy: p, formula: f, chance: rand.New(rand.NewPCG(s.Seed, 0x70616c6973616465)),
		result: &Result{Formula: f.name(), Requests: len(t.Requests)},
		waits:  make([]float32, 0, len(t.Requests)), firsts: make([]float32, 0, len(t.Requests)),
		plot: newPlot(t.Length()),
	}
	x.usual = x.mean()
	x.result.Notes = f.notes()
	if f.wantsTimes() {
		x.latency, x.ttft = &recent{}, &recent{}
	}
	x.begin()
	return x, nil
}

// begin makes the routes that are ready at the start.
func (x *player) begin() {
	x.replicas = min(max(x.setup.Begin, x.policy.Min), x.policy.Max)
	for range x.replicas {
		x.start(0)
	}
	for _, r := range x.routes {
		if r.placed != never {
			r.readyAt, r.next = 0, 0
			x.agenda.moved(r)
		}
	}
}

// play goes from one event to the next. Of those at the same time, in order:
//  1. a route becomes ready, a request gets its first token, or ends;
//  2. a request comes;
//  3. one has waited for too long;
//  4. a second is over: what came in it is looked at, and, where it is time, decided.
func (x *player) play(ctx context.Context) error {
	requests, length := x.trace.Requests, x.trace.Length()
	tick, step, every := time.Second, 0, int(x.formula.every()/time.Second)
	for {
		event, at := 4, tick
		if x.line.n > 0 {
			if late := requests[x.line.first()].At + x.setup.HoldTimeout; late <= at {
				event, at = 3, late
			}
		}
		if x.next < len(requests) && requests[x.next].At <= at {
			event, at = 2, requests[x.next].At
		}
		if len(x.agenda) > 0 && x.agenda[0].next <= at {
			event, at = 1, x.agenda[0].next
		}
		if x.next == len(requests) && x.flying+x.line.n == 0 && at > length || at > length+afterwards {
			x.now = max(x.now, length)
			return nil
		}
		x.now = at
		switch event {
		case 1:
			x.progress(x.agenda[0])
		case 2:
			x.arrive()
		case 3:
			x.count()
			x.line.pop()
			x.result.TimedOut++
			x.second.failed++
		case 4:
			if step%1024 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			step, tick = step+1, tick+time.Second
			x.look()
			if step%every == 0 {
				x.decide()
			}
		}
	}
}

// arrive lets a request in.
func (x *player) arrive() {
	request := int32(x.next)
	x.next++
	x.count()
	x.second.arrivals++
	if x.line.n == 0 {
		if r := x.free(); r != nil {
			x.take(r, request)
			return
		}
	}
	if x.setup.HoldTimeout == 0 || x.line.n >= x.setup.MaxHeld {
		x.result.Refused++
		x.second.failed++
		return
	}
	x.line.push(request)
	x.result.Held++
	x.result.MostHeld = max(x.result.MostHeld, x.line.n)
	if x.line.n == 1 && x.wanted() == 0 { // the router says so at once: nobody waits for the next tick
		x.decide()
	}
}

// free is the route with the fewest requests that takes another; nil where there is none.
func (x *player) free() *route {
	var best *route
	for _, r := range x.routes {
		if r.state == autoscaler.RouteReady && (best == nil || r.inFlight() < best.inFlight()) {
			best = r
		}
	}
	if best != nil && x.setup.Capacity > 0 && best.inFlight() >= x.setup.Capacity {
		return nil
	}
	return best
}

// take puts a request on a route.
func (x *player) take(r *route, request int32) {
	q := x.trace.Requests[request]
	x.advance(r)
	first, all := x.work(q)
	r.firsts.push(mark{r.clock + first, request})
	r.ends.push(mark{r.clock + all, request})
	x.flying++
	x.waits = append(x.waits, float32((x.now - q.At).Seconds()))
	x.reschedule(r)
}

// work is how long a request takes at full speed, in seconds: to the first token of its answer, and in all. One without any
// tokens is one of which nobody knows what it would have taken, such as a recorded one that found no route: it takes what
// the others take on average.
func (x *player) work(q Request) (first, all float64) {
	if q.Prompt == 0 && q.Output == 0 {
		return x.usual[0], x.usual[1]
	}
	first = float64(q.Prompt) / x.setup.PromptPerSecond
	return first, first + float64(q.Output)/x.setup.TokensPerSecond
}

// mean is the work of those whose tokens are known, on average.
func (x *player) mean() (usual [2]float64) {
	n := 0.0
	for _, q := range x.trace.Requests {
		if q.Prompt+q.Output > 0 {
			first, all := x.work(q)
			usual[0], usual[1], n = usual[0]+first, usual[1]+all, n+1
		}
	}
	return [2]float64{usual[0] / max(n, 1), usual[1] / max(n, 1)}
}

// progress does what has come for a route.
func (x *player) progress(r *route) {
	if r.state == autoscaler.RouteStarting {
		r.state, r.since, r.clockAt = autoscaler.RouteReady, x.now, x.now
		x.result.Loads++
		x.fill(r)
		x.reschedule(r)
		return
	}
	x.advance(r)
	for len(r.firsts) > 0 && r.firsts[0].work <= r.clock+slack {
		q := x.trace.Requests[r.firsts.pop().request]
		took := x.now - q.At
		x.second.tokens += float64(q.Prompt)
		x.firsts = append(x.firsts, float32(took.Seconds()))
		if x.ttft != nil {
			x.ttft.add(took)
		}
	}
	for len(r.ends) > 0 && r.ends[0].work <= r.clock+slack {
		x.count()
		took := x.now - x.trace.Requests[r.ends.pop().request].At
		x.flying--
		x.result.Done++
		x.second.ended++
		if x.latency != nil {
			x.latency.add(took)
		}
	}
	if len(r.ends) == 0 {
		r.clock = 0 // so that it stays exact
		if r.state == autoscaler.RouteLeaving {
			x.end(r)
			return
		}
	}
	x.fill(r)
	x.reschedule(r)
}

// fill gives a route those that wait, as many as it takes.
func (x *player) fill(r *route) {
	for x.line.n > 0 && r.state == autoscaler.RouteReady && (x.setup.Capacity == 0 || r.inFlight() < x.setup.Capacity) {
		x.count()
		x.take(r, x.line.pop())
	}
}

// advance brings a route's clock to now.
func (x *player) advance(r *route) {
	if n := len(r.ends); n > 0 {
		work := (x.now - r.clockAt).Seconds() * r.speed(x.setup.knee())
		r.clock += work
		x.second.tokens += work * x.setup.TokensPerSecond * float64(n-len(r.firsts))
	}
	r.clockAt = x.now
}

func (x *player) reschedule(r *route) {
	r.schedule(x.now, x.setup.knee())
	x.agenda.moved(r)
}

// count adds what was in flight and held since the last look. It is called before that changes.
func (x *player) count() {
	x.area += time.Duration(x.flying+x.line.n) * (x.now - x.areaAt)
	x.areaAt = x.now
	if x.flying+x.line.n > 0 {
		x.busyAt, x.wasBusy = x.now, true
	}
}

// look ends a second.
func (x *player) look() {
	x.count()
	s := &x.second
	for _, r := range x.routes {
		if r.state != autoscaler.RouteStarting {
			x.advance(r)
		}
		switch r.state {
		case autoscaler.RouteReady:
			s.ready++
		case autoscaler.RouteStarting:
			s.starting++
		case autoscaler.RouteLeaving, autoscaler.RouteUnhealthy:
			s.leaving++
		}
	}
	s.now, s.concurrency, s.inFlight, s.held = x.now, x.area.Seconds(), x.flying, x.line.n
	s.latency, s.ttft = x.latency, x.ttft
	x.formula.sample(s)
	x.plot.add(s)
	x.result.MostRoutes = max(x.result.MostRoutes, s.ready+s.starting)
	if x.latency != nil {
		x.latency.roll()
		x.ttft.roll()
	}
	x.second, x.area = second{}, 0
}

// wanted is how many routes there are that are not leaving.
func (x *player) wanted() (n int) {
	for _, r := range x.routes {
		if r.state != autoscaler.RouteLeaving {
			n++
		}
	}
	return n
}

// decide asks the formula, and does what it says.
func (x *player) decide() {
	want, why := x.formula.decide(x)
	want = max(min(want, mostRoutes), 0)
	if want == x.replicas {
		return
	}
	x.result.log(Step{At: secondsOf(x.now), Was: x.replicas, Replicas: want, Reason: why})
	x.replicas = want
	n := x.wanted()
	for ; n < want; n++ {
		x.start(x.setup.LoadTime)
	}
	for ; n > want; n-- {
		x.retire(x.victim())
	}
}

// start asks for a route that takes so long to be ready; it may have to wait for a place.
func (x *player) start(load time.Duration) {
	x.made++
	r := &route{}
	if n := len(x.spare); n > 0 {
		r, x.spare = x.spare[n-1], x.spare[:n-1]
	}
	*r = route{
		number: x.made, id: "route-" + strconv.Itoa(x.made), state: autoscaler.RouteStarting, since: x.now,
		placed: never, readyAt: never, next: never, firsts: r.firsts[:0], ends: r.ends[:0],
	}
	x.routes = append(x.routes, r)
	x.agenda.add(r)
	if x.setup.Pool == 0 || x.placed < x.setup.Pool {
		x.place(r, load)
	}
}

// place gives a route its place: from now on it costs, and loads.
func (x *player) place(r *route, load time.Duration) {
	x.placed++
	spread := 1 + x.setup.LoadSpread*(2*x.chance.Float64()-1)
	r.placed, r.readyAt = x.now, x.now+time.Duration(float64(load)*spread)
	r.next = r.readyAt
	x.agenda.moved(r)
}

// full reports whether a route waits for a place.
func (x *player) full() bool {
	for _, r := range x.routes {
		if r.placed == never {
			return true
		}
	}
	return false
}

// victim is the route that goes first: one that waits for a place, else the last that starts, else the least busy.
func (x *player) victim() *route {
	var best *route
	cost := func(r *route) int {
		switch {
		case r.placed == never:
			return -2
		case r.state == autoscaler.RouteStarting:
			return -1
		}
		return r.inFlight()
	}
	for _, r := range x.routes {
		if r.state != autoscaler.RouteLeaving && (best == nil || cost(r) <= cost(best)) {
			best = r
		}
	}
	return best
}

// retire gives a route no more requests; when it has none, it ends.
func (x *player) retire(r *route) {
	if r.state == autoscaler.RouteStarting || r.inFlight() == 0 {
		x.end(r)
		return
	}
	r.state, r.since = autoscaler.RouteLeaving, x.now
}

// end takes a route away, and gives its place to one that waits for it.
func (x *player) end(r *route) {
	x.agenda.remove(r)
	for i := range x.routes {
		if x.routes[i] == r {
			x.routes = append(x.routes[:i], x.routes[i+1:]...)
			break
		}
	}
	x.spare = append(x.spare, r)
	if r.placed == never {
		return
	}
	x.result.life(r, x.now)
	x.placed--
	for _, waits := range x.routes {
		if waits.placed == never {
			x.place(waits, x.setup.LoadTime)
			return
		}
	}
}
