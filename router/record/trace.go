package record

import (
	"encoding/hex"
	"math/rand/v2"
)

// traceparentLen is the length of a traceparent header: 00-TRACE-SPAN-FLAGS.
const traceparentLen = 55

// Valid tells whether the request is part of a trace.
func (t Trace) Valid() bool { return t.ID != [16]byte{} && t.Span != [8]byte{} }

// Tracing gives requests their place in a trace. The zero value gives them none.
type Tracing struct {
	On     bool
	Sample float64 // part of the traces that begin here that is sampled
}

// Begin continues the client's trace, of whose traceparent header parent is the value, or begins one. A client's decision
// whether its trace is sampled holds. It allocates nothing.
func (c Tracing) Begin(parent []byte) (t Trace) {
	if !c.On {
		return Trace{}
	}
	if from, ok := ParseTraceparent(parent); ok {
		t = Trace{ID: from.ID, Parent: from.Span, Sampled: from.Sampled}
	} else {
		for t.ID == [16]byte{} {
			putRandom(t.ID[:8])
			putRandom(t.ID[8:])
		}
		t.Sampled = c.Sample >= 1 || c.Sample > 0 && rand.Float64() < c.Sample
	}
	for t.Span == [8]byte{} {
		putRandom(t.Span[:])
	}
	return t
}

// putRandom writes 8 bytes that need not be secret.
func putRandom(to []byte) {
	for n, i := rand.Uint64(), 0; i < 8; n, i = n>>8, i+1 {
		to[i] = byte(n)
	}
}

// ParseTraceparent reads a traceparent header of the W3C: ID, Span and Sampled of the trace are those of who sent it.
func ParseTraceparent(v []byte) (t Trace, ok bool) {
	if len(v) < traceparentLen || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return Trace{}, false
	}
	var version, flags [1]byte
	if !lowerHex(version[:], v[:2]) || !lowerHex(t.ID[:], v[3:35]) || !lowerHex(t.Span[:], v[36:52]) || !lowerHex(flags[:], v[53:55]) {
		return Trace{}, false
	}
	// Later versions may say more, after a dash; 255 is none.
	if version[0] == 0xff || version[0] == 0 && len(v) != traceparentLen || len(v) > traceparentLen && v[traceparentLen] != '-' {
		return Trace{}, false
	}
	t.Sampled = flags[0]&1 != 0
	return t, t.Valid()
}

// lowerHex decodes digits; upper-case ones do not count here.
func lowerHex(to, from []byte) bool {
	for _, c := range from {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(to, from)
	return err == nil
}

// AppendTraceparent writes the header that the engine gets: its parent is this request's span.
func AppendTraceparent(to []byte, t Trace) []byte {
	to = append(to, "00-"...)
	to = hex.AppendEncode(to, t.ID[:])
	to = append(to, '-')
	to = hex.AppendEncode(to, t.Span[:])
	if t.Sampled {
		return append(to, "-01"...)
	}
	return append(to, "-00"...)
}
