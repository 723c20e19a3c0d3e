package idle_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/idle"
)

var start = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	after := start.Add
	low, high := new(0.01), new(0.5)
	for name, c := range map[string]struct {
		limits idle.Limits
		o      idle.Observation
		kind   idle.Kind
		ends   time.Duration // 0: it does not
		warn   bool
		end    bool
	}{
		"no limits":             {idle.Limits{}, idle.Observation{}, "", 0, false, false},
		"nobody came":           {idle.Limits{Timeout: 3 * time.Hour}, idle.Observation{}, idle.KindAccess, 3 * time.Hour, false, false},
		"somebody did":          {idle.Limits{Timeout: time.Hour}, idle.Observation{Used: after(90 * time.Minute)}, idle.KindAccess, 150 * time.Minute, false, false},
		"used before it began":  {idle.Limits{Timeout: 2 * time.Hour}, idle.Observation{Used: after(-time.Hour)}, idle.KindAccess, 2 * time.Hour, false, true},
		"used in the future":    {idle.Limits{Timeout: time.Hour}, idle.Observation{Used: after(30 * time.Hour)}, idle.KindAccess, 3 * time.Hour, false, false},
		"somebody is there":     {idle.Limits{Timeout: time.Hour}, idle.Observation{Open: 1}, "", 0, false, false},
		"but not for ever":      {idle.Limits{Timeout: time.Hour, Lifetime: 2 * time.Hour}, idle.Observation{Open: 1}, idle.KindLifetime, 2 * time.Hour, false, true},
		"warned":                {idle.Limits{Lifetime: 125 * time.Minute, Warning: 5 * time.Minute}, idle.Observation{}, idle.KindLifetime, 125 * time.Minute, true, false},
		"the earlier one":       {idle.Limits{Timeout: 3 * time.Hour, Lifetime: 4 * time.Hour}, idle.Observation{}, idle.KindAccess, 3 * time.Hour, false, false},
		"does little":           {idle.Limits{Warning: time.Minute, Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1}}, idle.Observation{CPU: low}, idle.KindUtilization, 121 * time.Minute, true, false},
		"still does":            {idle.Limits{Warning: time.Minute, Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1}}, idle.Observation{CPU: low, LowSince: after(118 * time.Minute)}, idle.KindUtilization, 119 * time.Minute, false, true},
		"does enough":           {idle.Limits{Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1}}, idle.Observation{CPU: high}, "", 0, false, false},
		"one of two":            {idle.Limits{Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1, Device: 0.1}}, idle.Observation{CPU: low, Device: high}, "", 0, false, false},
		"one of two is enough":  {idle.Limits{Warning: time.Minute, Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1, Device: 0.1, Any: true}}, idle.Observation{CPU: low, Device: high}, idle.KindUtilization, 121 * time.Minute, true, false},
		"what is not held":      {idle.Limits{Warning: time.Minute, Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1, Device: 0.1}}, idle.Observation{CPU: low}, idle.KindUtilization, 121 * time.Minute, true, false},
		"holds none of it":      {idle.Limits{Utilization: idle.Utilization{Window: time.Hour, Device: 0.1}}, idle.Observation{CPU: low}, "", 0, false, false},
		"without a threshold":   {idle.Limits{Utilization: idle.Utilization{Window: time.Hour}}, idle.Observation{CPU: low}, "", 0, false, false},
		"not looked at so long": {idle.Limits{Utilization: idle.Utilization{Window: time.Hour, CPU: 0.1}}, idle.Observation{}, "", 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Started = start
			v := idle.Decide(c.limits, c.o, after(2*time.Hour))
			ends := time.Duration(0)
			if !v.Ends.IsZero() {
				ends = v.Ends.Sub(start)
			}
			if v.Kind != c.kind || ends != c.ends || v.Warn != c.warn || v.End != c.end || (v.Reason == "") != (c.ends == 0) {
				t.Errorf("%+v, ends after %s", v, ends)
			}
		})
	}
}

// desk is one session, and what is done to it.
type desk struct {
	s     sessions.Session
	subs  []sessions.Session // of it
	mu    sync.Mutex
	ended string
	said  []string
	used  time.Time
	away  bool // the store is
}

func (d *desk) Sessions(string, sessions.SessionFilter) []sessions.Session {
	if d.ended != "" {
		return nil
	}
	return append(slices.Clone(d.subs), d.s)
}

func (d *desk) TerminateSession(_ context.Context, _, _, by string, _ bool) error {
	d.ended = by
	return nil
}

func (d *desk) Used(_ context.Context, _, _ string, at time.Time) error {
	if d.away {
		return errors.New("the store is away")
	}
	d.used, d.s.Task.UsedAt = at, at
	return nil
}

// keeper looks at it.
func (d *desk) keeper(c idle.Config, book *idle.Book, clock func() time.Time) *idle.Keeper {
	k := idle.NewKeeper(c, d, book, clock, slog.New(slog.DiscardHandler))
	k.Tell = func(_ context.Context, _ sessions.Session, words string) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.said = append(d.said, words)
		return nil
	}
	return k
}

// TestUseIsWrittenDown: also where the store was away just then, and nobody has come since.
func TestUseIsWrittenDown(t *testing.T) {
	now := start
	d := &desk{s: sessions.Session{ID: "ses-1", Type: sessions.TypeInteractive, Status: sessions.StatusRunning, StartedAt: start}, away: true}
	book := idle.NewBook(func() time.Time { return now })
	k := d.keeper(idle.Config{Limits: idle.Limits{Timeout: time.Hour}}, book, func() time.Time { return now })
	now = now.Add(10 * time.Minute)
	book.Opened("ses-1")()
	used := now
	for range 3 {
		now = now.Add(10 * time.Second)
		k.Look(t.Context())
	}
	d.away = false
	k.Look(t.Context())
	if !d.used.Equal(used) {
		t.Errorf("written is %s, it was used at %s", d.used, used)
	}
}

// TestKeeper: who is connected keeps a session; when they have gone its owner is warned, once, and it is ended. A daemon
// that starts meanwhile goes by what was written down.
func TestKeeper(t *testing.T) {
	now := start
	clock := func() time.Time { return now }
	d := &desk{s: sessions.Session{ID: "ses-1", Project: "red", Type: sessions.TypeInteractive, Status: sessions.StatusRunning, StartedAt: start}}
	c := idle.Config{Limits: idle.Limits{Timeout: time.Hour}, Projects: map[string]idle.Limits{"red": {Timeout: 30 * time.Minute}}}
	book := idle.NewBook(clock)
	k := d.keeper(c, book, clock)
	pass := func(d time.Duration) {
		for range d / (30 * time.Second) {
			now = now.Add(30 * time.Second)
			k.Look(t.Context())
		}
	}
	closed := book.Opened("ses-1")
	pass(2 * time.Hour)
	if st, ok := k.Standing(d.s); !ok || st.Open != 1 || !st.Ends.IsZero() || len(d.said) != 0 || now.Sub(d.used) > time.Minute {
		t.Errorf("%+v, said %q, written %s before", st, d.said, now.Sub(d.used))
	}
	closed()
	closed()
	pass(20 * time.Minute)
	book = idle.NewBook(clock) // another daemon
	k = d.keeper(c, book, clock)
	pass(8 * time.Minute)
	if len(d.said) != 1 || !strings.HasPrefix(d.said[0], "\r\n\a[palisade] This session will be ended in ") || !strings.Contains(d.said[0], "nobody has used it for 30m0s") {
		t.Errorf("%q", d.said)
	}
	book.Mark("ses-1") // somebody heard it
	pass(26 * time.Minute)
	if d.ended != "" || len(d.said) != 2 {
		t.Errorf("%q %q", d.ended, d.said)
	}
	pass(10 * time.Minute)
	if d.ended != "the idle check: nobody has used it for 30m0s" {
		t.Errorf("%q", d.ended)
	}
}

// TestKeeperSeesUtilization: a session that does nothing with its cores is ended, one that begins to work meanwhile is not.
func TestKeeperSeesUtilization(t *testing.T) {
	for _, works := range []bool{false, true} {
		now := start
		clock := func() time.Time { return now }
		d := &desk{s: sessions.Session{
			ID: "ses-1", Type: sessions.TypeInteractive, Status: sessions.StatusRunning, StartedAt: start,
			Claim: &accel.Claim{Slots: accel.Slots{accel.SlotCPU: 4000}},
		}}
		c := idle.Config{Limits: idle.Limits{Warning: 2 * time.Minute, Utilization: idle.Utilization{Window: 10 * time.Minute, CPU: 0.05, Device: 0.05}}}
		k := d.keeper(c, idle.NewBook(clock), clock)
		for i := range 15 {
			cores := 0.01
			if works && i >= 10 {
				cores = 3
			}
			k.Saw(d.s, now, now.Add(time.Minute), cores, 1<<20)
			now = now.Add(time.Minute)
			k.Look(t.Context())
		}
		if (d.ended == "") != works || len(d.said) == 0 || !strings.Contains(d.said[0], "less than 5.0%") {
			t.Errorf("works %v: %q %q", works, d.ended, d.said)
		}
	}
}

// TestKeeperSeesAllContainers: who uses one container of a session, or works in it, keeps all of them.
func TestKeeperSeesAllContainers(t *testing.T) {
	now := start
	clock := func() time.Time { return now }
	of := func(rank int, role sessions.Role, id string) sessions.Session {
		s := sessions.Session{
			ID: id, Type: sessions.TypeInteractive, Status: sessions.StatusRunning, StartedAt: start,
			Claim: &accel.Claim{Slots: accel.Slots{accel.SlotCPU: 1000}},
		}
		s.Task.Cluster = &sessions.Cluster{ID: "ses-main", Role: role, Index: max(rank, 1), Rank: rank, Size: 2}
		return s
	}
	d := &desk{s: of(0, sessions.RoleMain, "ses-main"), subs: []sessions.Session{of(1, sessions.RoleSub, "ses-sub")}}
	c := idle.Config{Limits: idle.Limits{Timeout: time.Hour, Utilization: idle.Utilization{Window: 10 * time.Minute, CPU: 0.1}}}
	book := idle.NewBook(clock)
	k := d.keeper(c, book, clock)
	pass := func(d2 time.Duration, busy string, used string) {
		for range d2 / time.Minute {
			for _, s := range append(d.subs, d.s) {
				cores := 0.0
				if s.ID == busy {
					cores = 1
				}
				k.Saw(s, now, now.Add(time.Minute), cores, 0)
			}
			if used != "" {
				book.Mark(used)
			}
			now = now.Add(time.Minute)
			k.Look(t.Context())
		}
	}
	pass(3*time.Hour, "ses-sub", "ses-main")
	pass(3*time.Hour, "ses-main", "ses-sub")
	if st, ok := k.Standing(d.subs[0]); d.ended != "" || !ok || now.Sub(st.Used) > time.Minute {
		t.Errorf("%q, %+v", d.ended, st)
	}
	pass(3*time.Hour, "", "")
	if d.ended == "" {
		t.Error("it goes on for ever")
	}
}
