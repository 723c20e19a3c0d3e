package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/people/oidc"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/quota/tally"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/logs"
	"github.com/palisade-run/palisade/sessions/terminal"
	"github.com/palisade-run/palisade/training/accounts"
	"github.com/palisade-run/palisade/training/apps"
	"github.com/palisade-run/palisade/training/checkpoints"
	"github.com/palisade-run/palisade/training/idle"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
	"github.com/palisade-run/palisade/variants"
)

// Options of Serve.
type Options struct {
	Config     config.Config
	File       string           // the settings' file; "": there is none
	Version    api.Version      // StartedAt and Gateway are filled in
	Executable string           // this program: it is started again as the supervisor of sessions
	Command    []string         // how this program was started, for its successor: the path first
	Check      bool             // look at the settings and return
	Flags      config.Overrides // what of Config the command line said
	Log        *slog.Logger
	Ready      func(gateway string) // called once when the appliance answers; may be nil
	// First is told once of the administrator whom the first start has made, with a password that is kept nowhere.
	First func(name, password, console string)
}

// daemon is one life of the appliance. A process has one, or several where a successor could not take over: the house
// stays then.
type daemon struct {
	Options
	*house
	base      Options // as this process was started
	store     *store.Store
	folders   *folders.Keeper
	variants  *variants.Table
	tokens    *router.Tokens
	tally     *tally.Counter // nil: limits are counted by this process for itself
	keys      *keys.Keyring
	people    *people.Book
	providers *oidc.Door // nil: nobody proves users elsewhere
	projects  *people.Projects
	limits    *people.LimitBook
	sshKeys   *authorized.Book
	router    *router.Router
	traffic   *traffic
	seeing    *seeing
	books     *books
	usage     *usage.Meter
	spilled   *spilled
	runtime   runtimeChoice
	pool      *pool
	vault     *vault.Vault
	audit     *audit.Log
	manager   *sessions.Manager
	blobs     *blobs.Store
	fetcher   *fetch.Fetcher
	guard     *reach.Guard // what may be asked on whose behalf
	installs  *install.Manager
	bundles   *bundles
	planning  *planning
	apps      *apps.Apps
	catalogs  *index.Index
	points    *checkpoints.Keep
	accounts  *accounts.Meter
	idle      *idle.Keeper
	scaling   *scaling
	keeper    *autoscaler.Keeper
	measures  *calibrate.Keeper
	jobs      *keeper.Keeper
	backups   *backups
	registry  *prometheus.Registry

	// In a cluster.
	began     time.Time         // of this life
	turn      *turn             // in which it decides; nil: another box does
	fleet     *fleetRunner      // where turn is not nil
	crowd     fleet.Crowd       // of boxes that are silent
	revision  atomic.Int64      // of the table that it routes by
	peers     peers             // the other boxes, as they say what they carry
	entered   map[string]pooled // by box: what the ledger was told of it last
	decided   chan struct{}     // closed when this life decides nothing any more
	rostered  chan struct{}     // of size 1: boxes have come, or gone
	ending    func()            // ends the place in a cluster that this life had; nil: it goes on
	paused    *pause            // those who waited for this life; nil: nobody does
	following *loops            // of those who follow what the boxes agree on; they end with the store

	deciding *loops             // of those who decide; they end before the store is closed
	counting *loops             // of those who look at requests; they end when these have
	letGo    context.CancelFunc // of whoever only watches the admin API
}

// Serve runs the appliance until ctx ends, or a successor has taken over and all requests here are answered. It
// stops no session. The order matters:
//  1. The data directory is locked: nothing is read before it is ours. One whose daemon is about to end is waited for,
//     behind open doors.
//  2. The port is opened: whoever comes now waits, for a moment.
//  3. The store is opened and its schema brought up to date.
//  4. What holds sessions to their parts of devices is started; what runs is adopted, and the first table of routes
//     published.
//  5. Requests are let in: /readyz answers 200.
//
// On the way back requests are finished first (as far as stopGrace allows), then decisions stop, then
// what is counted is written, then the store is closed. Who is started by another daemon goes this way beside it:
// see succeed.
func Serve(ctx context.Context, o Options) (err error) {
	if o.Check {
		return checkSettings(o.Config)
	}
	// Requests allocate nothing, so that collecting more often costs little; and with ten thousand streams open, what
	// waits to be collected is a third of all memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40)
	}
	lines := newLastLines()
	o.Log = slog.New(slog.NewMultiHandler(o.Log.Handler(), slog.NewTextHandler(lines, nil)))
	left, err := inherit()
	if err != nil {
		return err
	}
	h := &house{stopped: make(chan struct{}), seats: make(chan struct{}, 1), restarts: make(chan restart), lines: admin.NewLines(), book: idle.NewBook(time.Now), terminals: terminal.NewKeeper(), unit: serviceManager{os.Getenv("NOTIFY_SOCKET"), o.Log}, lastLines: lines}
	h.lines.Opened = h.book.Opened
	defer func() { h.confess(err) }()
	defer func() { err = errors.Join(err, h.close()) }()
	d := newDaemon(o, h)
	if left.control == nil {
		err = d.move(ctx, &left)
	} else {
		err = d.succeed(ctx, &left)
	}
	if err != nil {
		return err
	}
	defer h.lock.release()
	defer func() { err = errors.Join(err, h.seat.close(false)) }() // before that: the next process opens the same ports
	if err := d.begin(ctx); err != nil {
		return err
	}
	hangups := d.onHangup(ctx)
	defer hangups()
	for d != nil {
		if d, err = d.work(ctx); err != nil {
			return err
		}
	}
	return nil
}

func newDaemon(o Options, h *house) *daemon {
	d := &daemon{Options: o, base: o, house: h, registry: prometheus.NewRegistry(), began: time.Now(), decided: make(chan struct{}), rostered: make(chan struct{}, 1)}
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return d
}

// move locks the data directory and opens the doors.
func (d *daemon) move(ctx context.Context, left *inheritance) (err error) {
	d.lock, err = lockData(ctx, d.Config)
	held, locked := errors.AsType[lockedError](err)
	if err != nil && !(locked && held.ending()) {
		return err
	}
	if err := d.enter(ctx, left); err != nil {
		return err
	}
	d.accept()
	if locked {
		d.Log.Info("waiting until the daemon before this one has ended", "process", held.holder)
		d.lock, err = waitLock(ctx, d.Config, stopGrace+5*time.Second)
	}
	return err
}

// begin opens the store and takes over what runs. Where it fails, nothing is left open.
func (d *daemon) begin(ctx context.Context) (err error) {
	if d.seat == nil && !d.apart.Load() {
		if d.seat, err = openSeat(ctx, d.Options, d.house); err != nil {
			return err
		}
	}
	if d.seat != nil {
		return d.beginInCluster(ctx)
	}
	d.goOnAsking(ctx)
	if err := d.open(ctx); err != nil {
		return err
	}
	d.pool.share(ctx)
	if err := d.adopt(ctx); err != nil {
		return errors.Join(fmt.Errorf("taking over what runs: %w", err), d.leave(false))
	}
	// Once it is known which processes are of sessions: who else uses a device is seen before it is handed out.
	d.pool.watcher.Sample(ctx)
	return nil
}

// work runs the loops until ctx ends, one of them fails, or another process takes over. Where that one cannot, it
// returns the life that goes on in its place.
func (d *daemon) work(ctx context.Context) (*daemon, error) {
	if err := d.crossOver(ctx); err != nil {
		return nil, errors.Join(err, d.leave(true))
	}
	if d.follows() {
		return d.workFollowing(ctx)
	}
	failed := make(chan error, 1)
	d.deciding, d.counting = newLoops(ctx), newLoops(ctx)
	d.deciding.run(func(ctx context.Context) {
		if err := d.manager.Run(ctx); err != nil {
			failed <- err
		}
	})
	d.deciding.run(d.keeper.Run)
	d.deciding.run(d.audit.Run)
	d.deciding.run(d.people.Run)
	d.deciding.run(d.scaling.run)
	d.deciding.run(d.measures.Run)
	d.deciding.run(d.jobs.Run)
	d.deciding.run(d.backups.keepSchedule)
	d.deciding.run(d.installs.Run)
	d.deciding.run(d.flushTokens)
	if d.seat == nil {
		d.deciding.run(d.pool.run)
	}
	d.deciding.run(d.usage.Run)
	d.deciding.run(d.accounts.Run)
	d.deciding.run(d.tendFolders)
	d.deciding.run(d.catalogs.Run)
	d.deciding.run(d.idle.Run)
	d.deciding.run(d.spilled.run)
	d.counting.run(d.seeing.run)
	watching, letGo := context.WithCancel(ctx)
	defer letGo()
	d.letGo = letGo
	err := d.receive(watching)
	if err != nil {
		return nil, d.end(ctx, err)
	}
	if d.turn != nil {
		close(d.turn.works)
	}
	for {
		select {
		case <-ctx.Done():
			d.Log.Info("stopping; sessions go on")
		case err = <-d.failed:
		case err = <-d.store.Taken(): // whoever has it decides now, and adds what was used when this box starts again
			d.deciding.end()
			d.books.leaveStore(&spill{dir: spillDir(d.Config.Data)})
		case <-d.deposed():
			return d.become(ctx, nil)
		case <-d.store.Deposed():
			d.Log.Warn("the database says that another box decides: this one stops to, and stands for election anew")
			return d.become(ctx, nil)
		case <-d.seats:
			return d.reseat(ctx)
		case err = <-failed:
		case r := <-d.restarts:
			if s := d.prepareDeciding(ctx, r); s != nil {
				return d.handOver(ctx, s, r)
			}
			continue
		}
		return nil, d.end(ctx, err)
	}
}

// receive lets requests in.
func (d *daemon) receive(watching context.Context) error {
	first := d.makeFirst(watching) // before anybody can look for it
	rooms, err := d.openRooms(watching)
	if err != nil {
		return err
	}
	d.front.rooms.Store(rooms)
	if d.paused != nil {
		close(d.paused.over)
		d.paused = nil
	}
	d.countTogether(watching)
	d.gate.Open(d.router)
	d.letIn()
	d.accept()
	d.opened()
	d.Log.Info("ready", "gateway", d.gateway+"/v1", "part", d.part(), "runtime", d.runtime.name, "database", d.store.DSN(), "data", d.Config.Data)
	if first != "" {
		d.First(people.FirstName, first, d.gateway+"/console/")
	}
	if d.Ready != nil {
		d.Ready(d.gateway)
	}
	go giveBack(d.Log)
	return nil
}

// end stops, in order. Decisions go on while requests are finished: a drain under way needs them.
func (d *daemon) end(ctx context.Context, err error) error {
	d.unit.tell("STOPPING=1")
	d.hangUp(errStopped)
	if d.apps != nil {
		d.apps.Close()
	}
	err = errors.Join(err, d.stop())
	d.deciding.end()
	d.giveTurnBack()
	d.seat.farewell()
	d.remaining.Wait()
	d.counting.end()
	counted := d.countLast(ctx)
	if errors.Is(err, store.ErrTaken) {
		return errors.Join(err, counted, d.books.close(), d.leave(false))
	}
	// What those before used while they ended is there by now.
	return errors.Join(err, counted, d.spilled.collect(context.WithoutCancel(ctx)), d.leave(false))
}

// open makes the rooms and joins them.
func (d *daemon) open(ctx context.Context) (err error) {
	c := d.Config
	if d.store, err = store.Open(ctx, store.Options{DSN: c.DSN(), Alone: d.seat == nil, Shared: d.seat != nil, Term: d.term(), Log: d.Log}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeBooks(), d.store.Close())
		}
	}()
	table, problems := variants.Load(c.Variants)
	if err := problems.Err(); err != nil {
		return err
	}
	d.variants = table
	registerVitals(d.registry, d.Version, c.Data)
	// Before budgets are read: what requests of an earlier process used belongs to them.
	d.spilled = newSpilled(c.Data, d.store, d.Log.With("room", "usage"))
	if err = d.spilled.collect(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeTally())
		}
	}()
	if err = d.openTokens(ctx); err != nil {
		return err
	}
	d.spilled.added = func(row usage.Row) { d.tokens.Charge(row.Token, row.Project, row.Prompt+row.Completion) }
	if d.keys, err = keys.Open(ctx, d.store, time.Now); err != nil {
		return err
	}
	if err = d.openShells(ctx); err != nil {
		return err
	}
	d.router = router.New(c.Router, d.tokens, d.registry, d.Log.With("room", "router"))
	d.traffic = newTraffic(d.router, &d.elders)
	if err = d.shareTraffic(ctx); err != nil {
		return err
	}
	d.openBooks()
	if d.seeing, err = d.openSeeing(ctx); err != nil {
		return err
	}
	observers := d.seeing.observers(d.usage)
	observers.Held = func(id string) { // there are both before the first request
		d.scaling.need(id)
		d.keeper.Kick()
	}
	d.router.Observe(observers)
	if err = d.openVault(ctx); err != nil {
		return err
	}
	if err = d.openPeople(ctx); err != nil {
		return err
	}
	if err = d.openCatalogs(); err != nil {
		return err
	}
	d.audit = audit.New(d.store, filepath.Join(c.Data, auditHead), time.Now, d.Log.With("room", "audit"))
	if err = d.openRuntime(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil && d.seat == nil {
			err = errors.Join(err, d.runtime.close(true))
		}
	}()
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
	d.points = checkpoints.New(filepath.Join(c.Data, "checkpoints"))
	if d.folders, err = d.openFolders(); err != nil {
		return err
	}
	d.manager = sessions.NewManager(sessions.Deps{
		Store: d.store, Loads: d.store, Runtime: d.runOn(), Observer: d.runtime, Traffic: d.traffic,
		Earlier: logs.NewKept(filepath.Join(c.Data, "logs")), Clusters: d.clusterFiles(), Nets: d.clusterNets(), Checkpoints: d.points,
		Folders: d.folders, Glimpse: d.glimpse(), Variants: d.variants, Registry: d.registry, Log: d.Log.With("room", "sessions"),
		Policy: c.Service, Destroyed: d.tokens.RevokeService, Ledger: d.pool.ledger, Grant: d.grant(), Closed: d.closedBoxes(), Away: d.awayBoxes(),
		Guess: func(service string) time.Duration { return d.measures.LoadTime(service) },
		Queueing: sessions.QueueConfig{
			Order: sessions.Order(c.Queue.Order), Strategy: sessions.Strategy(c.Queue.Strategy), Quotas: limits, Options: allocation,
		},
		Secret: d.secret,
	})
	if err = d.openLimits(ctx); err != nil {
		return err
	}
	d.planning = &planning{pool: d.pool, runtime: &d.runtime, manager: d.manager, variants: d.variants, recipes: d.catalogs, data: c.Data,
		measured: func() []calibrate.Calibration { return d.measures.All() }}
	if err = d.openApps(); err != nil {
		return err
	}
	d.openAccounts()
	if err = d.openCalibrations(ctx); err != nil {
		return err
	}
	d.scaling = newScaling(c.Autoscaler.Signals(), d)
	if d.keeper, err = autoscaler.NewKeeper(ctx, autoscaler.Around{
		Store: d.store, World: d.scaling, Signals: d.scaling, Registry: d.registry, Log: d.Log.With("room", "autoscaler"),
	}); err != nil {
		return err
	}
	d.traffic.wakes, d.traffic.told = d.keeper.Wakes, d.scaling.follow
	if err = d.openJobs(ctx); err != nil {
		return err
	}
	d.openBackups()
	return d.openInstalls(ctx)
}

// stopGrace is how long requests under way may go on when the daemon stops.
const stopGrace = 10 * time.Second
