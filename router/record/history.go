package record

import (
	"slices"
	"time"
)

// The past that is kept of services, so that who looks now sees it: a moment every HistoryStep, for HistoryLength. A service
// that nobody asks takes no room.
const (
	HistoryStep   = 10 * time.Second
	HistoryLength = time.Hour
	mostMoments   = int(HistoryLength / HistoryStep)
)

// Moment is what a service did in the step that ends At. Rates are per second, times in seconds, 0 where nothing was counted.
type Moment struct {
	At                 time.Time
	Rate, ErrorRate    float32 // requests
	Tokens, Prompt     float32 // of answers, of prompts
	FirstP50, FirstP95 float32 // to the first bytes of an answer
	TookP50, TookP95   float32 // to its end
	InFlight, Waiting  int32   // at the end
	Routes             int32   // that could be asked, at the end
}

// idle tells whether nothing was done.
func (m *Moment) idle() bool {
	return *m == Moment{At: m.At, Routes: m.Routes}
}

// keep puts a moment down for every service. The caller holds mu, and has just read all meters off.
func (l *Live) keep(now time.Time) {
	if len(l.kept) > 0 && now.Sub(l.kept[len(l.kept)-1]) < HistoryStep-time.Second/2 {
		return
	}
	if len(l.kept) >= mostMoments {
		l.kept = slices.Delete(l.kept, 0, 1+len(l.kept)-mostMoments)
	}
	l.kept = append(l.kept, now)
	for _, s := range l.services {
		m := s.moment(now)
		for len(s.moments) > 1 && s.moments[1].At.Before(l.kept[0]) { // one that is older says how many routes there were
			s.moments = slices.Delete(s.moments, 0, 1)
		}
		if n := len(s.moments); m.idle() && (n == 0 && m.Routes == 0 || n > 0 && s.moments[n-1].idle() && s.moments[n-1].Routes == m.Routes) {
			continue
		}
		s.moments = append(s.moments, m)
	}
}

// moment is what the service did since the last one.
func (s *LiveService) moment(now time.Time) Moment {
	inFlight, waiting := s.flying(now)
	m := Moment{At: now, Routes: int32(len(s.row.Routes)), InFlight: int32(inFlight), Waiting: int32(waiting)}
	w := window{from: s.of.begin(now, HistoryStep), now: now}
	begun := int64(0)
	if s.past.since(w.from) {
		w.add(&s.meter)
		begun = w.sums.begun
	}
	for _, r := range s.routes {
		if r.past.since(w.from) {
			w.add(&r.meter)
		}
	}
	if w.sums == (sums{}) && m.InFlight == 0 {
		return m
	}
	w.sums.begun = begun // routes count again what the service has counted
	f := w.figures(s.born)
	m.Rate, m.ErrorRate, m.Tokens, m.Prompt = float32(f.Rate), float32(f.ErrorRate), float32(f.Tokens), float32(f.PromptTokens)
	m.FirstP50, m.FirstP95 = float32(f.First.P50.Seconds()), float32(f.First.P95.Seconds())
	m.TookP50, m.TookP95 = float32(f.Took.P50.Seconds()), float32(f.Took.P95.Seconds())
	return m
}

// since tells whether something came after a time.
func (p *past) since(from time.Time) bool {
	return p != nil && len(p.seconds) > 0 && p.seconds[len(p.seconds)-1].end.After(from)
}

// History gives what is kept of a service after a time, the earliest first, with a moment for every step.
func (l *Live) History(id string, after time.Time) []Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[id]
	if s == nil {
		return nil
	}
	if s.born.After(after) {
		after = s.born
	}
	from, _ := slices.BinarySearchFunc(l.kept, after, func(at, then time.Time) int {
		if at.After(then) {
			return 1
		}
		return -1
	})
	out, next, routes := make([]Moment, 0, len(l.kept)-from), 0, int32(0)
	for _, at := range l.kept[from:] {
		for ; next < len(s.moments) && s.moments[next].At.Before(at); next++ {
			routes = s.moments[next].Routes
		}
		if next < len(s.moments) && s.moments[next].At.Equal(at) {
			out = append(out, s.moments[next])
			continue
		}
		out = append(out, Moment{At: at, Routes: routes})
	}
	return out
}

// Latest gives the last moment of every service that did something in it, by its id.
func (l *Live) Latest() map[string]Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]Moment{}
	if len(l.kept) == 0 {
		return out
	}
	last := l.kept[len(l.kept)-1]
	for id, s := range l.services {
		if n := len(s.moments); n > 0 && s.moments[n-1].At.Equal(last) {
			out[id] = s.moments[n-1]
		}
	}
	return out
}
