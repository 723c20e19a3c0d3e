package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// standing is what the leader says of itself.
type standing struct {
	Healthy int // routes that get requests
	Other   int // sessions that live and are none of them
	OnDead  int // routes that get requests, on nodes that are silent
	Written int64
	Example string // why one of the others is not served by yet
}

// house is the leader's rooms, as the daemon joins them.
type house struct {
	setting
	desk    *cluster.Agreement
	reign   cluster.Reign
	fleet   *fleet.Fleet
	roster  *cluster.Roster
	ledger  *accel.Ledger
	store   *store.Store
	manager *sessions.Manager

	mu     sync.Mutex
	at     map[string]string // by session
	silent map[string]time.Time
	table  map[string]sessions.ServiceRoutes
	dirty  map[string]bool
	wrote  int64         // rows
	wake   chan struct{} // of size 1: the roster has changed
	put    chan struct{} // of size 1: the table is to be written
}

func leader(s setting, in *json.Decoder, out *json.Encoder) error {
	client, err := connect(s.Etcd)
	if err != nil {
		return err
	}
	h := &house{setting: s, desk: cluster.New(client, ""), ledger: accel.NewLedger(), at: map[string]string{}, silent: map[string]time.Time{},
		table: map[string]sessions.ServiceRoutes{}, dirty: map[string]bool{}, wake: make(chan struct{}, 1), put: make(chan struct{}, 1)}
	return h.desk.Lead(context.Background(), "leader", func(ctx context.Context, r cluster.Reign) error {
		h.reign = r
		ended := make(chan error, 1)
		go func() { ended <- h.lead(ctx, in, out) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			pprof.StopCPUProfile()
			return fmt.Errorf("it leads no more: %w", context.Cause(ctx))
		}
	})
}

func (h *house) lead(ctx context.Context, in *json.Decoder, out *json.Encoder) error {
	for i := range h.Nodes {
		if err := h.desk.PutNode(ctx, h.reign, cluster.Node{Name: nodeName(i), State: cluster.In}); err != nil {
			return err
		}
	}
	h.roster = h.desk.NewRoster(time.Now, func() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	})
	h.fleet = fleet.New(fleet.Deps{Desk: h.desk, Reign: h.reign, Door: func(string) (fleet.Box, error) { return nil, errors.New("there is no door here") }})
	go h.roster.Follow(ctx)
	go h.fleet.Run(ctx)
	go h.look(ctx)
	go h.publish(ctx)
	var err error
	if h.store, err = store.Open(ctx, store.Options{DSN: h.DSN, Term: int64(h.reign.Term)}); err != nil {
		return err
	}
	for len(h.ledger.Pool()) < h.Nodes {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := h.seed(ctx); err != nil {
		return err
	}
	table, problems := variants.Load("")
	if err := problems.Err(); err != nil {
		return err
	}
	h.manager = sessions.NewManager(sessions.Deps{
		Store: h.store, Loads: h.store, Runtime: h, Observer: h, Traffic: h, Folders: noFolders{}, Variants: table, Log: slog.New(slog.DiscardHandler), Ledger: h.ledger,
		Away: h.away, Closed: func(node string) string { return h.away(node).Why },
	})
	if err := h.manager.Adopt(ctx); err != nil {
		return err
	}
	go func() { _ = h.manager.Run(ctx) }()
	if err := h.profile("start"); err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		if o.Do == "profile" {
			if err := h.profile(o.Name); err != nil {
				return err
			}
		}
		if err := out.Encode(h.stands()); err != nil {
			return err
		}
	}
}

// profile ends a profile of the processor and begins the next one; "" for none.
func (h *house) profile(name string) error {
	pprof.StopCPUProfile()
	if h.Profile == "" || name == "" {
		return nil
	}
	f, err := os.Create(h.Profile + name)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

// seed records services as their owners would have made them: half of the sessions have a device each, and half of them half of
// one.
func (h *house) seed(ctx context.Context) error {
	for i := range h.Services {
		resources := map[string]string{"cpu": "4", "mem": "32g", "cuda.device": "1"}
		if i%2 == 1 {
			resources = map[string]string{"cpu": "4", "mem": "32g", "cuda.shares": "0.5"}
		}
		name := fmt.Sprintf("model-%04d", i)
		s := sessions.Service{
			ID: "svc-" + name, Name: name, Project: "default", CreatedAt: time.Now(), Lifecycle: sessions.LifecycleActive, Replicas: h.Replicas, Revision: 1, Policy: sessions.DefaultPolicy(),
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

func (noFolders) Reach(context.Context, catalog.Who, string, catalog.Permission) (catalog.Reached, error) {
	return catalog.Reached{}, catalog.ErrNotFound
}

// look keeps the pool up with the roster, and sees who falls silent.
func (h *house) look(ctx context.Context) {
	grace := time.NewTimer(time.Hour)
	defer grace.Stop()
	for {
		select {
		case <-h.wake:
		case <-grace.C:
		case <-ctx.Done():
			return
		}
		next, quiet := time.Duration(0), map[string]time.Time{}
		for _, n := range h.roster.Nodes() {
			if n.Inventory == nil {
				continue
			}
			node := n.Inventory.Node
			if n.Alive == nil && !n.Unheard {
				quiet[n.Name] = n.Silent
				node.Labels = map[string]string{"silent": "yes"}
				left := time.Until(n.Silent.Add(h.Grace))
				if left <= 0 {
					node.Labels["silent"] = "for good"
				} else if next == 0 || left < next {
					next = left
				}
			}
			h.ledger.SetNode(node) // what changes has the manager look again
		}
		h.hush(quiet)
		if next > 0 {
			grace.Reset(next)
		}
	}
}

// hush has the routes of nodes that fell silent taken out at once, and those of nodes that are back put in.
func (h *house) hush(quiet map[string]time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.silent
	h.silent = quiet
	for id, s := range h.table {
		for _, r := range s.Routes {
			_, before := was[h.at[r.ID]]
			if _, is := quiet[h.at[r.ID]]; is != before {
				h.dirty[id] = true
			}
		}
	}
	if len(h.dirty) > 0 {
		h.kick()
	}
}

// away is what becomes of what runs on a node.
func (h *house) away(node string) sessions.Vacancy {
	h.mu.Lock()
	defer h.mu.Unlock()
	if since, is := h.silent[node]; is && time.Since(since) >= h.Grace {
		return sessions.Vacancy{Why: node + " is heard of no more", Gone: true}
	}
	return sessions.Vacancy{}
}

// Apply implements sessions.Traffic.
func (h *house) Apply(services []sessions.ServiceRoutes) {
	h.mu.Lock()
	for _, s := range services {
		s.ReadyAt, s.RetryAt = time.Time{}, time.Time{} // what is expected changes all the time
		if !reflect.DeepEqual(h.table[s.ID], s) {
			h.table[s.ID], h.dirty[s.ID] = s, true
		}
	}
	h.mu.Unlock()
	h.kick()
}

func (h *house) kick() {
	select {
	case h.put <- struct{}{}:
	default:
	}
}

// InFlight implements sessions.Traffic.
func (*house) InFlight(string) int { return 0 }

// WaitIdle implements sessions.Traffic.
func (*house) WaitIdle(context.Context, string) error { return nil }
