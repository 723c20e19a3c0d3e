package autoscaler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/autoscaler"
)

// house is a world of services that do at once what they are told, and a store that remembers it.
type house struct {
	mu        sync.Mutex
	services  map[string]*autoscaler.Observed
	scaled    []string // "chat 1 -> 2"
	refuse    error    // of Scale
	away      error    // of AddDecision
	changed   int
	onScale   func()
	hangs     bool // SavePolicy, until its context ends
	looks     int
	frees     int // so often it was asked
	series    map[autoscaler.Metric]*autoscaler.Series
	wanted    map[string][]autoscaler.Metric
	policies  map[string]autoscaler.Kept
	decisions map[string][]autoscaler.Decision
	notes     []string // "svc-2 yielded: ..."
	noting    error    // of Note
	missing   map[string]int
	registry  *prometheus.Registry
}

func newHouse(services ...autoscaler.Observed) *house {
	h := &house{
		services: map[string]*autoscaler.Observed{}, series: map[autoscaler.Metric]*autoscaler.Series{},
		policies: map[string]autoscaler.Kept{}, decisions: map[string][]autoscaler.Decision{},
		missing: map[string]int{},
	}
	for _, o := range services {
		h.services[o.ID] = &o
	}
	return h
}

func (h *house) Observe(time.Time) []autoscaler.Observed {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	var all []autoscaler.Observed
	for _, o := range h.services {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b autoscaler.Observed) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func (h *house) Scale(_ context.Context, o *autoscaler.Observed, to int, _ string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.onScale != nil {
		h.onScale()
	}
	s := h.services[o.ID]
	switch {
	case h.refuse != nil:
		return h.refuse
	case s == nil || s.Version != o.Version:
		return autoscaler.ErrConflict
	}
	h.scaled = append(h.scaled, fmt.Sprintf("%s %d -> %d", s.Name, s.Replicas, to))
	for s.Replicas < to {
		s.Routes = append(s.Routes, autoscaler.Route{ID: fmt.Sprint("ses-", len(h.scaled), s.Replicas), State: autoscaler.RouteStarting, Since: time.Now()})
		s.Replicas++
	}
	s.Routes, s.Replicas, s.ScaledBy = s.Routes[:to], to, ""
	s.Version++
	return nil
}

func (h *house) Frees(string, string, int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frees++
	return true
}

func (h *house) Note(_ context.Context, id, kind, message string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noting != nil {
		return h.noting
	}
	h.notes = append(h.notes, id+" "+kind+": "+message)
	return nil
}

func (h *house) noted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.notes)
}

func (h *house) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed++
}

// change is something that happens to a service.
func (h *house) change(id string, to func(*autoscaler.Observed)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to(h.services[id])
	h.services[id].Version++
}

func (h *house) did() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.scaled, "; ")
}

func (h *house) Of(string) autoscaler.Signals { return h }
func (h *house) Status(id string) []autoscaler.SignalStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []autoscaler.SignalStatus{{Value: new(1.0)}}
	for range h.missing[id] {
		all = append(all, autoscaler.SignalStatus{Missing: "no answer"})
	}
	return all
}
func (h *house) Want(m map[string][]autoscaler.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = m
}
func (h *house) Series(m autoscaler.Metric) *autoscaler.Series {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.series[m].Clone()
}
func (h *house) Policies(context.Context) ([]autoscaler.Kept, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []autoscaler.Kept
	for _, k := range h.policies {
		all = append(all, k)
	}
	return all, nil
}

func (h *house) SavePolicy(ctx context.Context, k autoscaler.Kept) (int64, error) {
	h.mu.Lock()
	hangs := h.hangs
	h.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return 0, autoscaler.ErrUnavailable
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.policies[k.ServiceID].Version != k.Version {
		return 0, autoscaler.ErrConflict
	}
	k.Version++
	h.policies[k.ServiceID] = k
	return k.Version, nil
}

func (h *house) DeletePolicy(_ context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.policies, id)
	delete(h.decisions, id)
	return nil
}

func (h *house) AddDecision(_ context.Context, id string, d autoscaler.Decision) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away != nil {
		return h.away
	}
	h.decisions[id] = slices.Insert(h.decisions[id], 0, d)
	row := h.policies[id]
	row.Memory = d.Memory
	h.policies[id] = row
	return nil
}

func (h *house) Decisions(_ context.Context, id string, limit int) ([]autoscaler.Decision, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.decisions[id]
	return slices.Clone(all[:min(limit, len(all))]), nil
}

// keeper is one whose metrics are in registry, those of no other.
func (h *house) keeper(t *testing.T) *autoscaler.Keeper {
	t.Helper()
	h.registry = prometheus.NewPedanticRegistry()
	k, err := autoscaler.NewKeeper(t.Context(), autoscaler.Around{Store: h, World: h, Signals: h, Registry: h.registry, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// chat is a service with n routes that have been ready for an hour.
func chat(n int) autoscaler.Observed {
	now := time.Now()
	o := autoscaler.Observed{ID: "svc-1", Name: "chat", Version: 1, Replicas: n, CreatedAt: now.Add(-time.Hour)}
	for i := range n {
		o.Routes = append(o.Routes, autoscaler.Route{ID: fmt.Sprint("ses-", i), State: autoscaler.RouteReady, Since: now.Add(-time.Hour), ReadyAt: now.Add(-time.Hour)})
	}
	return o
}

var concurrency = autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "concurrency"}

// load has n requests in flight from now on, once a second.
func (h *house) load(ctx context.Context, n float64) {
	go func() {
		for ctx.Err() == nil {
			h.mu.Lock()
			if h.series[concurrency] == nil {
				h.series[concurrency] = &autoscaler.Series{}
			}
			h.series[concurrency].Add(autoscaler.Sample{At: time.Now(), Total: n})
			for _, o := range h.services {
				if o.InFlight = int(n); n > 0 {
					o.Busy = time.Now()
				}
			}
			h.mu.Unlock()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
}

func target(low, high int, per float64) autoscaler.Policy {
	p := autoscaler.DefaultPolicy()
	p.Min, p.Max = low, high
	p.Rules = []autoscaler.Rule{{ID: "rul-1", Kind: autoscaler.KindTarget, Metric: concurrency, Target: per}}
	return p
}

func TestKeeperScalesAndWritesDownWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.wanted); got != "map[svc-1:[router:concurrency router:queued router:requests_per_second]]" {
			t.Errorf("%s is wanted", got)
		}
		h.load(ctx, 20)
		go k.Run(ctx)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 3" {
			t.Errorf("done: %s", got)
		}
		made, err := k.Decisions(ctx, "svc-1", 10)
		if err != nil || len(made) == 0 || made[len(made)-1].Replicas != 1 && made[0].Replicas != 3 {
			t.Fatalf("%+v, %v", made, err)
		}
		if len(made) > 3 {
			t.Errorf("%d decisions are kept of one that changed something", len(made))
		}
		if s, on := k.Standing("svc-1"); !on || !s.On || s.Last.Replicas != 3 || len(s.Last.Wishes) != 1 {
			t.Errorf("standing: %+v", s)
		}
		// Another life goes on with what was remembered.
		again := h.keeper(t)
		if p, ok := again.Policy("svc-1"); !ok || p.Memory.Out.IsZero() || p.EditedBy != "ann" || p.Policy.Rules[0].StableWindow != time.Minute {
			t.Errorf("after a restart: %+v", p)
		}
	})
}

func TestKeeperStartsOneRouteForAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(0))
		k := h.keeper(t)
		p := target(0, 4, 8)
		p.IdleAfter = time.Minute
		if _, err := k.SetPolicy(ctx, "svc-1", p, "ann", 0); err != nil {
			t.Fatal(err)
		}
		if !k.Wakes("svc-1", "", time.Time{}) || k.Wakes("svc-2", "", time.Time{}) {
			t.Error("who wakes?")
		}
		go k.Run(ctx)
		time.Sleep(1500 * time.Millisecond)
		for range 200 {
			h.mu.Lock() // nothing is saved for it: its version stays
			o := h.services["svc-1"]
			o.Held, o.InFlight, o.Busy = o.Held+1, o.InFlight+1, time.Now()
			h.mu.Unlock()
			go k.Kick()
		}
		before := time.Now()
		synctest.Wait()
		if got := h.did(); got != "chat 0 -> 1" || time.Since(before) != 0 {
			t.Errorf("%s, after %s", got, time.Since(before))
		}
		time.Sleep(20 * time.Second) // it loads: that is no reason for another
		synctest.Wait()
		if got := h.did(); got != "chat 0 -> 1" {
			t.Errorf("while it starts: %s", got)
		}
	})
}

func TestKeeperLeavesToAPersonWhatThatOneSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		kept, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0)
		if err != nil {
			t.Fatal(err)
		}
		go k.Run(ctx)
		time.Sleep(time.Millisecond)
		h.change("svc-1", func(o *autoscaler.Observed) { o.ScaledBy, o.ScaledAt = "bob", time.Now() })
		h.load(ctx, 30)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := h.did(); got != "" {
			t.Errorf("done while paused: %s", got)
		}
		s, _ := k.Standing("svc-1")
		if s.PausedBy != "bob" || k.Wakes("svc-1", "bob", s.PausedAt) {
			t.Errorf("%+v, and it wakes", s)
		}
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); !errors.Is(err, autoscaler.ErrConflict) {
			t.Errorf("an edit of what was changed meanwhile: %v", err)
		}
		if _, err := k.SetPolicy(ctx, "svc-1", target(5, 4, 8), "ann", kept.Version); !errors.Is(err, autoscaler.ErrInvalid) {
			t.Errorf("min over max: %v", err)
		}
		if err := k.Resume(ctx, "svc-1", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 4" || h.changed != 2 {
			t.Errorf("after it was resumed: %s; told %d times", got, h.changed)
		}
		if err := k.Resume(ctx, "svc-9", "ann"); !errors.Is(err, autoscaler.ErrNotFound) {
			t.Errorf("of none: %v", err)
		}
	})
}

// An edit that waits for a store that does not answer keeps nothing else waiting.
func TestKeeperGoesOnWhileAnEditHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		gone := chat(1)
		gone.ID, gone.Name = "svc-2", "gone"
		h := newHouse(chat(1), gone)
		k := h.keeper(t)
		for _, id := range []string{"svc-1", "svc-2"} {
			if _, err := k.SetPolicy(ctx, id, target(1, 4, 8), "ann", 0); err != nil {
				t.Fatal(err)
			}
		}
		go k.Run(ctx)
		time.Sleep(time.Millisecond)
		h.mu.Lock()
		h.hangs = true
		delete(h.services, "svc-2")
		h.mu.Unlock()
		editing, stop := context.WithTimeout(ctx, 5*time.Minute)
		defer stop()
		go func() { _ = k.Resume(editing, "svc-1", "ann") }()
		h.load(ctx, 20)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 3" {
			t.Errorf("done: %s", got)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if _, there := k.Policy("svc-2"); there {
			t.Error("the policy of a service that is gone stays")
		}
	})
}

// Requests that come to wait by the thousand ask for a look each: they do not get as many.
func TestKeeperIsNotKickedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		go k.Run(ctx)
		for range 5000 {
			k.Kick()
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.looks < 80 || h.looks > 120 {
			t.Errorf("%d looks in 5 s", h.looks)
		}
	})
}

// A person and the autoscaler at the same moment: one of them is told, and looks again.
func TestKeeperIsNotTheSecondWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.onScale = func() { // just before the write
			s := h.services["svc-1"]
			s.Replicas, s.Version, s.ScaledBy, s.ScaledAt = 2, s.Version+1, "bob", time.Now().Add(time.Millisecond)
		}
		h.load(ctx, 30)
		go k.Run(ctx)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := h.did(); got != "" || h.services["svc-1"].Replicas != 2 {
			t.Errorf("done: %s", got)
		}
	})
}

func TestKeeperGoesOnWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		h.refuse, h.away = autoscaler.ErrUnavailable, autoscaler.ErrUnavailable
		h.mu.Unlock()
		h.load(ctx, 20)
		go k.Run(ctx)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if s, _ := k.Standing("svc-1"); s.Last.Replicas != 1 || !strings.Contains(s.Last.Reason, "1 -> 3") || !strings.Contains(s.Last.Reason, "could not be written") {
			t.Errorf("while the store is away it says: %+v", s.Last)
		}
		h.mu.Lock()
		h.refuse = nil
		h.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 3" {
			t.Errorf("done: %s", got)
		}
		h.mu.Lock()
		h.away = nil
		h.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		made, _ := k.Decisions(ctx, "svc-1", 10)
		if !slices.ContainsFunc(made, func(d autoscaler.Decision) bool { return d.Was == 1 && d.Replicas == 3 }) {
			t.Errorf("kept: %+v", made)
		}
	})
}

func TestKeeperForgetsWithTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); err != nil {
			t.Fatal(err)
		}
		go k.Run(ctx)
		synctest.Wait()
		h.mu.Lock()
		delete(h.services, "svc-1")
		h.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, there := k.Policy("svc-1"); there || len(h.policies) != 0 || len(h.wanted) != 0 {
			t.Errorf("left: %v, %v", h.policies, h.wanted)
		}
	})
}
