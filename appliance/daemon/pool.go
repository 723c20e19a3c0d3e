package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/accel/history"
	"github.com/palisade-run/palisade/accel/mps"
	"github.com/palisade-run/palisade/accel/nvml"
	"github.com/palisade-run/palisade/accel/sysfs"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
)

// pool is this box's part of what sessions can run on: its devices, who holds them and how they have been.
type pool struct {
	ledger  *accel.Ledger
	watcher *accel.Watcher
	history *history.Store
	nvidia  *nvml.Plugin // nil: none here
	mps     *mps.Daemon  // nil: parts of devices are not enforced
	sharing func()       // ends the loop that looks after it; nil: there is none
	node    string
	runtime string
	checks  []api.Check // what was found out at the start
	busy    *busyBox
	seen    func([]accel.Sample) // is told how devices were seen; nil: nobody is
	log     *slog.Logger
}

// Record implements accel.Recorder.
func (p *pool) Record(node string, devices []accel.Device, samples []accel.Sample) error {
	if p.seen != nil {
		p.seen(samples)
	}
	return p.history.Record(node, devices, samples)
}

// openPool finds what this box has. A driver that is missing or broken is told, and is no reason not to start.
func openPool(ctx context.Context, c config.Config, registry prometheus.Registerer, overuse func(accel.Overuse), log *slog.Logger) (*pool, error) {
	p := &pool{ledger: accel.NewLedger(accel.WithPatience(c.Accel.GiveBack)), log: log,
		busy: newBusyBox(os.DirFS("/proc"), time.Now)}
	plugins, err := p.plugins(c)
	if err != nil {
		return nil, err
	}
	if p.history, err = history.Open(filepath.Join(c.Data, "history")); err != nil {
		return nil, fmt.Errorf("opening the history of devices: %w", err)
	}
	p.node = c.Node.Name
	if p.node == "" {
		if p.node, err = os.Hostname(); err != nil {
			p.node = "box"
		}
	}
	p.watcher = accel.NewWatcher(accel.WatcherConfig{
		Ledger: p.ledger, Plugins: plugins, Node: accel.Node{Name: p.node, Labels: c.Node.Labels},
		Inventory: func() (accel.Node, error) { return accel.Inventory(os.DirFS("/")) },
		Every:     c.Accel.Every, Owner: owner, Overuse: overuse, Recorder: p, Log: log,
	})
	if _, err := p.watcher.Discover(ctx); err != nil {
		log.Warn("not all that this box has was found", "error", err)
		p.check("inventory", api.CheckWarning, err.Error(), "")
	}
	if err := registry.Register(accel.NewCollector(p.ledger)); err != nil {
		return nil, err
	}
	return p, nil
}

// plugins opens those that speak for this box's accelerators.
func (p *pool) plugins(c config.Config) ([]accel.Plugin, error) {
	if c.Accel.Simulate != "" {
		simulated, err := nvml.Simulate(c.Accel.Simulate, nvml.SimulateOptions{Held: p.held})
		if err != nil {
			return nil, err
		}
		p.nvidia = simulated
		p.log.Warn("the accelerators are simulated: nothing is behind them", "as", c.Accel.Simulate)
		p.check("accelerators", api.CheckWarning, "simulated "+c.Accel.Simulate+": nothing is behind its devices", "start without --simulate for the real ones")
		return []accel.Plugin{simulated}, nil
	}
	options := nvml.Options{Log: p.log}
	if c.Accel.MPS == config.Auto {
		service, err := mps.New(mps.Config{Dir: filepath.Join(c.Data, "mps"), Log: p.log})
		switch {
		case err == nil:
			p.mps, options.Sharing = service, service
		case !errors.Is(err, mps.ErrNone):
			p.log.Warn("parts of devices will not be enforced", "error", err)
		}
	}
	plugins := []accel.Plugin{sysfs.Open(sysfs.Options{})}
	nvidia, err := nvml.Open(options)
	if err != nil {
		p.mps = nil
		p.check("nvidia", api.CheckOK, err.Error(), adviceOf(err))
		if !errors.Is(err, nvml.ErrNoDriver) {
			p.log.Warn("NVIDIA's devices are not used", "error", err)
			p.checks[len(p.checks)-1].Status = api.CheckWarning
		}
		return plugins, nil
	}
	p.nvidia = nvidia
	if advice := nvidia.Advice(); advice != "" {
		p.check("nvidia", api.CheckWarning, "sessions see NVIDIA's devices by their device files", advice)
	}
	return append(plugins, nvidia), nil
}

func (p *pool) check(name, status, detail, hint string) {
	p.checks = append(p.checks, api.Check{Name: name, Status: status, Detail: detail, Hint: hint})
}

func adviceOf(err error) string {
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	return ""
}

// held is how much of a simulated device is in use, 0 to 1.
func (p *pool) held(device string) float64 {
	sum := accel.Amount(0)
	for _, e := range p.ledger.Claims() {
		if e.State != accel.ClaimHeld {
			continue
		}
		for _, share := range e.Shares {
			if share.Device == device {
				sum += share.Amount
			}
		}
	}
	return min(1, float64(sum)/100)
}

var sessionID = regexp.MustCompile(`ses-[a-z2-7]{12}`)

// owner is the session that a process of the box belongs to: both runtimes name a session's cgroup by its id.
func owner(pid int) (string, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", false
	}
	id := sessionID.Find(text)
	return string(id), id != nil
}

// sharingPatience is how long the start waits for what holds sessions to their parts of devices.
const sharingPatience = 5 * time.Second

// share has the service run that holds sessions to their parts of devices, and waits until it answers: who is started
// before that runs without limits for as long as it runs.
func (p *pool) share(ctx context.Context) {
	if p.mps == nil {
		return
	}
	looking, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var loop sync.WaitGroup
	loop.Go(func() { p.mps.Run(looking) })
	p.sharing = func() { cancel(); loop.Wait() }
	waiting, enough := context.WithTimeout(ctx, sharingPatience)
	defer enough()
	for p.mps.Answers(waiting) == "" {
		select {
		case <-waiting.Done():
			p.log.Warn("MPS does not answer yet; parts of devices are not enforced until it does")
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run watches the devices until ctx ends.
func (p *pool) run(ctx context.Context) {
	if err := p.watcher.Run(ctx); err != nil && ctx.Err() == nil {
		p.log.Error("devices are not watched any more", "error", err)
	}
}

// close lets go of the driver. What holds sessions to their parts of devices goes on, as they do.
func (p *pool) close() error {
	if p.sharing != nil {
		p.sharing()
	}
	if p.nvidia == nil {
		return nil
	}
	return p.nvidia.Close()
}

// quotas puts the settings' limits in the queue's words. "*" stands for all that have no line of their own.
func quotas(c config.QueueLimits) (sessions.Quotas, error) {
	var q sessions.Quotas
	read := func(written map[string]map[string]string, rest *sessions.Quota) (map[string]sessions.Quota, error) {
		out := map[string]sessions.Quota{}
		for name, limits := range written {
			quota, err := sessions.ParseQuota(limits)
			if err != nil {
				return nil, fmt.Errorf("limits of %s: %w", name, err)
			}
			if name == "*" {
				*rest = quota
				continue
			}
			out[name] = quota
		}
		return out, nil
	}
	var err error
	if q.Projects, err = read(c.Projects, &q.Project); err != nil {
		return q, err
	}
	q.Users, err = read(c.Users, &q.User)
	return q, err
}

// Boxes implements admin.Pool.
func (p *pool) Boxes() []admin.Box {
	busy, used := p.busy.use()
	var boxes []admin.Box
	for _, status := range p.ledger.Status() {
		boxes = append(boxes, admin.Box{Status: status, Runtime: p.runtime, BusyCores: busy, UsedMemory: used})
	}
	return boxes
}

// History implements admin.Pool.
func (p *pool) History(_ context.Context, of admin.Device, period admin.Period) ([]admin.Point, time.Duration, error) {
	points, step, err := p.history.Read(of.Node, of.ID, period.From, period.To, period.Step)
	if err != nil {
		return nil, 0, err
	}
	out := make([]admin.Point, len(points))
	for i, pt := range points {
		out[i] = admin.Point{At: pt.At, Utilization: pt.Utilization.Mean, MemoryUsed: int64(pt.Memory.Mean), Power: pt.Power.Mean, Temperature: pt.Temperature.Mean}
	}
	return out, step, nil
}

// Fence implements admin.Pool.
func (p *pool) Fence(_ context.Context, which admin.Device, reason, by string) error {
	if reason == "" {
		reason = "taken out"
	}
	return p.ledger.Fence(which.Node, which.ID, reason+", by "+by)
}

// Unfence implements admin.Pool.
func (p *pool) Unfence(_ context.Context, which admin.Device, _ string) error {
	if err := p.ledger.Unfence(which.Node, which.ID); err != nil {
		return err
	}
	p.watcher.Poke()
	return nil
}

// overuse is told, with every sample, of a session that holds more of a device than its part. It is ended when that is seen
// again: a peak while a model is loaded is no reason.
func (d *daemon) overuse(o accel.Overuse) {
	if d.Config.Accel.Overuse == config.OveruseEnd && time.Since(o.Since) >= d.Config.Accel.Every/2 {
		d.manager.Overuse(o.Session, o.String()+"; such sessions are ended (accel.overuse): ask for a larger part, or have the engine take less")
	}
}
