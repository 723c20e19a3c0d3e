package http1

import "bytes"

// Response is the head of an answer. All slices are of the bytes it was parsed from.
type Response struct {
	Status        int
	Reason        []byte
	Minor         int // HTTP/1.Minor
	Fields        []Field
	Len           int
	ContentLength int64 // -1: none
	Chunked       bool
	Close         bool // the connection ends with the answer

	// The values of headers that somebody looks at; nil where there is none.
	ContentType, ContentEncoding, Location, RetryAfter []byte
	Upgrade                                            bool
	Trailers                                           bool // trailers are announced
}

// Take reads the head at the start of b, as Request.Take does.
func (r *Response) Take(b []byte, looked int) error {
	if looked > 0 {
		if err := answerWaits(b, looked); err != nil {
			return err
		}
	}
	err := r.Parse(b)
	if err == ErrIncomplete { //nolint:errorlint // nobody wraps it
		return answerWaits(b, looked)
	}
	return err
}

// answerWaits is waits for answers, whose lines may end with a bare LF.
func answerWaits(b []byte, from int) error {
	for at := max(from-3, 0); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			if len(b) >= maxAnswerHead {
				return errTooLarge
			}
			return ErrIncomplete
		}
		i += at
		if i >= 1 && b[i-1] == '\n' || i >= 2 && b[i-1] == '\r' && b[i-2] == '\n' {
			return nil
		}
		at = i + 1
	}
}

// Bounds of an answer's head.
const (
	maxAnswerHead   = 1 << 20 // bytes
	maxAnswerFields = 1024
)

// Parse reads the head at the start of b.
func (r *Response) Parse(b []byte) error {
	*r = Response{Fields: r.Fields[:0], ContentLength: -1}
	end := control(b, 0)
	next, err := orBareLF.end(b, end, errStatusLine)
	if err != nil {
		return err
	}
	line := b[:end]
	// HTTP/1.1 200 OK
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || !digit(line[7]) || line[8] != ' ' ||
		!digit(line[9]) || !digit(line[10]) || !digit(line[11]) || len(line) > 12 && line[12] != ' ' {
		return errStatusLine
	}
	r.Minor = min(int(line[7]-'0'), 1)
	r.Status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	if r.Status < 100 {
		return errStatusLine
	}
	if len(line) > 13 {
		r.Reason = line[13:]
	}
	if r.Fields, r.Len, err = parseFields(r.Fields, b, next, maxAnswerFields, orBareLF); err != nil {
		return err
	}
	return r.understand()
}

func (r *Response) understand() error {
	connections, coding := false, false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Known {
		case Other:
		case ContentLength:
			n, ok := number(f.Value)
			if !ok || r.ContentLength >= 0 && r.ContentLength != n {
				return errLength
			}
			r.ContentLength = n
		case TransferEncoding:
			if coding || !EqualFold(f.Value, "chunked") {
				return errCoding
			}
			coding = true
		case Connection:
			connections = true
		case Upgrade:
			r.Upgrade = true
		case Trailer:
			r.Trailers = true
			if err := announced(f.Value); err != nil {
				return err
			}
		case ContentType:
			first(&r.ContentType, f)
		case ContentEncoding:
			first(&r.ContentEncoding, f)
		case Location:
			first(&r.Location, f)
		case RetryAfter:
			first(&r.RetryAfter, f)
		}
	}
	r.Close = r.Minor == 0
	if connections {
		closes, keeps, _, err := connection(r.Fields)
		if err != nil {
			return err
		}
		r.Close = closes || r.Minor == 0 && !keeps
	}
	if r.Chunked = coding; coding && (r.ContentLength >= 0 || r.Minor == 0) {
		// Chunked counts, and whoever sends both, or does not know chunks, is not trusted with another request.
		r.ContentLength, r.Close = -1, true
	}
	return nil
}

// HasBody tells whether a body may follow the head, as an answer to method.
func (r *Response) HasBody(method []byte) bool {
	return r.Status >= 200 && r.Status != 204 && r.Status != 304 && string(method) != "HEAD"
}
