package accel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Recorder keeps what devices have said.
type Recorder interface {
	// Record is called after each round, from one goroutine, with the samples that came of it. It must not keep the slices.
	Record(node string, devices []Device, samples []Sample) error
}

// WatcherConfig is what a Watcher needs. Only Ledger and Node.Name must be given.
type WatcherConfig struct {
	Ledger  *Ledger
	Plugins []Plugin
	// Node is what the box has besides accelerators: name, labels, cores, memory.
	Node Node
	// Inventory, if not nil, is asked at every discovery for the box's cores and memory in place of Node's.
	Inventory func() (Node, error)
	Every     time.Duration // between samples; 15 s
	Discovery time.Duration // between discoveries; 1 min
	Timeout   time.Duration // of one call of a plugin; 5 s
	// Owner says whose a process is; without it none is a session's.
	Owner func(pid int) (session string, ok bool)
	// Overuse is told, at every round, of each session that uses more than its share.
	Overuse     func(Overuse)
	Recorder    Recorder
	ProcessName func(pid int) string // "" unknown; from /proc
	Log         *slog.Logger
	Now         func() time.Time
}

// leavingEvery is how often devices are asked while an ended session's memory is waited for.
const leavingEvery = 250 * time.Millisecond

// Watcher asks the plugins of one box what there is and how it is, and tells the Ledger. Whatever a plugin does (fail,
// hang, panic), the others are asked on, and its own devices are out of use until it answers again.
type Watcher struct {
	cfg   WatcherConfig
	desks []*desk
	poke  chan struct{}

	round      sync.Mutex // one discovery or sampling at a time
	unrecorded bool       // the last round could not be recorded; belongs to the round

	mu     sync.Mutex
	listed map[string]*desk // by device: who speaks for it
}

// NewWatcher returns a watcher that has asked nothing yet.
func NewWatcher(cfg WatcherConfig) *Watcher {
	cfg.Every = cmp.Or(cfg.Every, 15*time.Second)
	cfg.Discovery = cmp.Or(cfg.Discovery, time.Minute)
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	if cfg.Owner == nil {
		cfg.Owner = func(int) (string, bool) { return "", false }
	}
	if cfg.Overuse == nil {
		cfg.Overuse = func(Overuse) {}
	}
	if cfg.ProcessName == nil {
		cfg.ProcessName = processName
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{cfg: cfg, poke: make(chan struct{}, 1), listed: map[string]*desk{}}
	for _, plugin := range cfg.Plugins {
		w.desks = append(w.desks, &desk{plugin: plugin, timeout: cfg.Timeout, busy: make(chan struct{}, 1)})
	}
	return w
}

// processName reads what a process of this box is called; "" when it is gone.
func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// Discover asks all plugins at once what there is, enters it into the ledger and returns it. The node is right even if
// there is an error: that names the plugins that did not answer, whose devices are listed as they were before.
func (w *Watcher) Discover(ctx context.Context) (Node, error) {
	w.round.Lock()
	defer w.round.Unlock()
	var problems []error
	if w.cfg.Inventory != nil {
		found, err := w.cfg.Inventory()
		if err != nil {
			problems = append(problems, fmt.Errorf("taking stock of cores and memory: %w", err))
		} else {
			w.cfg.Node.CPU, w.cfg.Node.Memory, w.cfg.Node.NUMA = found.CPU, found.Memory, found.NUMA
		}
	}
	lists, errs := each(w.desks, func(d *desk) ([]Device, error) { return d.list(ctx, w.cfg.Now()) })
	node, listed := w.cfg.Node, map[string]*desk{}
	node.Devices = slices.Clone(node.Devices)
	for i, d := range w.desks {
		problems = append(problems, errs[i])
		if errs[i] == nil {
			d.devices = lists[i]
		}
		d.devices = slices.DeleteFunc(slices.Clone(d.devices), func(device Device) bool {
			if _, twice := listed[device.ID]; twice || device.ID == "" {
				problems = append(problems, fmt.Errorf("%s: device %q cannot be told from another", d.plugin.Name(), device.ID))
				return true
			}
			listed[device.ID] = d
			return false
		})
		node.Devices = append(node.Devices, d.devices...)
	}
	if err := ctx.Err(); err != nil {
		return Node{}, err
	}
	w.mu.Lock()
	w.listed = listed
	w.mu.Unlock()
	w.cfg.Ledger.SetNode(node)
	return node, errors.Join(problems...)
}

// each asks all desks at once.
func each[T any](desks []*desk, call func(*desk) (T, error)) ([]T, []error) {
	values, errs := make([]T, len(desks)), make([]error, len(desks))
	var asked sync.WaitGroup
	for i, d := range desks {
		asked.Go(func() { values[i], errs[i] = call(d) })
	}
	asked.Wait()
	return values, errs
}

// Sample asks all devices at once how they are and enters that into the ledger. Devices of a plugin that does not answer
// are lost until it does.
func (w *Watcher) Sample(ctx context.Context) {
	w.round.Lock()
	defer w.round.Unlock()
	answers, errs := each(w.desks, func(d *desk) ([]Sample, error) {
		if len(d.devices) == 0 {
			return nil, nil
		}
		return d.sample(ctx, w.cfg.Now())
	})
	if ctx.Err() != nil {
		return // whoever did not answer was not given the time
	}
	var devices []Device
	var samples []Sample
	now := w.cfg.Now()
	for i, d := range w.desks {
		w.tell(d, errs[i])
		if errs[i] != nil {
			continue
		}
		devices = append(devices, d.devices...)
		for _, s := range answers[i] {
			if s.At.IsZero() {
				s.At = now
			}
			samples = append(samples, w.named(s))
		}
	}
	w.report(w.cfg.Ledger.Observe(w.cfg.Node.Name, samples, w.cfg.Owner, now))
	if w.cfg.Recorder != nil && len(samples) > 0 {
		w.recorded(w.cfg.Recorder.Record(w.cfg.Node.Name, devices, samples))
	}
}

// recorded logs the first of a series of failures: a full disk is no reason to fill the log too.
func (w *Watcher) recorded(err error) {
	if err != nil && !w.unrecorded {
		w.cfg.Log.Warn("what devices say is not kept", "node", w.cfg.Node.Name, "error", err)
	}
	w.unrecorded = err != nil
}

// tell logs once what a plugin's answer has changed, and takes devices that cannot be asked out of use.
func (w *Watcher) tell(d *desk, err error) {
	if err == nil {
		if d.told != "" {
			w.cfg.Log.Info("accelerators can be asked again", "plugin", d.plugin.Name(), "devices", len(d.devices))
		}
		d.told = ""
		return
	}
	if d.told == "" {
		w.cfg.Log.Warn("accelerators cannot be asked", "devices", len(d.devices), "error", err)
		d.told = err.Error() // the first of a series: how long it lasts is seen from its fence
	}
	var ids []string
	for _, device := range d.devices {
		ids = append(ids, device.ID)
	}
	w.cfg.Ledger.Lose(w.cfg.Node.Name, ids, d.told)
}

// named adds the programs' names to processes that are no session's.
func (w *Watcher) named(s Sample) Sample {
	s.Processes = slices.Clone(s.Processes)
	for i := range s.Processes {
		p := &s.Processes[i]
		if _, ours := w.cfg.Owner(p.PID); !ours && p.Name == "" {
			p.Name = w.cfg.ProcessName(p.PID)
		}
	}
	return s
}

func (w *Watcher) report(seen Observation) {
	for _, id := range slices.Sorted(maps.Keys(seen.Out)) {
		w.cfg.Log.Warn("device is not handed out", "node", w.cfg.Node.Name, "device", id, "reason", seen.Out[id])
	}
	for _, id := range seen.Back {
		w.cfg.Log.Info("device is handed out again", "node", w.cfg.Node.Name, "device", id)
	}
	for _, over := range seen.Overuse {
		w.cfg.Overuse(over)
	}
}

// Poke has the devices asked soon.
func (w *Watcher) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Run asks until ctx ends: samples at once and then at every interval, faster while a claim is leaving; what there is
// at its own interval. It returns ctx's error.
func (w *Watcher) Run(ctx context.Context) error {
	sample, discover := time.NewTimer(0), time.NewTicker(w.cfg.Discovery)
	defer sample.Stop()
	defer discover.Stop()
	next := w.cfg.Now()
	last := next.Add(-leavingEvery)
	for {
		changed := w.cfg.Ledger.Changed()
		if w.cfg.Ledger.Leaving(w.cfg.Node.Name) > 0 {
			if soon := last.Add(leavingEvery); soon.Before(next) {
				next = soon
			}
		}
		sample.Reset(max(next.Sub(w.cfg.Now()), 0))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			continue
		case <-discover.C:
			before := w.cfg.Ledger.Version()
			if _, err := w.Discover(ctx); err != nil && ctx.Err() == nil {
				w.cfg.Log.Debug("discovering devices", "error", err)
			}
			if w.cfg.Ledger.Version() == before {
				continue
			} // else look at once whether what is new is free
		case <-w.poke:
		case <-sample.C:
		}
		w.Sample(ctx)
		last = w.cfg.Now()
		next = last.Add(w.cfg.Every)
	}
}
