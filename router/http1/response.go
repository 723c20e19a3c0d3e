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

// ResponseEnd finds the end of an answer's head, as HeadEnd does of a request's; engines may end lines
// with a bare LF.
func ResponseEnd(b []byte, from int) (int, error) {
	for at := max(from-3, 0); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			if len(b) > maxAnswerHead {
				return 0, errTooLarge
			}
			return 0, nil
		}
		i += at
		if i >= 1 && b[i-1] == '\n' || i >= 2 && b[i-1] == '\r' && b[i-2] == '\n' {
			return i + 1, nil
		}
		at = i + 1
	}
}

const maxAnswerHead = 1 << 20

// Parse reads the head that ResponseEnd found.
func (r *Response) Parse(head []byte) error {
	*r = Response{Fields: r.Fields[:0], Len: len(head), ContentLength: -1}
	i := bytes.IndexByte(head, '\n')
	if i < 0 {
		return ErrIncomplete
	}
	line := bytes.TrimSuffix(head[:i], []byte{'\r'})
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
	if !plain(r.Reason) {
		return errStatusLine
	}
	if err := r.fields(head[i+1:]); err != nil {
		return err
	}
	return r.understand()
}

func (r *Response) fields(b []byte) error {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return ErrIncomplete
		}
		line := b[:i]
		b = b[i+1:]
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		if len(line) == 0 {
			return nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			return errFold
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return errName
		}
		name, value := line[:colon], trim(line[colon+1:])
		for _, c := range name {
			if !tokenByte[c] {
				return errName
			}
		}
		if !plain(value) {
			return errValue
		}
		if len(r.Fields) == 4*maxFields {
			return errTooLarge
		}
		r.Fields = append(r.Fields, Field{name, value, Recognize(name)})
	}
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
		closes, keeps, _ := connection(r.Fields)
		r.Close = closes || r.Minor == 0 && !keeps
	}
	if r.Chunked = coding; coding && r.ContentLength >= 0 {
		// Chunked counts, and whoever sends both is not trusted with another request.
		r.ContentLength, r.Close = -1, true
	}
	return nil
}

// HasBody tells whether a body may follow the head, as an answer to method.
func (r *Response) HasBody(method []byte) bool {
	return r.Status >= 200 && r.Status != 204 && r.Status != 304 && string(method) != "HEAD"
}
