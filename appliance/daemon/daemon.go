package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/variants"
)

// Options of Serve.
type Options struct {
	Config     config.Config
	Version    api.Version // StartedAt and Gateway are filled in
	Executable string      // this program: it is started again as the supervisor of sessions
	Log        *slog.Logger
	Ready      func(gateway string) // called once when the appliance answers; may be nil
}

// daemon is one run of Serve.
type daemon struct {
	Options
	store    *store.Store
	folders  *catalog.Folders
	variants *variants.Table
	tokens   *router.Tokens
	keys     *keys.Keyring
	router   *router.Router
	seeing   *seeing
	usage    *usage.Meter
	runtime  runtimeChoice
	pool     *pool
	vault    *vault.Vault
	manager  *sessions.Manager
	registry *prometheus.Registry
	front    *front
	gateway  string // http://127.0.0.1:8080
}

// Serve runs the appliance until ctx ends, and stops no session then. The order matters:
//  1. The data directory is locked: nothing is read before it is ours.
//  2. The port is opened: whoever comes now is told to try again in a second.
//  3. The store is opened and its schema brought up to date.
//  4. What holds sessions to their parts of devices is started; what runs is adopted, and the first table of routes
//     published.
//  5. The front door opens: /readyz answers 200.
//
// On the way back requests are finished first (as far as stopGrace allows), then decisions stop, then
// what is counted is written, then the store is closed.
func Serve(ctx context.Context, o Options) (err error) {
	// Requests allocate nothing, so that collecting more often costs little; and with ten thousand streams open, what
	// waits to be collected is a third of all memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	release, err := lockData(o.Config.Data) // 1
	if err != nil {
		return err
	}
	defer release()
	d := &daemon{Options: o, registry: prometheus.NewRegistry()}
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	serving, err := d.listen(ctx) // 2
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, serving.stop()) }()
	if err := d.open(ctx); err != nil { // 3
		return err
	}
	defer func() { err = errors.Join(err, d.runtime.close(), d.pool.close(), d.store.Close()) }()
	d.pool.share(ctx)
	if err := d.adopt(ctx); err != nil { // 4
		return fmt.Errorf("taking over what runs: %w", err)
	}
	// Once it is known which processes are of sessions: who else uses a device is seen before it is handed out.
	d.pool.watcher.Sample(ctx)
	return d.work(ctx, serving) // 5
}

// work runs the loops until ctx ends or one of them fails.
func (d *daemon) work(ctx context.Context, serving *serving) error {
	// Decisions go on while requests are finished: a drain under way needs them.
	deciding, stopDeciding := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopDeciding(nil)
	var loops sync.WaitGroup
	failed := make(chan error, 1)
	loops.Go(func() {
		if err := d.manager.Run(deciding); err != nil {
			failed <- err
		}
	})
	loops.Go(func() { d.flushTokens(deciding) })
	loops.Go(func() { d.pool.run(deciding) })
	loops.Go(func() { d.usage.Run(deciding) })
	loops.Go(func() { d.seeing.run(deciding) })
	d.front.rooms.Store(d.rooms(ctx))
	serving.gate.Open(d.router)
	d.Log.Info("ready", "gateway", d.gateway+"/v1", "runtime", d.runtime.name, "database", d.store.DSN(), "data", d.Config.Data)
	if d.Ready != nil {
		d.Ready(d.gateway)
	}
	var err error
	select {
	case <-ctx.Done():
		d.Log.Info("stopping; sessions go on")
	case err = <-serving.failed:
	case err = <-failed:
	}
	err = errors.Join(err, serving.stop())
	stopDeciding(errors.New("the daemon stops"))
	loops.Wait()
	return errors.Join(err, d.countLast(ctx))
}

// open makes the rooms and joins them.
func (d *daemon) open(ctx context.Context) (err error) {
	c := d.Config
	if d.store, err = store.Open(ctx, store.Options{DSN: c.DSN(), Log: d.Log}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	table, problems := variants.Load(c.Variants)
	if err := problems.Err(); err != nil {
		return err
	}
	d.variants = table
	if err = d.openTokens(ctx); err != nil {
		return err
	}
	if d.keys, err = keys.Open(ctx, d.store, time.Now); err != nil {
		return err
	}
	d.router = router.New(c.Router, d.tokens, d.registry, d.Log.With("room", "router"))
	d.usage = usage.NewMeter(d.store, time.Now, d.Log.With("room", "usage"))
	if d.seeing, err = d.openSeeing(ctx); err != nil {
		return err
	}
	d.router.Observe(d.seeing.observers(d.usage))
	if d.vault, err = vault.Open(ctx, d.store, filepath.Join(c.Data, "vault.key"), time.Now); err != nil {
		return err
	}
	d.runtime, err = chooseRuntime(ctx, c, runtimeOptions{
		executable: d.Executable, credentials: d.vault.Registries().Credentials, log: d.Log.With("room", "runtime"),
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.runtime.close())
		}
	}()
	if d.pool, err = openPool(ctx, c, d.registry, d.overuse, d.Log.With("room", "accel")); err != nil {
		return err
	}
	d.pool.runtime = d.runtime.name
	limits, err := quotas(c.Queue.Limits)
	if err != nil {
		return err
	}
	quantum, err := c.Accel.Quantum()
	if err != nil {
		return err
	}
	allocation := accel.Options{Quantum: quantum}
	if c.Accel.Allocation == "fill" {
		allocation.Policy = accel.Fill
	}
	// The manager and the folders ask each other: who uses a folder, and where a folder is.
	d.folders = catalog.NewFolders(d.store, filepath.Join(c.Data, "folders"), func(id string) (string, bool) {
		return d.manager.FolderUsedBy(id)
	}, c.Data)
	d.manager = sessions.NewManager(sessions.Deps{
		Store: d.store, Runtime: d.runtime, Observer: d.runtime, Traffic: traffic{d.router},
		Folders: d.folders, Variants: d.variants, Registry: d.registry, Log: d.Log.With("room", "sessions"),
		Policy: c.Service, Destroyed: d.tokens.RevokeService, Ledger: d.pool.ledger, Grant: d.pool.watcher.Grant,
		Queueing: sessions.QueueConfig{
			Order: sessions.Order(c.Queue.Order), Strategy: sessions.Strategy(c.Queue.Strategy), Quotas: limits, Options: allocation,
		},
	})
	return nil
}

// adopt takes over what runs. A containerd that is just being restarted is waited for: whoever takes its sessions for
// ended starts them twice.
func (d *daemon) adopt(ctx context.Context) error {
	if err := d.seesAll(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(containerdPatience)
	for {
		err := d.manager.Adopt(ctx)
		if !errors.Is(err, sessions.ErrRuntimeDown) || time.Now().After(deadline) {
			return err
		}
		d.Log.Warn("what runs cannot be seen yet; trying again", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// seesAll refuses a runtime that does not see what runs in the other one: it would be taken for ended, its devices given
// to somebody else, and the same started again beside it.
func (d *daemon) seesAll(ctx context.Context) error {
	all, err := d.store.Sessions(ctx)
	if err != nil {
		return err
	}
	unseen := 0
	for _, s := range all {
		kept := d.runtime.containerd != nil
		if s.Image == process.HostImage {
			kept = d.runtime.process != nil
		}
		if kept || s.Status.Terminal() || s.PID <= 1 {
			continue
		}
		if id, runs := owner(s.PID); runs && id == s.ID {
			unseen++
		}
	}
	if unseen == 0 {
		return nil
	}
	return hinted{
		fmt.Errorf("%d sessions run that --runtime %s does not see", unseen, d.Config.Runtime),
		"start with --runtime auto, which sees both kinds; or remove their services first",
	}
}

// overuse is told, with every sample, of a session that holds more of a device than its part. It is ended when that is seen
// again: a peak while a model is loaded is no reason.
func (d *daemon) overuse(o accel.Overuse) {
	if d.Config.Accel.Overuse == config.OveruseEnd && time.Since(o.Since) >= d.Config.Accel.Every/2 {
		d.manager.Overuse(o.Session, o.String()+"; such sessions are ended (accel.overuse): ask for a larger part, or have the engine take less")
	}
}

// rooms puts the handlers together. Whoever only watches the admin API is let go when ctx ends, so that
// the grace of a stop is for answers of models alone.
func (d *daemon) rooms(ctx context.Context) *rooms {
	version := d.Version
	version.StartedAt, version.Gateway = time.Now().UTC(), d.gateway+"/v1"
	handler := admin.New(admin.Deps{
		Services: d.manager, Revisions: d.manager, Sessions: d.manager, Folders: d.folders, Files: d.folders,
		Tokens: d.tokens, Keys: d.keys, Pool: d.pool, Queue: d.manager,
		Usage: d.usage, Live: d.seeing.live, Captures: d.seeing.captures,
		Images: d.runtime.images(), Registries: d.vault.Registries(), Runtimes: d.runtimes, Doctor: d.doctor,
		PublicURL: d.gateway, Version: version, Log: d.Log.With("room", "admin"), Now: time.Now,
	})
	return &rooms{
		gateway: d.router, admin: until(ctx, handler), home: home(version.Version, version.Gateway),
		metrics: promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{Registry: d.registry}),
	}
}

// runtimes lists the variants that a service can name.
func (d *daemon) runtimes() []api.Runtime { return describeVariants(d.variants) }

// flushTokens writes when tokens were last used, now and then and at the end.
func (d *daemon) flushTokens(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		if err := d.tokens.Flush(writing); err != nil {
			d.Log.Error("when tokens were last used was not written; it will be", "error", err)
		}
		cancel()
	}
}

// stopGrace is how long requests under way may go on when the daemon stops.
const stopGrace = 10 * time.Second

// serving is the listeners and their gate.
type serving struct {
	gate   *router.Gate
	loops  sync.WaitGroup
	failed chan error
	once   sync.Once
	err    error
}

// listen opens port and socket and answers on both from now on.
func (d *daemon) listen(ctx context.Context) (*serving, error) {
	secure, scheme, err := d.tls()
	if err != nil {
		return nil, err
	}
	tcp, err := listenTCP(ctx, d.Config.Listen, secure)
	if err != nil {
		return nil, err
	}
	socket, err := listenSocket(ctx, d.Config.Data)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	d.gateway = d.Config.Advertise
	if d.gateway == "" {
		d.gateway = scheme + "://" + reachable(tcp.Addr())
	}
	d.front = &front{check: func(ctx context.Context) error { return d.store.Ping(ctx) }}
	s := &serving{gate: router.NewGate(d.Config.Router, newServer(d.front, d.Log), d.Log.With("room", "router")), failed: make(chan error, 2)}
	for _, l := range []net.Listener{tcp, socket} {
		s.loops.Go(func() {
			if err := s.gate.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
			}
		})
	}
	return s, nil
}

// stop finishes the requests under way and closes the listeners. It may be called again.
func (s *serving) stop() error {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if err := s.gate.Shutdown(ctx); err != nil {
			s.err = s.gate.Close()
		}
		s.loops.Wait()
	})
	return s.err
}

// countLast writes what was counted since the last time.
func (d *daemon) countLast(ctx context.Context) error {
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := d.usage.Flush(writing); err != nil {
		return fmt.Errorf("writing what was used since the last second: %w", err)
	}
	return nil
}

// tls decides how the port is secured: as the settings say, else plain on loopback and with a
// self-made certificate elsewhere.
func (d *daemon) tls() (*tls.Config, string, error) {
	c := d.Config
	switch c.Security() {
	case config.Given:
		secure, err := certificateFiles(c.TLS.Cert, c.TLS.Key)
		return secure, "https", err
	case config.Plain:
		return nil, "http", nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("listen address %q: %w", c.Listen, err)
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	secure, err := selfMade(filepath.Join(c.Data, "tls"), certificateHosts(host, name, c.Router.Domain), time.Now)
	return secure, "https", err
}

// reachable is addr as somebody on this box can use it: a listener on all addresses answers on loopback.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
