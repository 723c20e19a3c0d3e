package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/accounts"
)

var start = time.Date(2026, 3, 9, 23, 59, 0, 123_456_000, time.UTC)

// memory is a store that fails when told to.
type memory struct {
	rows map[string]accounts.Row
	fail error
}

func (m *memory) SaveSessionUsage(_ context.Context, rows []accounts.Row) error {
	if m.fail != nil {
		return m.fail
	}
	for _, r := range rows {
		m.rows[r.Hour.String()+r.Session] = r
	}
	return nil
}

func (m *memory) LastSessionUsage(_ context.Context, ids []string) ([]accounts.Row, error) {
	last := map[string]accounts.Row{}
	for _, r := range m.rows {
		if slices.Contains(ids, r.Session) && !r.Hour.Before(last[r.Session].Hour) {
			last[r.Session] = r
		}
	}
	var out []accounts.Row
	for _, r := range last {
		out = append(out, r)
	}
	return out, nil
}

func (m *memory) SessionUsage(_ context.Context, q accounts.Query) ([]accounts.Sum, error) {
	var out []accounts.Sum
	for _, r := range m.rows {
		if !r.Hour.Before(q.From) && r.Hour.Before(q.To) {
			out = append(out, accounts.Sum{Row: r, Sessions: 1})
		}
	}
	return out, nil
}

// world has one session, whose history a test writes.
type world struct {
	now     time.Time
	s       sessions.Session
	history []sessions.Transition
	store   memory
	cpu     time.Duration // that the run has used
}

func newWorld() *world {
	return &world{now: start, store: memory{rows: map[string]accounts.Row{}}, s: sessions.Session{
		ID: "ses-1", Name: "train", Project: "red", Type: sessions.TypeBatch, CreatedBy: "ada", Status: sessions.StatusPending,
		Demand: sessions.Demand{Slots: accel.Slots{accel.SlotCPU: 2500, accel.SlotMem: 4 << 30, "cuda.shares": 150}},
	}}
}

func (w *world) Sessions(string, sessions.SessionFilter) []sessions.Session {
	return []sessions.Session{w.s}
}

func (w *world) EachSession(_ string, _ sessions.SessionFilter, do func(s *sessions.Session)) {
	do(&w.s)
}

func (w *world) Transitions(context.Context, string, string) ([]sessions.Transition, error) {
	return w.history, nil
}
func (w *world) Changed() <-chan struct{} { return nil }

func (w *world) Stats(context.Context, string, string) (sessions.Stats, error) {
	return sessions.Stats{At: w.now, CPUTime: w.cpu, Memory: 1 << 30}, nil
}

func (w *world) meter() *accounts.Meter {
	return accounts.NewMeter(&w.store, w, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
}

// becomes is what the session's runner writes.
func (w *world) becomes(to sessions.Status) {
	from := w.s.Status
	w.s.Status = to
	w.history = append(w.history, sessions.Transition{SessionID: w.s.ID, From: from, To: to, At: w.now})
	switch {
	case to == sessions.StatusScheduled:
		w.s.PlacedAt = w.now
		w.s.Claim = &accel.Claim{Session: w.s.ID, Slots: w.s.Demand.Slots, Shares: []accel.Share{{Amount: 100}, {Amount: 50}}}
	case to == sessions.StatusRunning:
		w.s.StartedAt, w.cpu = w.now, 0
	case to == sessions.StatusPending:
		w.s.PlacedAt, w.s.Claim, w.s.StartedAt = time.Time{}, nil, time.Time{}
	case to.Terminal():
		w.s.EndedAt = w.now
	}
}

func (w *world) after(d time.Duration) { w.now = w.now.Add(d) }

// total is what a daemon that starts now says, of all hours.
func (w *world) total(t *testing.T, m *accounts.Meter) accounts.Group {
	t.Helper()
	r, err := m.Report(t.Context(), accounts.Query{From: start.AddDate(-1, 0, 0), To: w.now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return r.Total
}

func TestWhatIsHeld(t *testing.T) {
	w := newWorld()
	m := w.meter()
	if got := w.total(t, m); got != (accounts.Group{}) {
		t.Errorf("it waits, and holds %+v", got)
	}
	w.becomes(sessions.StatusScheduled)
	w.after(time.Hour + 90*time.Second + 7*time.Millisecond)
	d := 3690.007
	want := accounts.Group{Sessions: 1, Sums: accounts.Sums{
		Held: int64(d * 1e6), Cores: int64(2.5 * d * 1e6), Memory: int64(4096 * d * 1e3), Shares: int64(1.5 * d * 1e6),
	}}
	if diff := cmp.Diff(want, w.total(t, m), cmp.Comparer(func(a, b int64) bool { return a-b < 4 && b-a < 4 })); diff != "" {
		t.Error(diff)
	}
	r, err := m.Report(t.Context(), accounts.Query{By: []accounts.Dimension{accounts.ByDay, accounts.BySession}, From: start, To: w.now})
	if err != nil || len(r.Groups) != 2 || r.Groups[0].Held != 59_876_544 || r.Groups[1].Name != "train" || r.Groups[1].User != "ada" {
		t.Errorf("%+v %v", r, err)
	}
	w.after(-time.Hour) // the clock is set back
	if got := w.total(t, m); got.Held != want.Held {
		t.Errorf("%d, not %d", got.Held, want.Held)
	}
}

// TestCrashAnywhere: whatever becomes of the daemon and of its store, what a session held comes out to the microsecond.
func TestCrashAnywhere(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := newWorld()
		m := w.meter()
		var held time.Duration
		var since time.Time
		step := func() {
			w.after(time.Duration(random.Int64N(int64(40 * time.Minute))).Truncate(time.Microsecond))
			switch random.IntN(4) {
			case 0:
				m = w.meter() // a crash: what was in memory is gone
			case 1:
				_, _ = m.Report(t.Context(), accounts.Query{To: w.now})
			case 2:
				w.store.fail = errors.New("disk full")
				_, _ = m.Report(t.Context(), accounts.Query{To: w.now})
				w.store.fail = nil
			}
		}
		for range 3 {
			step()
			w.becomes(sessions.StatusScheduled)
			since = w.now
			step()
			w.becomes(sessions.StatusRunning)
			step()
			step()
			w.becomes(sessions.StatusPreempted)
			step()
			w.becomes(sessions.StatusPending)
			held += w.now.Sub(since)
		}
		w.becomes(sessions.StatusScheduled)
		since = w.now
		step()
		w.becomes(sessions.StatusTerminated)
		held += w.now.Sub(since)
		step()
		if got := w.total(t, m); got.Held != held.Microseconds() {
			t.Fatalf("seed %d: %d of %d", seed, got.Held, held.Microseconds())
		}
		if got := w.total(t, w.meter()); got.Held != held.Microseconds() {
			t.Fatalf("seed %d, after another start: %d of %d", seed, got.Held, held.Microseconds())
		}
	}
}

// TestWhatIsUsed: what a run used is counted once, across restarts of the daemon and of the session.
func TestWhatIsUsed(t *testing.T) {
	w := newWorld()
	w.becomes(sessions.StatusScheduled)
	w.becomes(sessions.StatusRunning)
	var cores []string
	look := func() *accounts.Meter {
		m := w.meter()
		m.Sampled = func(s accounts.Sample) { cores = append(cores, fmt.Sprintf("%.1f in %s", s.Cores, s.At.Sub(s.Since))) }
		if err := m.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return m
	}
	w.after(10 * time.Second)
	w.cpu = 20 * time.Second
	look()
	w.after(10 * time.Second)
	w.cpu = 25 * time.Second
	look()
	w.becomes(sessions.StatusRestarting)
	w.becomes(sessions.StatusRunning)
	w.after(4 * time.Second)
	w.cpu = time.Second
	m := look()
	w.after(100 * time.Millisecond)
	if err := m.Look(t.Context()); err != nil { // it is not its turn yet
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2.0 in 10s", "0.5 in 10s", "0.2 in 4s"}, cores); d != "" {
		t.Error(d)
	}
	if got := w.total(t, m); got.CPU != 26e6 || got.Used != 1024*24_000 {
		t.Errorf("%+v", got)
	}
}
