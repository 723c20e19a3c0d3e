package quota

import (
	"strconv"
	"time"
)

// State of the payers at now: of each limit a minute the one that has least left.
func (p Payers) State(now time.Time) State {
	var sum State
	first := true
	for _, one := range p {
		switch {
		case one == nil:
		case first:
			sum, first = one.State(now), false
		default:
			st := one.State(now)
			sum.Requests, sum.Tokens = tighter(sum.Requests, st.Requests), tighter(sum.Tokens, st.Tokens)
		}
	}
	return sum
}

func tighter(a, b Meter) Meter {
	if a.Limit == 0 || b.Limit != 0 && b.Remaining < a.Remaining {
		return b
	}
	return a
}

// Fields gives the x-ratelimit-* fields of an answer as OpenAI's clients read them; a limit that is not
// there has none. Values are written over buf, which should hold 24 bytes, and last until the next.
func (s *State) Fields(buf []byte, yield func(name string, value []byte) bool) {
	_ = s.Requests.fields(buf, [3]string{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}, yield) &&
		s.Tokens.fields(buf, [3]string{"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}, yield)
}

func (m Meter) fields(buf []byte, names [3]string, yield func(name string, value []byte) bool) bool {
	return m.Limit == 0 ||
		yield(names[0], strconv.AppendInt(buf[:0], m.Limit, 10)) &&
			yield(names[1], strconv.AppendInt(buf[:0], m.Remaining, 10)) &&
			yield(names[2], appendReset(buf[:0], m.Reset))
}

// appendReset writes a duration as OpenAI does: 0s, 120ms, 59.2s.
func appendReset(dst []byte, d time.Duration) []byte {
	ms := d.Milliseconds()
	if 0 < ms && ms < 1000 {
		return append(strconv.AppendInt(dst, ms, 10), "ms"...)
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if tenth := ms % 1000 / 100; tenth > 0 {
		dst = append(dst, '.', byte('0'+tenth))
	}
	return append(dst, 's')
}
