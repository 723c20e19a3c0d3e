package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	sessioninit "github.com/palisade-run/palisade/firmware-images/session-init"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/private"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/network/cni"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/variants"
)

// runtimeChoice is the runtime of this box and why it is this one.
type runtimeChoice struct {
	runner
	name       string
	why        string
	process    *process.Runtime    // nil: no plain processes
	containerd *containerd.Runtime // nil: no images
	private    *private.Daemon     // nil: containerd is somebody else's
	open       error               // why containers can reach what listens on this box; nil: they cannot
	networks   []*network.Network  // of the appliance's own
	shares     bool                // sessions share the box's network
}

// logFiles is how many files a session's log rotates through.
const logFiles = 4

// runtimeOptions are what chooseRuntime needs beside the settings.
type runtimeOptions struct {
	guard       *reach.Guard
	executable  string
	credentials func(ctx context.Context, host string) (user, secret string, err error)
	mirrors     func(ctx context.Context, image string) []containerd.Mirror // nil: there are no other boxes
	log         *slog.Logger
}

// chooseRuntime opens the runtime that the settings name, or what this box offers: processes always, and images where
// a containerd answers, or where sessions of an earlier time are in one.
func chooseRuntime(ctx context.Context, c config.Config, o runtimeOptions) (choice runtimeChoice, err error) {
	choice = runtimeChoice{name: c.Runtime, why: "the settings say so"}
	defer func() {
		if err != nil {
			err = errors.Join(err, choice.close(false))
		}
	}()
	images := c.Runtime == config.RuntimeContainerd
	if c.Runtime == config.RuntimeAuto {
		images, choice.why = wantsContainers(ctx, c)
	}
	if images {
		if err = choice.openContainerd(ctx, c, o); err != nil {
			return choice, err
		}
		choice.runner, choice.name = choice.containerd, config.RuntimeContainerd
	}
	if c.Runtime == config.RuntimeContainerd {
		return choice, nil
	}
	if err = choice.openProcess(c, o); err != nil {
		return choice, err
	}
	choice.name = config.RuntimeProcess
	choice.runner = choice.process
	if images {
		choice.name = config.RuntimeContainerd + " and " + config.RuntimeProcess
		choice.runner = both{containers: choice.containerd, processes: choice.process}
	}
	return choice, nil
}

// wantsContainers reports whether this box runs images, and why, where the settings leave it open.
func wantsContainers(ctx context.Context, c config.Config) (bool, string) {
	address := c.Containerd.Address
	switch {
	case os.Geteuid() != 0:
		return false, "containers take root; images are not run"
	case address == config.PrivateContainerd:
		return true, "images run in a containerd of the appliance's own"
	}
	var dialer net.Dialer
	dialing, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	connection, err := dialer.DialContext(dialing, "unix", address)
	if err == nil {
		connection.Close()
		return true, "containerd answers at " + address
	}
	if earlierContainers(c) {
		return true, "sessions of an earlier time are in the containerd at " + address
	}
	return false, "no containerd answers at " + address + "; images are not run (--containerd private starts one)"
}

func containersDir(c config.Config) string { return filepath.Join(c.Data, "containers") }

// earlierContainers reports whether sessions of an earlier time are in a containerd.
func earlierContainers(c config.Config) bool {
	kept, err := filepath.Glob(filepath.Join(containersDir(c), "instances", "*"))
	return err == nil && len(kept) > 0
}

func (r *runtimeChoice) openContainerd(ctx context.Context, c config.Config, o runtimeOptions) (err error) {
	cfg := containerd.Config{
		Address: c.Containerd.Address, Root: containersDir(c), Snapshotter: c.Containerd.Snapshotter, Init: sessioninit.Program(),
		LogFiles: logFiles, LogSize: c.Limits.SessionLog / logFiles, UserNamespace: c.Containerd.UserNamespace,
		PlainHTTP: c.Containerd.Insecure, Reach: o.guard.Limit, Credentials: o.credentials, Mirrors: o.mirrors, Log: o.log,
	}
	if cfg.Address == config.PrivateContainerd {
		if r.private, err = private.Start(ctx, private.Config{Dir: filepath.Join(c.Data, "containerd"), Log: o.log}); err != nil {
			return err
		}
		cfg.Address = r.private.Address()
	}
	if c.Containerd.CNI != "" {
		cfg.Network, err = cni.Open(cni.Config{Dir: filepath.Join(c.Data, "cni"), Conflist: c.Containerd.CNI, Log: o.log})
		if err != nil {
			return err
		}
	} else if n := openNetwork(c, "netns-containers", "c", o.log); n != nil {
		cfg.Network, r.networks = n, append(r.networks, n)
	} else {
		r.shares = true
	}
	if guarded, ok := cfg.Network.(interface{ Guarded() error }); ok {
		r.open = guarded.Guarded()
	}
	// It may be starting beside us. Where sessions of ours are in it, what runs must be known before anything is decided.
	patience := containerdPatience / 10
	if earlierContainers(c) {
		patience = containerdPatience
	}
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for try := 1; ; try++ {
		r.containerd, err = containerd.New(opening, cfg)
		if !errors.Is(err, sessions.ErrRuntimeDown) {
			return err
		}
		if try == 1 {
			o.log.Warn("containerd cannot be reached; trying again for a while", "patience", patience, "error", err)
		}
		select {
		case <-opening.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// containerdPatience is how long a containerd that does not answer is waited for at the start.
const containerdPatience = 30 * time.Second

func (r *runtimeChoice) openProcess(c config.Config, o runtimeOptions) (err error) {
	programs, within := filepath.Join(c.Data, "programs"), ""
	if program := sessioninit.Supervisor(); program != nil {
		if o.executable, err = unpack(program, programs, supervisorName); err != nil {
			return err
		}
	}
	if program := sessioninit.Program(); program != nil {
		if within, err = unpack(program, programs, initName); err != nil {
			return err
		}
	}
	own := openNetwork(c, "netns", "", o.log)
	if r.shares = r.shares || own == nil; own != nil {
		r.networks = append(r.networks, own)
	}
	r.process, err = process.New(process.Config{
		Root: filepath.Join(c.Data, "sessions"), Executable: o.executable, Init: within, Network: own,
		Hide: []string{c.Data}, LogFiles: logFiles, LogSize: c.Limits.SessionLog / logFiles, Log: o.log,
	})
	if err != nil {
		return fmt.Errorf("opening the process runtime: %w", err)
	}
	return nil
}

// openNetwork makes a network for one runtime's sessions, on a bridge of its own: what one runtime does not know it
// would take for something left over. nil: they share the box's, which `palisade doctor` says, and is better than no
// appliance.
func openNetwork(c config.Config, dir, suffix string, log *slog.Logger) *network.Network {
	if os.Geteuid() != 0 {
		return nil
	}
	cfg := network.Config{
		Dir: filepath.Join(c.Data, dir), Bridge: c.Network.Bridge, CIDR: c.Network.CIDR, Pool: c.Network.Pool,
		DefaultRoute: c.Network.DefaultRoute, Log: log,
	}
	if c.Network.Bridge != "" {
		cfg.Bridge += suffix
	}
	if c.Runtime == config.RuntimeAuto && c.Network.CIDR.IsValid() {
		cfg.CIDR = half(c.Network.CIDR, suffix != "")
	}
	n, err := network.Open(cfg)
	if err != nil {
		log.Warn("sessions share the box's network: their own cannot be made", "error", err)
		return nil
	}
	return n
}

// diagnose says what of the runtimes works on this box.
func (r *runtimeChoice) diagnose(ctx context.Context) []api.Check {
	var checks []api.Check
	if r.process != nil {
		for _, f := range r.process.Diagnose(ctx) {
			check := api.Check{Name: f.Subject, Status: api.CheckOK, Detail: f.Text, Hint: f.Hint}
			if !f.OK {
				check.Status = api.CheckWarning
			}
			checks = append(checks, check)
		}
	}
	if r.open != nil {
		checks = append(checks, api.Check{
			Name: "network", Status: api.CheckWarning, Detail: fmt.Sprintf("Containers can reach what listens on this box: %v.", r.open),
			Hint: "let the kernel have nf_tables, or close the box by other means",
		})
	}
	if r.private != nil {
		state := r.private.State()
		check := api.Check{Name: "containerd", Status: api.CheckOK, Detail: fmt.Sprintf("the appliance's own, %s, process %d", state.Version, state.PID)}
		if !state.Running {
			check.Status, check.Detail, check.Hint = api.CheckFailed, state.Reason, "its log is "+filepath.Join(filepath.Dir(r.private.Address()), "containerd.log")
		}
		checks = append(checks, check)
	}
	return checks
}

// close lets go of what was opened. Sessions go on, and so does a containerd of our own while it has any, or where
// somebody is to take it over.
func (r *runtimeChoice) close(toAnother bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	idle := r.containerd == nil // ours, and never reached: nobody needs it before it is tried again, not even what runs
	var err error
	if r.containerd != nil {
		instances, listErr := r.containerd.List(ctx)
		idle = listErr == nil && !slices.ContainsFunc(instances, func(in sessions.Instance) bool { return in.Running })
		if toAnother { // commands that people run go on here, over the same connection
			r.containerd.Retire()
		} else {
			err = r.containerd.Close()
		}
	}
	switch {
	case r.private == nil:
	case idle && !toAnother:
		err = errors.Join(err, r.private.Stop(ctx))
	default:
		r.private.Close()
	}
	return err
}

// release lets go of what close has left open for the commands that went on.
func (r *runtimeChoice) release() error {
	if r.containerd == nil {
		return nil
	}
	return r.containerd.Close()
}

// images is the runtime's part that keeps images; nil where there is none.
func (r *runtimeChoice) images() admin.Images {
	if r.containerd == nil {
		return nil
	}
	return r.containerd
}

// describeVariants shows the variants on the wire.
func describeVariants(table *variants.Table) []api.Runtime {
	all := table.All()
	out := make([]api.Runtime, len(all))
	for i, v := range all {
		out[i] = api.Runtime{
			Name: v.Name, Port: v.Port, Command: v.Command, Custom: !v.BuiltIn, Description: cmp.Or(v.Description, v.Title),
		}
		if v.Health != nil {
			out[i].Health = v.Health.Path
		}
	}
	return out
}

// runtimes lists the variants that a service can name.
func (d *daemon) runtimes() []api.Runtime { return describeVariants(d.variants) }
