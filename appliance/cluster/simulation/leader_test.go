package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// standing is what the leader says of itself.
type standing struct {
	Healthy int   // routes that get requests
	Other   int   // sessions that live and are none of them
	OnDead  int   // routes that get requests, on nodes that are silent
	Silent  int   // nodes
	Told    int   // routes that the table has as it is written
	Newest  int64 // its revision
	Written int64
	Entered bool   // all nodes are written down: they may come
	Example string // why one of the others is not served by yet
	Steps   steps  // of order "steps"
	Since   int    // sessions that came since then, of order "steps"; -1: nobody leads who could say so
}

// house is the leader's rooms, as the daemon joins them, for one reign.
type house struct {
	setting
	desk      *cluster.Agreement
	reign     cluster.Reign
	fleet     *fleet.Fleet
	roster    *cluster.Roster
	publisher *fleet.Publisher
	crowd     fleet.Crowd
	ledger    *accel.Ledger
	store     *store.Store
	managing  atomic.Pointer[sessions.Manager] // nil: not yet
	wake      chan struct{}                    // of size 1: the roster has changed

	showing sync.Mutex // before mu: what was shown later is newer

	mu      sync.Mutex
	at      map[string]string  // by session
	waits   map[string]*waited // for the end of each
	silent  map[string]time.Time
	table   []*sessions.ServiceRoutes
	rows    fleet.Rows
	wrote   int64          // rows
	told    map[string]int // routes in the table as it is written, by service
	alive   int            // sessions, when that was counted
	counted time.Time
	example string
}

// leader leads, and again where it is taken for silent: on a busy machine it may be late.
func leader(s setting, in *json.Decoder, out *json.Encoder) error {
	client, err := connect(s.Etcd)
	if err != nil {
		return err
	}
	desk := cluster.New(client, "")
	var now atomic.Pointer[house]
	var entered atomic.Bool
	failed := make(chan error, 1)
	go func() {
		for reigns := 1; ; reigns++ {
			h := &house{setting: s, desk: desk, ledger: accel.NewLedger(), at: map[string]string{}, waits: map[string]*waited{}, silent: map[string]time.Time{}, told: map[string]int{}, wake: make(chan struct{}, 1)}
			err := desk.Lead(context.Background(), "leader", func(ctx context.Context, r cluster.Reign) error {
				h.reign = r
				err := h.lead(ctx, reigns == 1, func() { entered.Store(true) }, func() { now.Store(h) })
				if ctx.Err() != nil { // it leads no more
					err = nil
				}
				return err
			})
			now.Store(nil)
			switch {
			case err != nil && h.reign.Term > 0 && !errors.Is(err, cluster.ErrLeaseLost) && !errors.Is(err, cluster.ErrDeposed):
				failed <- err
				return
			case err != nil: // it stands again, as daemons do
				<-time.After(time.Second)
			}
		}
	}()
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		if o.Do == "profile" {
			if err := s.profileTo(o.Name); err != nil {
				return err
			}
		}
		var answer standing
		if h := now.Load(); h != nil {
			answer = h.stands(false)
		}
		answer.Since = -1
		if h := now.Load(); h != nil && o.Do == "steps" {
			answer.Steps, answer.Since = h.steps(o.Since)
		}
		answer.Entered = entered.Load()
		select {
		case err := <-failed:
			return err
		default:
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// lead decides until ctx ends; entered is called once all nodes are written down, and led once it decides.
func (h *house) lead(ctx context.Context, first bool, entered, led func()) (err error) {
	for i := range h.Nodes {
		if !first {
			break
		}
		if err := h.desk.PutNode(ctx, h.reign, cluster.Node{Name: nodeName(i), State: cluster.In}); err != nil {
			return err
		}
	}
	entered()
	// What hears of the nodes goes on until nothing waits for them any more.
	hearing, deaf := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer deaf()
	h.roster = h.desk.NewRoster(time.Now, func() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	})
	h.fleet = fleet.New(fleet.Deps{Desk: h.desk, Reign: h.reign, Door: func(string) (fleet.Box, error) { return nil, errors.New("there is no door here") }})
	before, err := h.desk.Table(ctx)
	if err != nil {
		return err
	}
	for id, row := range before.Rows {
		h.told[id] = len(row.Service.Routes)
	}
	h.publisher = fleet.NewPublisher(before.Rows, h.roster.Len, h.put)
	for _, goesOn := range []func(context.Context){h.roster.Follow, h.fleet.Run, h.look, h.publisher.Run, h.observe} {
		all.Go(func() { goesOn(hearing) })
	}
	if h.store, err = store.Open(ctx, store.Options{DSN: h.DSN, Term: int64(h.reign.Term)}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.store.Close()) }()
	for len(h.ledger.Pool()) < h.Nodes && first {
		select {
		case <-h.ledger.Changed():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if first {
		if err := h.seed(ctx); err != nil {
			return err
		}
	}
	if err := h.know(ctx); err != nil {
		return err
	}
	table, problems := variants.Load("")
	if err := problems.Err(); err != nil {
		return err
	}
	manager := sessions.NewManager(sessions.Deps{
		Store: h.store, Loads: h.store, Runtime: h, Observer: h, Traffic: h, Folders: noFolders{}, Variants: table, Log: slog.New(slog.DiscardHandler), Ledger: h.ledger,
		Away: h.away, Closed: h.closed,
	})
	if err := manager.Adopt(ctx); err != nil {
		return err
	}
	h.managing.Store(manager)
	led()
	all.Go(func() { h.ask(ctx, manager) })
	return manager.Run(ctx)
}

// atOnce is how many sessions start at a time.
const atOnce = 200

// ask has the services that were seeded run, some of them at a time.
func (h *house) ask(ctx context.Context, m *sessions.Manager) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	waiting := slices.DeleteFunc(m.Services("default"), func(v sessions.ServiceView) bool { return v.Replicas > 0 })
	for len(waiting) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for room := atOnce - h.stands(true).Other; room > 0 && len(waiting) > 0; room -= h.Replicas {
			if _, err := m.ScaleService(ctx, "default", waiting[0].Name, sessions.Scale{To: h.Replicas, By: "owner", Reason: "it is time"}); err != nil {
				break // again
			}
			waiting = waiting[1:]
		}
	}
}

// know learns where sessions were placed in reigns before.
func (h *house) know(ctx context.Context) error {
	rows, err := h.store.Sessions(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range rows {
		if s.Claim != nil && !s.Status.Terminal() {
			h.at[s.ID] = s.Claim.Node
		}
	}
	return nil
}

// profileTo ends a profile of this process's processor time and begins the next one; "" for none.
func (s setting) profileTo(name string) error {
	pprof.StopCPUProfile()
	if s.Profile == "" || name == "" {
		return nil
	}
	f, err := os.Create(s.Profile + s.Role + "-" + name)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// seed records services as their owners would have made them, at zero: half of the sessions have a device each, and half of them a quarter of
// one. A tenth more would leave no whole device free where parts of all are taken.
func (h *house) seed(ctx context.Context) error {
	for i := range h.Services {
		resources := map[string]string{"cpu": "4", "mem": "32g", "cuda.device": "1"}
		if i%2 == 1 {
			resources = map[string]string{"cpu": "4", "mem": "32g", "cuda.shares": "0.25"}
		}
		name := fmt.Sprintf("model-%04d", i)
		s := sessions.Service{
			ID: "svc-" + name, Name: name, Project: "default", CreatedAt: time.Now(), Lifecycle: sessions.LifecycleActive, Revision: 1, Policy: sessions.DefaultPolicy(),
		}
		r := sessions.Revision{
			ServiceID: s.ID, Number: 1, CreatedAt: time.Now(), Recipe: sessions.Recipe{Image: "registry.lan/engine:1", Variant: "custom", Resources: resources},
			Launch: variants.LaunchSpec{
				Variant: "custom", ModelName: name, Port: h.Port, Mount: "/models",
				Health:    &catalog.HealthCheck{Path: "/health", Interval: 10 * time.Second, MaxRetries: 3, MaxWait: 15 * time.Second, ExpectedStatus: 200, InitialDelay: time.Minute},
				Processes: []variants.Process{{Name: name, Argv: []string{"engine", "--model", "/models", "--port", "8000"}, WorkDir: "/models", Port: h.Port}},
			},
		}
		if _, err := h.store.SaveService(ctx, s); err != nil {
			return err
		}
		if err := h.store.SaveRevision(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

type noFolders struct{}

func (noFolders) Reach(context.Context, folders.Who, string, folders.Permission) (folders.Reached, error) {
	return folders.Reached{}, folders.ErrNotFound
}

// look keeps the pool up with the roster, and sees who falls silent.
func (h *house) look(ctx context.Context) {
	began := time.Now()
	grace := time.NewTimer(time.Hour)
	defer grace.Stop()
	entered := map[string]*cluster.Inventory{}
	for {
		select {
		case <-h.wake:
		case <-grace.C:
		case <-ctx.Done():
			return
		}
		next, quiet := time.Duration(0), map[string]time.Time{}
		for _, n := range h.roster.Nodes() {
			if n.Inventory != nil && entered[n.Name] != n.Inventory {
				entered[n.Name] = n.Inventory
				h.ledger.SetNode(n.Inventory.Node)
			}
			if n.Inventory == nil || n.Alive != nil {
				continue
			}
			if quiet[n.Name] = n.Silent; n.Unheard {
				quiet[n.Name] = began
			}
			if left := time.Until(quiet[n.Name].Add(h.Grace)); !h.over(quiet[n.Name]) && (next == 0 || left < next) {
				next = max(left, lookEvery)
			}
		}
		h.mu.Lock()
		h.silent = quiet // each box takes their routes out for itself
		h.mu.Unlock()
		if m := h.managing.Load(); m != nil {
			m.Look()
		}
		if next > 0 {
			grace.Reset(next)
		}
	}
}

// over tells whether who is silent since then is not waited for any more.
func (h *house) over(since time.Time) bool {
	silent, all := h.roster.Silent(fleet.CrowdGrace(h.Grace))
	return h.crowd.Over(time.Now(), since, h.Grace, silent, all)
}

// away is what becomes of what runs on a node.
func (h *house) away(node string) sessions.Vacancy {
	h.mu.Lock()
	defer h.mu.Unlock()
	if since, is := h.silent[node]; is && h.over(since) {
		return sessions.Vacancy{Why: node + " is heard of no more", Gone: true}
	}
	return sessions.Vacancy{}
}

// closed is why a node gets nothing new.
func (h *house) closed(node string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, is := h.silent[node]; is {
		return "it is silent"
	}
	return ""
}

// Apply implements sessions.Traffic.
func (h *house) Apply(services []*sessions.ServiceRoutes) {
	h.mu.Lock()
	h.table = services
	h.mu.Unlock()
	h.show()
}

// InFlight implements sessions.Traffic.
func (*house) InFlight(string) int { return 0 }

// WaitIdle implements sessions.Traffic.
func (*house) WaitIdle(context.Context, string) error { return nil }
