package accounts

import (
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// account is what is known of one session. Its methods decide by what they are given alone.
type account struct {
	rows  map[time.Time]*Row // by hour: what is not kept yet, and the newest
	dirty map[time.Time]bool

	until   time.Time // what it held is counted up to here
	placed  time.Time // since when it has the place that is being counted; zero: none that is known
	sampled time.Time // when it was looked at last
	run     time.Time // which run was looked at, by its beginning
	clock   time.Duration
	memory  int64 // bytes, then

	next   time.Time // when to look again
	every  time.Duration
	status sessions.Status // then
	over   bool            // it has ended, and all is counted
}

// How often a session is looked at: soon after it began, then less and less often, and seldom where it does nothing.
const (
	sampleFirst = time.Second
	sampleBusy  = 15 * time.Second
	sampleQuiet = time.Minute
	quiet       = 0.005 // of a core
)

func newAccount(last *Row) *account {
	a := &account{rows: map[time.Time]*Row{}, dirty: map[time.Time]bool{}}
	if last != nil {
		row := *last
		a.rows[row.Hour], a.until, a.sampled, a.run, a.clock = &row, row.Until, row.Until, row.Run, row.Clock
	}
	return a
}

// row is that of an hour, which is about to change.
func (a *account) row(s *sessions.Session, hour time.Time) *Row {
	r := a.rows[hour]
	if r == nil {
		r = &Row{Hour: hour, Session: s.ID}
		a.rows[hour] = r
	}
	r.Name, r.User, r.Project, r.Type = s.Name, s.CreatedBy, s.Project, string(s.Type)
	r.Until, r.Run, r.Clock = a.until, a.run, a.clock
	a.dirty[hour] = true
	return r
}

// lost reports whether the session has let go of a place, or has got one, that was not seen: its history must tell.
func (a *account) lost(s *sessions.Session) bool {
	known := s.Claim != nil && !s.PlacedAt.IsZero()
	return !a.placed.IsZero() && (!known || !s.PlacedAt.Equal(a.placed))
}

// hold counts what a session holds up to now, or to its end.
func (a *account) hold(s *sessions.Session, now time.Time) {
	if s.Status.Terminal() {
		defer func() { a.over = true }()
	}
	if s.Claim == nil || s.PlacedAt.IsZero() {
		a.placed = time.Time{}
		return
	}
	a.placed = s.PlacedAt
	if !s.EndedAt.IsZero() {
		now = s.EndedAt
	}
	a.credit(s, span{s.PlacedAt, now})
}

// catchUp counts what a session's history says that it held since it was counted last.
func (a *account) catchUp(s *sessions.Session, history []sessions.Transition, now time.Time) {
	for _, span := range held(history, a.until, now) {
		a.credit(s, span)
	}
}

// credit counts a span of holding, what of it is not counted yet.
func (a *account) credit(s *sessions.Session, what span) {
	if what.from.Before(a.until) {
		what.from = a.until
	}
	if !what.from.Before(what.to) {
		return // the clock was set back, too
	}
	h := holdingOf(*s)
	a.until = what.to
	what.byHour(func(hour time.Time, part span) {
		a.row(s, hour).Add(h.over(part.to.Sub(part.from)))
	})
}

// due reports whether a session is to be looked at.
func (a *account) due(s *sessions.Session, now time.Time) bool {
	switch s.Status {
	case sessions.StatusRunning, sessions.StatusTerminating, sessions.StatusPreempted:
	default:
		return false
	}
	return a.status != s.Status || !now.Before(a.next)
}

// sample takes in what a session was seen to use, and returns what it used since it was looked at before; ok is false
// where that is not known.
func (a *account) sample(s *sessions.Session, got sessions.Stats) (used Sample, ok bool) {
	at := got.At
	run := s.StartedAt.UTC().Truncate(time.Millisecond) // stores and runtimes keep it more or less exactly
	since, again := s.StartedAt, a.run.Equal(run)
	if again && a.sampled.After(since) {
		since = a.sampled
	}
	spent := got.CPUTime
	if again {
		spent -= a.clock
	}
	took := at.Sub(since)
	fresh := !again || a.sampled.IsZero()
	a.sampled, a.run, a.clock, a.memory, a.status = at, run, max(got.CPUTime, 0), got.Memory, s.Status
	if took <= 0 {
		a.next = at.Add(sampleFirst)
		return Sample{}, false
	}
	spent = max(spent, 0)
	left := spent.Microseconds()
	span{since, at}.byHour(func(hour time.Time, part span) {
		share := left
		if part.to.Before(at) {
			share = int64(float64(spent.Microseconds()) * float64(part.to.Sub(part.from)) / float64(took))
		}
		left -= share
		a.row(s, hour).Add(Sums{CPU: share, Used: mebibytes(got.Memory, part.to.Sub(part.from))})
	})
	cores := spent.Seconds() / took.Seconds()
	a.again(fresh, cores)
	a.next = at.Add(a.every)
	return Sample{Session: *s, Since: since, At: at, Cores: cores, Memory: got.Memory}, true
}

// again says how long until the next look.
func (a *account) again(fresh bool, cores float64) {
	switch {
	case fresh:
		a.every = sampleFirst
	case cores < quiet:
		a.every = min(2*max(a.every, sampleFirst), sampleQuiet)
	default:
		a.every = min(2*max(a.every, sampleFirst), sampleBusy)
	}
}

// Sample is what a session used between two looks.
type Sample struct {
	Session   sessions.Session
	Since, At time.Time
	Cores     float64 // mean
	Memory    int64   // bytes at the second; -1: the box cannot tell
}

// unkept are the rows that are to be kept, and kept forgets those of hours that are over.
func (a *account) unkept(into []Row) []Row {
	for hour := range a.dirty {
		into = append(into, *a.rows[hour])
	}
	return into
}

func (a *account) kept(rows map[time.Time]Row) {
	newest := time.Time{}
	for hour := range a.rows {
		if hour.After(newest) {
			newest = hour
		}
	}
	for hour, row := range rows {
		if now := a.rows[hour]; now != nil && *now == row {
			delete(a.dirty, hour)
			if hour.Before(newest) {
				delete(a.rows, hour)
			}
		}
	}
}
