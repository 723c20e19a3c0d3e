package http1

import (
	"bytes"
	"slices"
)

// Chunks follows the framing of a body in chunks that comes in pieces of any size. The zero value is at
// the start of a body.
type Chunks struct {
	state   chunkState
	digits  int    // of a size
	size    int64  // of the chunk, while its line is read; then what is left of it
	line    int    // bytes of the line so far
	excess  int64  // bytes of framing that chunks have not earned
	trailer []byte // lines after the last chunk
}

type chunkState uint8

const (
	atSize      chunkState = iota
	afterDigits            // white space seen: CR must come
	inExtension            // ; seen
	afterSize              // CR seen: LF must come
	inData
	afterData // CR must come
	afterCR   // LF must come
	inTrailer
	atDone
)

// Bounds of framing.
const (
	maxSizeDigits = 15      // so that no size overflows
	maxChunkLine  = 1 << 10 // bytes of a size and its extensions
	maxTrailer    = 16 << 10
	maxExcess     = 16 << 10 // of framing over 16 bytes a chunk and twice its data
)

// Reset makes ready for another body.
func (c *Chunks) Reset() { *c = Chunks{trailer: c.trailer[:0]} }

// Done tells that the body has come to its end.
func (c *Chunks) Done() bool { return c.state == atDone }

// Trailer gives the fields after the last chunk, once Done. Those that may not come so late are left out,
// and the error tells that there were some.
func (c *Chunks) Trailer() ([]Field, error) {
	if len(c.trailer) <= len("\r\n") {
		return nil, nil
	}
	fields, _, err := parseFields(nil, c.trailer, 0, maxFields, withCRLF)
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(fields, func(f Field) bool { return !f.mayTrail() })
	if len(kept) < len(fields) {
		return kept, errTrailerName
	}
	return kept, nil
}

// Decode takes the framing off p in place. What is of the body comes as a slice of p; used is how much of
// p belongs to the message: less than len(p) only once it is Done.
func (c *Chunks) Decode(p []byte) (body []byte, used int, err error) {
	for used < len(p) && c.state != atDone {
		n, data, err := c.next(p[used:])
		if err != nil {
			return nil, 0, err
		}
		switch {
		case !data:
		case body == nil:
			body = p[used : used+n] // the first, or the only one, stays where it is
		default:
			body = append(body, p[used:used+n]...) // over framing that was read
		}
		used += n
	}
	return body, used, nil
}

// Skip is Decode for who wants to know only where the body ends: p stays as it is.
func (c *Chunks) Skip(p []byte) (used int, err error) {
	for used < len(p) && c.state != atDone {
		n, _, err := c.next(p[used:])
		if err != nil {
			return 0, err
		}
		used += n
	}
	return used, nil
}

// next takes a run of the body, or of framing, from the start of p, which is not empty.
func (c *Chunks) next(p []byte) (n int, data bool, err error) {
	switch c.state {
	case inData:
		n = int(min(c.size, int64(len(p))))
		if c.size -= int64(n); c.size == 0 {
			c.state = afterData
		}
		return n, true, nil
	case inTrailer:
		n, err = c.trailers(p)
		return n, false, err
	}
	for n < len(p) && (c.state < inData || c.state == afterData || c.state == afterCR) {
		if !c.step(p[n]) {
			return 0, false, errChunk
		}
		n++
	}
	return n, false, nil
}

// step takes one byte between two runs of data; false: it cannot stand there.
func (c *Chunks) step(b byte) bool {
	switch c.state {
	case afterData:
		c.state = afterCR
		return b == '\r'
	case afterCR:
		c.state, c.size, c.digits, c.line = atSize, 0, 0, 0
		return b == '\n'
	case afterSize:
		return b == '\n' && c.open()
	}
	if c.line++; c.line > maxChunkLine {
		return false
	}
	if c.state == inExtension {
		if b == '\r' {
			c.state = afterSize
			return true
		}
		return b >= ' ' && b != 0x7f || b == '\t'
	}
	switch {
	case c.state == atSize && hexDigit[b] != 0:
		c.size = c.size<<4 | int64(hexDigit[b]-1)
		c.digits++
		return c.digits <= maxSizeDigits
	case c.digits == 0:
		return false
	case b == '\r':
		c.state = afterSize
	case b == ';' && c.state == atSize:
		c.state = inExtension
	case b == ' ' || b == '\t':
		c.state = afterDigits
	default:
		return false
	}
	return true
}

// hexDigit has the value of a digit and one more; 0: it is none.
var hexDigit = func() (value [256]uint8) {
	for i := range 10 {
		value['0'+i] = uint8(i + 1)
	}
	for i := range 6 {
		value['a'+i], value['A'+i] = uint8(i+11), uint8(i+11)
	}
	return value
}()

// open begins the chunk whose line was read; false: its sender hides too little in too much. Nobody may
// have others read extensions for ever.
func (c *Chunks) open() bool {
	const lineEnds = 3 // LF, and CR LF behind the data
	c.excess = max(0, c.excess+int64(c.line)+lineEnds-16-2*min(c.size, 1<<40))
	c.state, c.line = inData, 0
	if c.size == 0 {
		c.state = inTrailer
	}
	return c.excess <= maxExcess
}

// trailers keeps the lines after the last chunk, up to the empty one.
func (c *Chunks) trailers(p []byte) (int, error) {
	piece := p
	i := bytes.IndexByte(p, '\n')
	if i >= 0 {
		piece = p[:i+1]
	}
	if len(c.trailer)+len(piece) > maxTrailer {
		return 0, errTrailer
	}
	c.trailer = append(c.trailer, piece...)
	if c.line += len(piece); i < 0 {
		return len(piece), nil
	}
	line := c.trailer[len(c.trailer)-c.line:]
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return 0, errTrailer
	}
	if c.line = 0; len(line) == 2 {
		c.state = atDone
	}
	return len(piece), nil
}

// AppendChunkHead writes the line before a chunk of n bytes, n > 0.
func AppendChunkHead(dst []byte, n int) []byte {
	const hex = "0123456789abcdef"
	var b [16]byte
	i := len(b)
	for ; n > 0; n >>= 4 {
		i--
		b[i] = hex[n&15]
	}
	dst = append(dst, b[i:]...)
	return append(dst, '\r', '\n')
}
