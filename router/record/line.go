package record

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// What is kept of words that strangers choose.
const (
	longestPath = 1024
	longestWord = 256
	longestErr  = 512
)

// clock writes moments; the last second's words are kept, since most lines are of the same.
type clock struct {
	second int64
	words  []byte // 2026-01-02T15:04:05
}

// append writes a moment as RFC 3339 in UTC, to the microsecond.
func (c *clock) append(to []byte, at time.Time) []byte {
	if second := at.Unix(); second != c.second || len(c.words) == 0 {
		c.second, c.words = second, at.UTC().AppendFormat(c.words[:0], "2006-01-02T15:04:05")
	}
	to = append(to, c.words...)
	to = append(to, '.')
	micros := at.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		to = append(to, '0'+byte(micros/unit%10))
	}
	return append(to, 'Z')
}

// appendLine writes a record as one line of JSON. What is empty or 0 is left out, but for status and took_ms. of is the
// part of such records that are written, where that is less than all.
func appendLine(to []byte, r *Record, c *clock, of float64) []byte {
	to = append(to, `{"time":"`...)
	to = c.append(to, r.Start)
	to = append(to, '"')
	to = word(to, `,"id":`, r.ID, longestWord)
	to = word(to, `,"client":`, r.Client, longestWord)
	to = word(to, `,"method":`, r.Method, longestWord)
	to = word(to, `,"path":`, r.Path, longestPath)
	to = word(to, `,"kind":`, r.Kind, longestWord)
	to = word(to, `,"service":`, r.Service, longestWord)
	to = word(to, `,"service_id":`, r.ServiceID, longestWord)
	to = word(to, `,"project":`, r.Project, longestWord)
	to = word(to, `,"model":`, r.Model, longestWord)
	to = word(to, `,"route":`, r.Route, longestWord)
	to = word(to, `,"token":`, r.TokenID, longestWord)
	to = word(to, `,"token_name":`, r.TokenName, longestWord)
	to = append(to, `,"status":`...)
	to = strconv.AppendInt(to, int64(r.Status), 10)
	to = word(to, `,"code":`, r.Code, longestWord)
	to = yes(to, `,"stream":true`, r.Stream)
	to = yes(to, `,"aborted":true`, r.Aborted)
	to = yes(to, `,"repeated":true`, r.Repeated)
	to = number(to, `,"retries":`, int64(r.Retries))
	to = append(to, `,"took_ms":`...)
	to = millis(to, r.Took)
	if r.First > 0 {
		to = append(to, `,"first_ms":`...)
		to = millis(to, r.First)
	}
	if r.Held > 0 {
		to = append(to, `,"held_ms":`...)
		to = millis(to, r.Held)
	}
	to = number(to, `,"in":`, r.In)
	to = number(to, `,"out":`, r.Out)
	to = number(to, `,"prompt_tokens":`, r.Usage.Prompt)
	to = number(to, `,"cached_tokens":`, r.Usage.Cached)
	to = number(to, `,"completion_tokens":`, r.Usage.Completion)
	to = yes(to, `,"estimated":true`, r.Usage.Estimated)
	to = word(to, `,"fault":`, r.Fault, longestWord)
	if r.Err != nil {
		to = word(to, `,"error":`, r.Err.Error(), longestErr)
	}
	if r.Trace.Valid() {
		to = append(to, `,"trace_id":"`...)
		to = hex.AppendEncode(to, r.Trace.ID[:])
		to = append(to, `","span_id":"`...)
		to = hex.AppendEncode(to, r.Trace.Span[:])
		to = append(to, '"')
	}
	if of > 0 && of < 1 {
		to = append(to, `,"sample":`...)
		to = strconv.AppendFloat(to, of, 'g', -1, 64)
	}
	return append(to, "}\n"...)
}

func number(to []byte, name string, n int64) []byte {
	switch {
	case n == 0:
		return to
	case n > 0 && n < 10_000:
		return small(append(to, name...), int(n))
	}
	return strconv.AppendInt(append(to, name...), n, 10)
}

// small writes a number of 0 to 9999, as most are.
func small(to []byte, n int) []byte {
	switch {
	case n >= 1000:
		return append(to, '0'+byte(n/1000), '0'+byte(n/100%10), '0'+byte(n/10%10), '0'+byte(n%10))
	case n >= 100:
		return append(to, '0'+byte(n/100), '0'+byte(n/10%10), '0'+byte(n%10))
	case n >= 10:
		return append(to, '0'+byte(n/10), '0'+byte(n%10))
	}
	return append(to, '0'+byte(n))
}

func yes(to []byte, words string, is bool) []byte {
	if !is {
		return to
	}
	return append(to, words...)
}

// millis writes a time in milliseconds with three decimals.
func millis(to []byte, d time.Duration) []byte {
	micros := max(d, 0).Microseconds()
	if whole := micros / 1000; whole < 10_000 {
		to = small(to, int(whole))
	} else {
		to = strconv.AppendInt(to, whole, 10)
	}
	rest := micros % 1000
	return append(to, '.', '0'+byte(rest/100), '0'+byte(rest/10%10), '0'+byte(rest%10))
}

// word writes a name and a JSON string, of at most most bytes of s.
func word(to []byte, name, s string, most int) []byte {
	if s == "" {
		return to
	}
	to = append(to, name...)
	cut := len(s) > most
	if cut {
		s = s[:most]
		for i := len(s) - 1; i >= max(0, len(s)-utf8.UTFMax); i-- { // not in the middle of a letter
			if utf8.RuneStart(s[i]) {
				if !utf8.FullRuneInString(s[i:]) {
					s = s[:i]
				}
				break
			}
		}
	}
	to = append(to, '"')
	to = escaped(to, s)
	if cut {
		to = append(to, "…"...)
	}
	return append(to, '"')
}

const hexDigits = "0123456789abcdef"

// plainUpTo is how many bytes s begins with that stand in a JSON string as they are. It looks at eight at a time, at the end
// at some of them twice.
func plainUpTo(s string) int {
	i := 0
	if len(s) >= 8 {
		for ; i+8 <= len(s) && plain(s[i:i+8]); i += 8 {
		}
		if i+8 > len(s) && plain(s[len(s)-8:]) {
			return len(s)
		}
	}
	for ; i < len(s); i++ {
		if b := s[i]; b < ' ' || b == '"' || b == '\\' || b >= 0x7f {
			break
		}
	}
	return i
}

// plain tells whether 8 bytes stand in a JSON string as they are. It may say no of some that do.
func plain(s string) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	v := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	// The highest bit of a byte ends up set where it is below a blank, a quote, a backslash, or 0x7f and above.
	return (v|(v-ones*' ')|(quote-ones)|(slash-ones)|(v+ones))&highs == 0
}

// escaped writes s as it stands in a JSON string: plain letters in one go. What commands a terminal is escaped too, since
// people look at logs with one.
func escaped(to []byte, s string) []byte {
	for {
		n := plainUpTo(s)
		to = append(to, s[:n]...)
		if s = s[n:]; s == "" {
			return to
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			to = append(to, '\\', byte(r))
		case r == '\n':
			to = append(to, '\\', 'n')
		case r >= 0xa0 && r != '\u2028' && r != '\u2029' && !(r == utf8.RuneError && size == 1):
			to = append(to, s[:size]...)
		default: // r is below 0x10000: controls, the replacement of what is no UTF-8, two line separators
			to = append(to, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
		s = s[size:]
	}
}
