package record

import (
	"cmp"
	"slices"
	"time"
)

// Figures are what was done in a window. Rates are per second, over what the window really covers.
type Figures struct {
	Window       time.Duration // that is covered: less than was asked for where it all began later; about a second more
	Requests     int64         // that arrived
	Ended        int64
	Errors       int64 // of those ended, and of those taken from a route: answered 5xx, broken, or not answered
	Aborted      int64 // of those ended: the client went
	Rate         float64
	ErrorRate    float64
	Tokens       float64 // of answers
	PromptTokens float64
	CachedTokens float64   // of PromptTokens
	First        Quantiles // from a request's arrival to the first bytes of its answer
	Took         Quantiles // to the end of its answer
}

// ServiceFigures are what a service does.
type ServiceFigures struct {
	ID, Name, Project string
	InFlight          int // waiting ones too
	Waiting           int // for a route
	Short, Long       Figures
	Routes            []RouteFigures // by id
}

// RouteFigures are what a route does.
type RouteFigures struct {
	ID          string
	Gone        bool // it has left the table and ends what it has
	InFlight    int
	Short, Long Figures
}

// window gathers the figures of one window.
type window struct {
	from, now   time.Time
	sums        sums
	first, took counts
}

// add takes what came to a meter in the window, to this very moment.
func (w *window) add(m *meter) {
	var last sums
	now := m.read()
	if m.past == nil && now == (sums{}) {
		return
	}
	if p := m.past; p != nil {
		last = p.last
		for i := range p.seconds {
			if s := &p.seconds[i]; s.end.After(w.from) {
				w.sums.add(s.sums)
				w.first.add(s.first)
				w.took.add(s.took)
			}
		}
	}
	w.sums.add(now.minus(last))
	for i := range buckets {
		var first, took uint32
		if m.past != nil {
			first, took = m.past.first[i], m.past.took[i]
		}
		w.first[i] += m.first[i].Load() - first
		w.took[i] += m.took[i].Load() - took
	}
}

// merge adds what another window of the same time has.
func (w *window) merge(o *window) {
	w.sums.add(o.sums)
	w.first.merge(&o.first)
	w.took.merge(&o.took)
}

// figures says what the window holds. born is when it all began.
func (w *window) figures(born time.Time) Figures {
	from := w.from
	if born.After(from) {
		from = born
	}
	covered := w.now.Sub(from)
	per := 1 / max(covered.Seconds(), 1)
	return Figures{
		Window: covered, Requests: w.sums.begun, Ended: w.sums.ended, Errors: w.sums.errors, Aborted: w.sums.aborted,
		Rate: float64(w.sums.begun) * per, ErrorRate: float64(w.sums.errors) * per,
		// An answer's tokens are known at its end alone: until then they are guessed, and may have been too many.
		Tokens:       float64(max(w.sums.completion, 0)) * per,
		PromptTokens: float64(w.sums.prompt) * per, CachedTokens: float64(w.sums.cached) * per,
		First: w.first.quantiles(), Took: w.took.quantiles(),
	}
}

// figures are the service's: arrivals are its own, the rest that of its routes and of what reached none.
func (s *LiveService) figures(now time.Time) ServiceFigures {
	f := ServiceFigures{
		ID: s.row.ID, Name: s.row.Name, Project: s.row.Project,
		Routes: []RouteFigures{},
	}
	f.InFlight, f.Waiting = s.flying(now)
	var short, long window
	short.from, short.now = s.of.begin(now, ShortWindow), now
	long.from, long.now = s.of.begin(now, LongWindow), now
	for id, r := range s.routes {
		mine := RouteFigures{ID: id, Gone: !r.goneAt.IsZero(), InFlight: s.flyingAt(r, now)}
		for _, of := range []struct {
			all *window
			to  *Figures
		}{{&short, &mine.Short}, {&long, &mine.Long}} {
			w := window{from: of.all.from, now: now}
			w.add(&r.meter)
			*of.to = w.figures(r.born)
			w.sums.begun = 0 // the service has counted it
			of.all.merge(&w)
		}
		if !mine.Gone || mine.InFlight > 0 {
			f.Routes = append(f.Routes, mine)
		}
	}
	short.add(&s.meter) // last: no request is seen to end that was not seen to begin
	long.add(&s.meter)
	slices.SortFunc(f.Routes, func(a, b RouteFigures) int { return cmp.Compare(a.ID, b.ID) })
	f.Short, f.Long = short.figures(s.born), long.figures(s.born)
	return f
}
