package nvml

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Bounds of one call of the plugin: a driver with a broken GPU may not come back for minutes.
const (
	patience   = 10 * time.Second // where the caller's context has no nearer deadline
	firstRetry = time.Second      // after the driver was lost
	lastRetry  = time.Minute
)

// Options of Open. The zero value is right for a box.
type Options struct {
	Log      *slog.Logger
	Sharing  Sharing  // nil: parts of devices are not enforced
	CDI      []string // directories of CDI specifications; nil: /etc/cdi and /var/run/cdi
	Sys      fs.FS    // nil: /sys, for the memory node that a device is near to
	Proc     fs.FS    // nil: /proc, for the device files of slices
	DeviceFS fs.FS    // nil: /dev, for which device files there are
}

// Plugin speaks for NVIDIA's devices. Its methods may be called from several goroutines; what they ask of the
// library is asked by one at a time, and a library that does not come back holds nobody longer than their context.
type Plugin struct {
	name      string
	simulated bool
	box       box
	options   Options
	turn      chan struct{} // held by whoever asks the box
	known     atomic.Pointer[map[string]found]

	// The rest belongs to the holder of turn.
	open   bool
	wait   time.Duration     // before the next try to open a box that is lost
	retry  time.Time         // when that is
	why    error             // of the loss
	whole  map[string]card   // by uuid: every card seen so far, as it was last seen well
	faults map[string]string // by uuid of a card or slice: what an event said; until the driver is loaded anew
}

// newPlugin opens the box: a plugin that is returned has reached its devices once.
func newPlugin(name string, b box, o Options, simulated bool) (*Plugin, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CDI == nil {
		o.CDI = []string{"/etc/cdi", "/var/run/cdi"}
	}
	for part, dir := range map[*fs.FS]string{&o.Sys: "/sys", &o.Proc: "/proc", &o.DeviceFS: "/dev"} {
		if *part == nil {
			*part = os.DirFS(dir)
		}
	}
	if err := b.open(); err != nil {
		return nil, err
	}
	p := &Plugin{
		name: name, simulated: simulated, box: b, options: o, open: true, turn: make(chan struct{}, 1),
		whole: map[string]card{}, faults: map[string]string{},
	}
	p.known.Store(&map[string]found{})
	if err := p.list(); err != nil {
		b.close()
		return nil, err
	}
	return p, nil
}

// Name is "nvidia", or "simulated dgxh100".
func (p *Plugin) Name() string { return p.name }

// Devices lists the GPUs, and of those in MIG mode their slices instead. A GPU that was there and is gone
// is listed with its fault. The error is accel.ErrLost.
func (p *Plugin) Devices(ctx context.Context) ([]accel.Device, error) {
	return ask(ctx, p, func() ([]accel.Device, error) {
		cards, err := p.box.cards()
		if err != nil {
			return nil, err
		}
		p.heed()
		return p.publish(cards), nil
	})
}

// Sample asks each of the devices how it is. The error is accel.ErrLost.
func (p *Plugin) Sample(ctx context.Context, devices []accel.Device) ([]accel.Sample, error) {
	return ask(ctx, p, func() ([]accel.Sample, error) {
		p.heed()
		samples := make([]accel.Sample, 0, len(devices))
		for _, d := range devices {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", errSilent, ctx.Err())
			}
			r, err := p.box.read(d.ID)
			switch {
			case errors.Is(err, errGone):
				return nil, err
			case err != nil:
				r = unknown()
				r.fault = err.Error()
			}
			r.fault = firstOf(p.faults[d.ID], p.faults[d.Parent], r.fault)
			samples = append(samples, r.sample(d.ID, time.Now()))
		}
		return samples, nil
	})
}

// Grant says what a session is given for its shares. No error but for a device that Devices did not list.
func (p *Plugin) Grant(shares []accel.Share) (accel.Grant, error) {
	if p.simulated {
		return simulatedGrant(shares, *p.known.Load())
	}
	grant, err := handOver(shares, *p.known.Load(), specified(p.options.CDI), present(p.options.DeviceFS))
	if err != nil {
		return accel.Grant{}, err
	}
	return withShares(grant, shares, p.options.Sharing)
}

// Advice is what the owner of the box should do, for `palisade doctor`; "" if nothing.
func (p *Plugin) Advice() string {
	known := *p.known.Load()
	if p.simulated || len(known) == 0 {
		return ""
	}
	names := specified(p.options.CDI)
	for _, id := range sorted(maps.Keys(known)) {
		if !slices.ContainsFunc(known[id].cdi, func(name string) bool { return names[name] }) {
			return "no CDI specification names " + id + ": containers get NVIDIA's device files, but not the driver's libraries; " +
				"run `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, and again after each update of the driver or change of MIG slices"
		}
	}
	return ""
}

// Close lets go of the library. Devices and Sample may be called again; they reach for it anew. A library that is stuck
// is left as it is.
func (p *Plugin) Close() error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-time.After(patience):
		return fmt.Errorf("closing NVML: %w", errSilent)
	}
	if p.open {
		p.box.close()
	}
	p.open, p.retry = false, time.Time{}
	return nil
}

// ask runs what asks the box, in turn, and gives up waiting when the context ends or patience does: what was asked goes on
// by itself and keeps its turn, so that nobody else enters a library that is stuck.
func ask[T any](ctx context.Context, p *Plugin, question func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer in %s", patience))
	defer cancel()
	var none T
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return none, lost(fmt.Errorf("%w: an earlier question is still open", errSilent), patience)
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-p.turn }()
		var a answer
		if a.err = p.ready(time.Now()); a.err == nil {
			a.value, a.err = question()
			a.err = p.settle(a.err, time.Now())
		}
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, lost(fmt.Errorf("%w: %w", errSilent, context.Cause(ctx)), patience)
	}
}

// ready opens a box that was lost, when it is time to try again.
func (p *Plugin) ready(now time.Time) error {
	if p.open {
		return nil
	}
	if now.Before(p.retry) {
		return lost(p.why, p.retry.Sub(now))
	}
	if err := p.box.open(); err != nil {
		return p.lose(err, now)
	}
	clear(p.faults) // the driver is a new one: what it has to say, it says again
	if err := p.list(); err != nil {
		p.box.close()
		return p.lose(err, now)
	}
	p.open, p.wait, p.why = true, 0, nil
	p.options.Log.Info("NVIDIA's driver answers again")
	return nil
}

// list looks once at what is there: readings and grants are of devices that were listed.
func (p *Plugin) list() error {
	cards, err := p.box.cards()
	if err == nil {
		p.publish(cards)
	}
	return err
}

// settle tells a box that is lost from a question that failed.
func (p *Plugin) settle(err error, now time.Time) error {
	if !errors.Is(err, errGone) {
		return err
	}
	p.box.close()
	return p.lose(err, now)
}

func (p *Plugin) lose(why error, now time.Time) error {
	if p.open || p.why == nil {
		p.options.Log.Error("NVIDIA's driver is lost", "error", why)
	}
	p.open, p.why = false, why
	p.wait = min(max(2*p.wait, firstRetry), lastRetry)
	p.retry = now.Add(p.wait)
	return lost(why, p.wait)
}

// heed keeps what the events since the last time say. Not to hear them is no reason to stop.
func (p *Plugin) heed() {
	events, err := p.box.events()
	if err != nil {
		p.options.Log.Debug("NVIDIA's events cannot be read", "error", err)
	}
	for _, e := range events {
		text := eventFault(e)
		p.options.Log.Warn("event of a GPU", "device", e.uuid, "xid", e.xid, "fault", text)
		if text == "" {
			continue
		}
		hit := e.uuid
		for _, s := range p.whole[e.uuid].slices {
			if e.gi >= 0 && s.gi == e.gi {
				hit = s.uuid
			}
		}
		p.faults[hit] = text
	}
}

// publish turns the cards into devices, and keeps how each is handed over.
func (p *Plugin) publish(cards []card) []accel.Device {
	cards = p.remember(cards)
	joined := joins(cards)
	known := make(map[string]found, len(cards))
	var devices []accel.Device
	for _, c := range cards {
		d := accel.Device{
			ID: c.uuid, Index: c.index, Family: "cuda", Slot: "cuda.device", Name: c.name, Memory: c.memory, Architecture: c.arch,
			NUMA: memoryNode(p.options.Sys, c.pci), PCI: c.pci, Links: joined[c.uuid], Simulated: p.simulated,
			Fault: firstOf(c.fault, p.faults[c.uuid]),
		}
		if !c.mig {
			devices, known[d.ID] = append(devices, d), c.whole(d)
			continue
		}
		for _, s := range c.slices {
			part := d
			part.ID, part.Index, part.Parent, part.Memory, part.Links = s.uuid, s.index, c.uuid, s.memory, nil
			part.Slot, part.Name = accel.Slot("cuda.device:"+s.profile+"-mig"), c.name+" MIG "+s.profile
			part.Fault = firstOf(d.Fault, p.faults[s.uuid], s.fault)
			devices, known[part.ID] = append(devices, part), c.part(part, s, p.options.Proc)
		}
	}
	p.known.Store(&known)
	return devices
}

// remember fills in cards that do not answer any more with what they were, and adds those that are gone altogether:
// a device that holds sessions must not vanish without a word.
func (p *Plugin) remember(cards []card) []card {
	here := map[string]bool{}
	for i, c := range cards {
		if c.uuid == "" {
			for _, was := range p.whole {
				if was.index == c.index {
					cards[i] = was
					cards[i].fault = c.fault
				}
			}
		}
		if cards[i].uuid == "" {
			cards[i].uuid = fmt.Sprintf("GPU-unknown-%d", c.index)
		}
		here[cards[i].uuid] = true
		if c.fault == "" {
			p.whole[c.uuid] = c
		}
	}
	for _, uuid := range sorted(maps.Keys(p.whole)) {
		if gone := p.whole[uuid]; !here[uuid] {
			gone.fault = "fell off the bus: the driver does not list it any more"
			cards = append(cards, gone)
		}
	}
	return cards
}

func (r reading) sample(device string, at time.Time) accel.Sample {
	s := accel.Sample{
		Device: device, At: at, Utilization: r.utilization, MemoryUsed: r.memory,
		Temperature: r.temperature, Power: r.power, Fault: r.fault,
	}
	if r.processes != nil {
		s.Processes = []accel.ProcessUse{}
	}
	for _, pid := range sorted(maps.Keys(r.processes)) {
		s.Processes = append(s.Processes, accel.ProcessUse{PID: pid, Memory: r.processes[pid]})
	}
	return s
}
