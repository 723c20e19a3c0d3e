package accounts

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Sessions are what is counted. *sessions.Manager is it.
type Sessions interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	// EachSession shows them in no order, without a copy: do neither changes nor keeps what it is shown, and asks nothing.
	EachSession(project string, f sessions.SessionFilter, do func(s *sessions.Session))
	Transitions(ctx context.Context, project, ref string) ([]sessions.Transition, error)
	Stats(ctx context.Context, project, ref string) (sessions.Stats, error)
	// Changed is closed at the next change of any session.
	Changed() <-chan struct{}
}

const (
	lookEvery  = 5 * time.Second
	lookRest   = 500 * time.Millisecond // between two looks, however much changes
	flushEvery = time.Minute
	flushRetry = 5 * time.Second
	statsBound = 3 * time.Second  // of one look at one session
	lastBound  = 10 * time.Second // of what is written when the daemon stops
)

// Meter counts what sessions hold and use, and brings it to the store. Its methods may be called at once.
type Meter struct {
	store    Store
	sessions Sessions
	now      func() time.Time
	log      *slog.Logger
	// Sampled is told what a session used since it was looked at before, by one goroutine. Set before Run; may be nil.
	Sampled func(Sample)

	flushing chan struct{} // holds one: who has it writes
	mu       sync.Mutex
	loaded   bool
	accounts map[string]*account
}

// NewMeter makes a meter. now is the clock. Without a Run beside it nothing is counted.
func NewMeter(store Store, s Sessions, now func() time.Time, log *slog.Logger) *Meter {
	return &Meter{store: store, sessions: s, now: now, log: log, flushing: make(chan struct{}, 1), accounts: map[string]*account{}}
}

// Run counts until ctx ends, and writes the last of it then.
func (m *Meter) Run(ctx context.Context) {
	wake := time.NewTimer(0)
	defer wake.Stop()
	var flushed time.Time
	failing := false
	for {
		changed := m.sessions.Changed() // asked before: what changes during a look is seen after it
		select {
		case <-ctx.Done():
			m.last(ctx)
			return
		case <-wake.C:
		}
		before := m.live()
		err := m.Look(ctx)
		ended := m.live() < before
		now := m.now()
		if err == nil && (ended || now.Sub(flushed) >= flushEvery || now.Before(flushed)) {
			if err = m.Flush(ctx); err == nil {
				flushed = now
			}
		}
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			m.log.WarnContext(ctx, "what sessions use cannot be kept; it is held in memory and tried again", "error", err)
		case err == nil && failing:
			m.log.InfoContext(ctx, "what sessions use is kept again; nothing was lost")
		}
		failing = err != nil
		if !m.rest(ctx, changed) {
			continue // the end is seen above
		}
		wake.Reset(0)
	}
}

// rest waits for the next look: until something changes, but neither too short nor too long.
func (m *Meter) rest(ctx context.Context, changed <-chan struct{}) bool {
	for _, wait := range []struct {
		d    time.Duration
		wake <-chan struct{}
	}{{lookRest, nil}, {lookEvery - lookRest, changed}} {
		timer := time.NewTimer(wait.d)
		select {
		case <-timer.C:
		case <-wait.wake:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
	return true
}

// last counts up to now and writes it, though ctx has ended.
func (m *Meter) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastBound)
	defer cancel()
	if err := m.count(ctx); err != nil {
		m.log.ErrorContext(ctx, "what sessions used since the last minute is not kept; what they held is counted from their history", "error", err)
		return
	}
	if err := m.Flush(ctx); err != nil {
		m.log.ErrorContext(ctx, "what sessions used since the last minute is not kept; what they held is counted from their history", "error", err)
	}
}

// Look counts up to now, and looks what those use whose turn it is.
func (m *Meter) Look(ctx context.Context) error {
	if err := m.count(ctx); err != nil {
		return err
	}
	now := m.now()
	for _, s := range m.sessions.Sessions("", sessions.SessionFilter{Live: true}) {
		m.mu.Lock()
		a := m.accounts[s.ID]
		due := a != nil && a.due(&s, now)
		m.mu.Unlock()
		if !due {
			continue
		}
		looking, cancel := context.WithTimeout(ctx, statsBound)
		got, err := m.sessions.Stats(looking, s.Project, s.ID)
		slow := looking.Err() != nil
		cancel()
		m.mu.Lock()
		var sample Sample
		ok := false
		if err == nil {
			sample, ok = a.sample(&s, got)
		} else {
			a.status, a.next = s.Status, now.Add(sampleBusy)
		}
		m.mu.Unlock()
		if ok && m.Sampled != nil {
			m.Sampled(sample)
		}
		if slow {
			break // the runtime is stuck: the others would wait for it too
		}
	}
	return nil //nolint:nilerr // a sample that was not had is asked for again
}

// live is how many sessions are counted that have not ended.
func (m *Meter) live() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.accounts {
		if !a.over {
			n++
		}
	}
	return n
}

// count counts what sessions hold, up to now.
func (m *Meter) count(ctx context.Context) error {
	over := m.over()
	there := map[string]bool{}
	var open []sessions.Session // most have ended long ago, and are not copied again and again
	m.sessions.EachSession("", sessions.SessionFilter{}, func(s *sessions.Session) {
		if there[s.ID] = true; !over[s.ID] {
			open = append(open, *s)
		}
	})
	if err := m.load(ctx, open); err != nil {
		return err
	}
	now := m.now()
	for i := range open {
		if err := m.countOne(ctx, &open[i], now); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, a := range m.accounts {
		if !there[id] && len(a.dirty) == 0 {
			delete(m.accounts, id) // its session is forgotten; its rows are not
		}
	}
	return nil
}

// over are the sessions of which all is counted.
func (m *Meter) over() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make(map[string]bool, len(m.accounts))
	for id, a := range m.accounts {
		if a.over {
			ids[id] = true
		}
	}
	return ids
}

func (m *Meter) countOne(ctx context.Context, s *sessions.Session, now time.Time) error {
	m.mu.Lock()
	a := m.accounts[s.ID]
	if a == nil {
		a = newAccount(nil)
		m.accounts[s.ID] = a
	}
	done, lost := a.over, a.lost(s)
	m.mu.Unlock()
	if done {
		return nil
	}
	var history []sessions.Transition
	if lost {
		var err error
		if history, err = m.sessions.Transitions(ctx, s.Project, s.ID); err != nil {
			return fmt.Errorf("reading the history of session %s: %w", s.ID, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if lost {
		a.catchUp(s, history, now)
	}
	a.hold(s, now)
	return nil
}

// load takes up what an earlier daemon has counted, once: of sessions that live, or have ended since.
func (m *Meter) load(ctx context.Context, all []sessions.Session) error {
	m.mu.Lock()
	loaded := m.loaded
	m.mu.Unlock()
	if loaded {
		return nil
	}
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	rows, err := m.store.LastSessionUsage(ctx, ids)
	if err != nil {
		return err
	}
	last := make(map[string]*Row, len(rows))
	for i := range rows {
		last[rows[i].Session] = &rows[i]
	}
	accounts := make(map[string]*account, len(all))
	for i := range all {
		s := &all[i]
		a := newAccount(last[s.ID])
		accounts[s.ID] = a
		if s.Status.Terminal() && !a.until.IsZero() && !s.EndedAt.After(a.until) {
			a.over = true
			continue
		}
		// Nobody saw what it held meanwhile, but its history knows.
		history, err := m.sessions.Transitions(ctx, s.Project, s.ID)
		if err != nil {
			return fmt.Errorf("reading the history of session %s: %w", s.ID, err)
		}
		a.catchUp(s, history, m.now())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts, m.loaded = accounts, true
	return nil
}

// flushChunk is how many rows are written at a time.
const flushChunk = 5000

// Flush brings all that is counted to the store. What fails stays, and goes the next time.
func (m *Meter) Flush(ctx context.Context) error {
	select {
	case m.flushing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("keeping what sessions use: %w", context.Cause(ctx))
	}
	defer func() { <-m.flushing }()
	m.mu.Lock()
	var rows []Row
	for _, a := range m.accounts {
		rows = a.unkept(rows)
	}
	m.mu.Unlock()
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Session, b.Session)) })
	for some := range slices.Chunk(rows, flushChunk) {
		if err := m.store.SaveSessionUsage(ctx, some); err != nil {
			return fmt.Errorf("keeping what sessions use: %w", err)
		}
		m.mark(some)
	}
	return nil
}

// mark notes that rows are kept as they were then.
func (m *Meter) mark(rows []Row) {
	of := map[string]map[time.Time]Row{}
	for _, r := range rows {
		if of[r.Session] == nil {
			of[r.Session] = map[time.Time]Row{}
		}
		of[r.Session][r.Hour] = r
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, kept := range of {
		if a := m.accounts[id]; a != nil {
			a.kept(kept)
		}
	}
}
