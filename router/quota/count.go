package quota

import "time"

// span is how many seconds a minute's count looks back, the current one among them.
const span = 60

// minute counts what happened in the current second and the 59 before it. Seconds are since the
// subject's epoch: a clock that is set back or forth changes nothing.
type minute struct {
	sum  int64
	last int64       // the newest second that was counted in
	at   [span]int64 // by second modulo span
}

// advance moves to a second. One that is past already is taken for the newest.
func (m *minute) advance(second int64) {
	if second-m.last >= span {
		m.at, m.sum, m.last = [span]int64{}, 0, second
		return
	}
	for m.last < second {
		m.last++
		m.sum -= m.at[m.last%span]
		m.at[m.last%span] = 0
	}
}

func (m *minute) add(n int64) {
	m.sum += n
	m.at[m.last%span] += n
}

// frees is how many seconds after the start of the newest one at least n (1 or more) of the sum is
// gone; where the sum is less, how long until all of it is.
func (m *minute) frees(n int64) int64 {
	after := int64(0)
	for i := int64(1); i <= span && n > 0; i++ {
		if gone := m.at[(m.last+i)%span]; gone > 0 {
			after, n = i, n-gone
		}
	}
	return after
}

// budget counts what is spent in a window of the calendar.
type budget struct {
	spent       int64
	elsewhere   int64 // of spent: what others than this process have used, as far as that is known
	from, until int64 // Unix seconds; the same where the window never ends
}

// advance moves to the window in which now lies; a new one begins with nothing spent. Where the clock
// was set back what was spent stays, for nobody is to gain by that.
func (b *budget) advance(w Window, now time.Time) {
	second := now.Unix()
	if w == Ever || b.from <= second && second < b.until {
		return
	}
	from, until := w.Bounds(now)
	if second >= b.until {
		b.spent, b.elsewhere = 0, 0
	}
	b.from, b.until = from.Unix(), until.Unix()
}
