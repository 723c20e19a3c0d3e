package accounts

import (
	"math/bits"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// Sums are what was held, and of it used. Whole numbers, so that nothing is lost by adding them up.
type Sums struct {
	Held   int64 // microseconds with a place
	Cores  int64 // held: core-microseconds
	Memory int64 // held: MiB-milliseconds
	Shares int64 // held: device-microseconds
	CPU    int64 // used: core-microseconds
	Used   int64 // used: memory, MiB-milliseconds
}

// Add adds o.
func (s *Sums) Add(o Sums) {
	s.Held += o.Held
	s.Cores += o.Cores
	s.Memory += o.Memory
	s.Shares += o.Shares
	s.CPU += o.CPU
	s.Used += o.Used
}

// holding is what a session has for as long as it has its place.
type holding struct {
	milli      int64 // thousandths of a core; 0: it was not bounded
	memory     int64 // bytes; 0: it was not bounded
	hundredths int64 // of devices
}

// holdingOf is what a session holds, or would where it waits again.
func holdingOf(s sessions.Session) holding {
	slots := s.Demand.Slots
	if s.Claim != nil {
		slots = s.Claim.Slots
	}
	h := holding{milli: int64(slots[accel.SlotCPU]), memory: int64(slots[accel.SlotMem])}
	if s.Claim != nil && len(s.Claim.Shares) > 0 {
		for _, share := range s.Claim.Shares {
			h.hundredths += int64(share.Amount)
		}
		return h
	}
	for _, slot := range slots.Accelerators() {
		h.hundredths += int64(slots[slot])
	}
	return h
}

// over is what a holding comes to in a length of time.
func (h holding) over(d time.Duration) Sums {
	us := d.Microseconds()
	return Sums{Held: us, Cores: us * h.milli / 1000, Memory: mebibytes(h.memory, d), Shares: us * h.hundredths / 100}
}

// mebibytes is what an amount of memory comes to in a length of time: MiB-milliseconds.
func mebibytes(bytes int64, d time.Duration) int64 {
	if bytes <= 0 || d <= 0 {
		return 0
	}
	const unit = 1000 << 20 // of microseconds and bytes
	high, low := bits.Mul64(uint64(bytes), uint64(d.Microseconds()))
	sum, _ := bits.Div64(high, low, unit) // an exabyte for an hour is not too much
	return int64(sum)
}

// span is a length of time.
type span struct{ from, to time.Time }

// byHour cuts a span where hours begin.
func (s span) byHour(each func(hour time.Time, part span)) {
	for from := s.from; from.Before(s.to); {
		hour := from.UTC().Truncate(time.Hour)
		to := hour.Add(time.Hour)
		if s.to.Before(to) {
			to = s.to
		}
		each(hour, span{from, to})
		from = to
	}
}

// held are the times for which a session had a place, as its history tells, from a time on: each from SCHEDULED to where it
// waits again or has ended; the last one to until, where it has one still.
func held(history []sessions.Transition, from, until time.Time) (out []span) {
	var since time.Time
	end := func(at time.Time) {
		s := span{since, at}
		if s.from.Before(from) {
			s.from = from
		}
		if !since.IsZero() && s.from.Before(s.to) {
			out = append(out, s)
		}
		since = time.Time{}
	}
	for _, t := range history {
		switch {
		case t.To == sessions.StatusScheduled:
			since = t.At
		case t.To == sessions.StatusPending || t.To.Terminal():
			end(t.At)
		}
	}
	end(until)
	return out
}
