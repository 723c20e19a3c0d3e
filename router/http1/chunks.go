package http1

import "bytes"

// Chunks takes the framing off a body in chunks that comes in pieces of any size.
type Chunks struct {
	state   chunkState
	digits  int
	size    int64  // of the chunk, while its line is read; then what is left of it
	line    int    // bytes of a line that is skipped or kept
	trailer []byte // lines after the last chunk
}

type chunkState uint8

const (
	atSize      chunkState = iota
	inExtension            // after ; or white space
	afterSize              // CR seen: LF must come
	inData
	afterData // CR must come
	afterCR   // LF must come
	inTrailer
	atDone
)

// Why chunks are refused.
var (
	errChunk   = bad("a chunk is malformed")
	errTrailer = bad("the trailer is too large or malformed")
)

const (
	maxChunkLine = 4 << 10 // of a size and its extensions
	maxTrailer   = 16 << 10
)

// Reset makes ready for another body.
func (c *Chunks) Reset() { *c = Chunks{trailer: c.trailer[:0]} }

// Done tells that the body has come to its end.
func (c *Chunks) Done() bool { return c.state == atDone }

// Between tells that no chunk is open: what came so far ends at a chunk's end.
func (c *Chunks) Between() bool { return c.state == atSize && c.digits == 0 }

// Trailer gives the fields after the last chunk, once Done.
func (c *Chunks) Trailer() ([]Field, error) {
	if len(c.trailer) <= 2 {
		return nil, nil
	}
	return parseFields(nil, c.trailer)
}

// Decode takes the framing off p in place. What is of the body comes as a slice of p; used is how much of
// p belongs to the message: less than len(p) only once it is Done.
func (c *Chunks) Decode(p []byte) (body []byte, used int, err error) {
	for i := 0; i < len(p); {
		if c.state == inData {
			n := int(min(c.size, int64(len(p)-i)))
			if body == nil {
				body = p[i : i+n] // the first, or the only one, stays where it is
			} else {
				body = append(body, p[i:i+n]...) // over framing that was read
			}
			i += n
			if c.size -= int64(n); c.size == 0 {
				c.state = afterData
			}
			continue
		}
		if c.state == atDone {
			return body, i, nil
		}
		if c.state == inTrailer {
			n, err := c.trailers(p[i:])
			if err != nil {
				return nil, 0, err
			}
			i += n
			continue
		}
		if err := c.step(p[i]); err != nil {
			return nil, 0, err
		}
		i++
	}
	return body, len(p), nil
}

// step takes one byte of framing.
func (c *Chunks) step(b byte) error {
	switch c.state {
	case atSize, inExtension:
		return c.sizeLine(b)
	case afterSize:
		if b != '\n' {
			return errChunk
		}
		c.state, c.digits, c.line = inData, 0, 0
		if c.size == 0 {
			c.state = inTrailer
		}
	case afterData:
		if b != '\r' {
			return errChunk
		}
		c.state = afterCR
	case afterCR:
		if b != '\n' {
			return errChunk
		}
		c.state, c.size = atSize, 0
	}
	return nil
}

func (c *Chunks) sizeLine(b byte) error {
	if c.line++; c.line > maxChunkLine {
		return errChunk
	}
	if b == '\r' {
		if c.digits == 0 {
			return errChunk
		}
		c.state = afterSize
		return nil
	}
	if c.state == inExtension {
		if b < ' ' && b != '\t' || b == 0x7f {
			return errChunk
		}
		return nil
	}
	d := int64(-1)
	switch {
	case digit(b):
		d = int64(b - '0')
	case 'a' <= b|0x20 && b|0x20 <= 'f':
		d = int64(b|0x20-'a') + 10
	case c.digits > 0 && (b == ';' || b == ' ' || b == '\t'):
		c.state = inExtension
		return nil
	}
	if d < 0 || c.digits == 15 {
		return errChunk
	}
	c.digits++
	c.size = c.size<<4 | d
	return nil
}

// trailers keeps the lines after the last chunk, up to the empty one.
func (c *Chunks) trailers(p []byte) (int, error) {
	i := bytes.IndexByte(p, '\n')
	piece := p
	if i >= 0 {
		piece = p[:i+1]
	}
	if len(c.trailer)+len(piece) > maxTrailer {
		return 0, errTrailer
	}
	from := len(c.trailer) - c.line
	c.trailer = append(c.trailer, piece...)
	if c.line += len(piece); i < 0 {
		return len(piece), nil
	}
	line := c.trailer[from:]
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
