package signals

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// Config says how often engines are looked at, and how long they have. What is zero is as the comment says.
type Config struct {
	Interval time.Duration // of looks at a route: 2 s
	Timeout  time.Duration // of one look: 1 s
	Window   time.Duration // of quantiles and means: 60 s
	AtOnce   int           // looks at one time: 128

	Prometheus Prometheus

	// Dial connects to engines and to the Prometheus server; nil: as net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// slowest is how far apart looks become at a route that fails.
const slowest = 30 * time.Second

// Service is what the collector must know of a service.
type Service struct {
	ID, Name, Project, Model string
	Wanted                   []autoscaler.Metric // by its rules; others keep no series
	Routes                   []Route
}

// Route is one route of a service.
type Route struct {
	ID    string
	URL   string // http://HOST:PORT/PATH of its page; "": it has none
	Ready bool   // others are not looked at
	// Names are what the owner says that the engine calls our words, over its versions. They come before what is known of
	// engines: a word that is not of the vocabulary may be among them.
	Names map[string][]string
}

// Collector keeps what is known of services' metrics. Its methods may be called by any goroutine, before Run and after.
type Collector struct {
	config Config
	log    *slog.Logger
	asker  *asker // of Prometheus; nil: there is none
	rooms  sync.Pool

	mu       sync.Mutex // guards what follows, and what services and targets say it does
	services map[string]*service
	plans    map[string]*plan // by what is wanted; those of services now
	ctx      context.Context  //nolint:containedctx // of Run: timers that Run did not start look through it
	looks    int              // that go on
	suspect  int              // of them at routes that failed the last time
	running  sync.WaitGroup
}

// service is one service's part; the collector's mu guards it.
type service struct {
	spec    Service
	targets map[string]*target // by route
	series  map[autoscaler.Metric]*series
	queries map[autoscaler.Metric]*query
	awaited int // looks at routes that answered the last time: a sample waits for them
	sampled time.Time
}

// series is one metric's, with the copy that is given away. It is brought up to date and not made anew: of ten thousand
// services it is asked for every second.
type series struct {
	live  autoscaler.Series
	shown *autoscaler.Series  // nil: nobody asked
	fresh []autoscaler.Sample // what shown lacks
}

// freshMost is how many samples are kept for a copy that nobody asks for.
const freshMost = 64

func (s *series) add(v autoscaler.Sample) {
	s.live.Add(v)
	if s.shown == nil {
		return
	}
	if s.fresh = append(s.fresh, v); len(s.fresh) > freshMost {
		s.shown, s.fresh = nil, nil
	}
}

// show brings the copy up to date.
func (s *series) show() {
	if s.shown == nil {
		s.shown = s.live.Clone()
	}
	for _, v := range s.fresh {
		s.shown.Add(v)
	}
	s.fresh = s.fresh[:0]
}

// New makes a collector without services. Run it.
func New(config Config, log *slog.Logger) *Collector {
	config.Interval = orElse(config.Interval, 2*time.Second)
	config.Timeout = orElse(config.Timeout, time.Second)
	config.Window = orElse(config.Window, time.Minute)
	config.AtOnce = orElse(config.AtOnce, 128)
	if config.Dial == nil {
		config.Dial = (&net.Dialer{}).DialContext
	}
	c := &Collector{config: config, log: log, services: map[string]*service{}, plans: map[string]*plan{}}
	c.rooms.New = func() any { return newRoom() }
	c.asker = newAsker(config.Prometheus, config.Dial)
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Run looks at engines and asks Prometheus until ctx ends; then all that it began has ended.
func (c *Collector) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.ctx = ctx
	for _, s := range c.services {
		c.arm(s)
	}
	c.mu.Unlock()

	<-ctx.Done()
	c.mu.Lock()
	for _, s := range c.services {
		for _, t := range s.targets {
			t.disarm()
		}
		for _, q := range s.queries {
			q.disarm()
		}
	}
	c.mu.Unlock()
	c.running.Wait()
	if c.asker != nil {
		c.asker.client.CloseIdleConnections()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.services {
		for _, t := range s.targets {
			_ = t.getter.close()
		}
	}
}

// Set says which services and routes there are. What is known of those that stay is kept.
func (c *Collector) Set(all []Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	plans := make(map[string]*plan, len(c.plans))
	next := make(map[string]*service, len(all))
	for i := range all {
		spec := &all[i]
		s := c.services[spec.ID]
		if s == nil {
			s = &service{targets: map[string]*target{}, series: map[autoscaler.Metric]*series{}, queries: map[autoscaler.Metric]*query{}}
		}
		delete(c.services, spec.ID)
		next[spec.ID] = s
		c.setSeries(s, spec)
		c.setTargets(s, spec, plans)
		c.setQueries(s, spec)
		s.spec = *spec
		c.arm(s)
	}
	for _, s := range c.services {
		c.drop(s)
	}
	c.services, c.plans = next, plans
}

// drop ends a service that is no more.
func (c *Collector) drop(s *service) {
	for id, t := range s.targets {
		c.dropTarget(t)
		delete(s.targets, id)
	}
	for m, q := range s.queries {
		q.disarm()
		delete(s.queries, m)
	}
}

func (c *Collector) setSeries(s *service, spec *Service) {
	wanted := make(map[autoscaler.Metric]*series, len(spec.Wanted))
	for _, m := range spec.Wanted {
		if wanted[m] = s.series[m]; wanted[m] == nil {
			wanted[m] = &series{}
		}
	}
	s.series = wanted
}

// arm starts the timers that do not run, where Run does.
func (c *Collector) arm(s *service) {
	if c.ctx == nil || c.ctx.Err() != nil {
		return
	}
	for _, t := range s.targets {
		if t.timer == nil {
			t.arm(c)
		}
	}
	for _, q := range s.queries {
		if q.timer == nil {
			q.arm(c)
		}
	}
}

// Tell takes in a sample that somebody else counted: the router's, containers'. One of a metric that the service does
// not want is dropped.
func (c *Collector) Tell(serviceID string, m autoscaler.Metric, v autoscaler.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[serviceID]; s != nil {
		s.add(m, v)
	}
}

// Wants lists the metrics of one source that a service keeps, so that nobody counts what nobody wants.
func (c *Collector) Wants(serviceID string, of autoscaler.Source) []autoscaler.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.services[serviceID]
	if s == nil {
		return nil
	}
	var out []autoscaler.Metric
	for _, m := range s.spec.Wanted {
		if m.Source == of {
			out = append(out, m)
		}
	}
	return out
}

func (s *service) add(m autoscaler.Metric, v autoscaler.Sample) {
	if of := s.series[m]; of != nil {
		of.add(v)
	}
}

// Of gives what is known of a service's metrics, for one decision: its series do not change until it is called for that
// service again, and only one at a time may use them.
func (c *Collector) Of(serviceID string) autoscaler.Signals {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[serviceID]; s != nil {
		for _, one := range s.series {
			one.show()
		}
	}
	return snapshot{c, serviceID}
}

type snapshot struct {
	of      *Collector
	service string
}

// Series gives a metric's samples; nil where it is not wanted, or its service is not known.
func (s snapshot) Series(m autoscaler.Metric) *autoscaler.Series {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	svc := s.of.services[s.service]
	if svc == nil || svc.series[m] == nil {
		return nil
	}
	one := svc.series[m]
	if one.shown == nil { // it is wanted only since
		one.show()
	}
	return one.shown
}
