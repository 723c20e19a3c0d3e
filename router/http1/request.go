package http1

import (
	"bytes"
	"math"
)

// Bounds of a head.
const (
	MaxHead   = 64 << 10 // bytes
	maxFields = 256
)

// Request is the head of a request. All slices are of the bytes it was parsed from. A Request may be
// parsed into again.
type Request struct {
	Method, Target []byte
	Minor          int // HTTP/1.Minor
	Fields         []Field
	Len            int   // bytes of the head, with the empty line
	ContentLength  int64 // -1: none
	Chunked        bool
	Close          bool // no other request will be answered on this connection

	// The values of headers that somebody looks at; nil where there is none, the first where there are more.
	Host, Authorization, APIKey, ContentType, ContentEncoding, RequestID, TraceParent, Cookie []byte
	Upgrade, Expect, Trailers                                                                 bool
}

// Take reads the head at the start of b, of which b[:looked] was looked at before and is no head.
// ErrIncomplete: more must come. A head that comes in many pieces costs no more than its length.
func (r *Request) Take(b []byte, looked int) error {
	if looked > 0 {
		if err := waits(b, looked); err != nil {
			return err
		}
	}
	err := r.Parse(b)
	if err == ErrIncomplete { //nolint:errorlint // nobody wraps it
		return waits(b, looked)
	}
	return err
}

// preface is what clients of HTTP/2 say first.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Preface tells whether b begins with what clients of HTTP/2 say first, or may be the beginning of it.
func Preface(b []byte) (whole, may bool) {
	n := min(len(b), len(preface))
	may = string(b[:n]) == preface[:n]
	return may && n == len(preface), may
}

// waits finds the end of a head in b, of which b[:from] was looked at before; ErrIncomplete where it is not
// there. A line that ends without CR is an error at once, or a reader would wait for an end that others have
// seen.
func waits(b []byte, from int) error {
	for at := max(from-3, 0); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			if len(b) >= MaxHead {
				return errTooLarge
			}
			return ErrIncomplete
		}
		i += at
		if i == 0 || b[i-1] != '\r' {
			return errBareLF
		}
		if i == 1 || i >= 3 && b[i-2] == '\n' {
			return nil
		}
		at = i + 1
	}
}

// Parse reads the head at the start of b. What is wrong is found before what is missing.
func (r *Request) Parse(b []byte) error {
	*r = Request{Fields: r.Fields[:0], ContentLength: -1}
	end := control(b, 0)
	next, err := withCRLF.end(b, end, errLine)
	if err != nil {
		return err
	}
	if err := r.line(b[:end]); err != nil {
		return err
	}
	if r.Fields, r.Len, err = parseFields(r.Fields, b, next, maxFields, withCRLF); err != nil {
		return err
	}
	if r.Len > MaxHead {
		return errTooLarge
	}
	return r.understand()
}

func (r *Request) line(line []byte) error {
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i <= 0 || j <= i+1 {
		return errLine
	}
	r.Method, r.Target = line[:i], line[i+1:j]
	if !all(r.Method, &tokenByte) || !visible(r.Target) {
		return errLine
	}
	switch version := line[j+1:]; string(version) {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
	default:
		if len(version) == 8 && string(version[:5]) == "HTTP/" && version[6] == '.' && digit(version[5]) && digit(version[7]) {
			return errVersion
		}
		return errLine
	}
	return nil
}

// understand reads what the headers mean for the message's framing and for who looks at it.
func (r *Request) understand() error {
	hosts, connections := 0, false
	coding := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Known {
		case Other:
		case Host:
			hosts++
			r.Host = f.Value
		case ContentLength:
			n, ok := number(f.Value)
			if !ok || r.ContentLength >= 0 {
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
		case Expect:
			r.Expect = true
		case TE:
			r.Trailers = true
		case Trailer:
			r.Trailers = true
			if err := announced(f.Value); err != nil {
				return err
			}
		case Authorization:
			first(&r.Authorization, f)
		case APIKey:
			first(&r.APIKey, f)
		case ContentType:
			first(&r.ContentType, f)
		case ContentEncoding:
			first(&r.ContentEncoding, f)
		case RequestID:
			first(&r.RequestID, f)
		case TraceParent:
			first(&r.TraceParent, f)
		case Cookie:
			first(&r.Cookie, f)
		}
	}
	r.Chunked = coding
	r.Close = r.Minor == 0
	if connections {
		closes, keeps, upgrades, err := connection(r.Fields)
		if err != nil {
			return err
		}
		r.Close = closes || r.Minor == 0 && !keeps
		r.Upgrade = r.Upgrade && upgrades && r.Minor == 1
	} else {
		r.Upgrade = false
	}
	switch {
	case hosts > 1:
		return errTwoHosts
	case hosts == 0 && r.Minor == 1:
		return errNoHost
	case !all(r.Host, &hostByte):
		return errHost
	case coding && r.ContentLength >= 0:
		return errBothLengths
	case coding && r.Minor == 0:
		return errOldChunked
	}
	return nil
}

// number reads a Content-Length: digits and nothing else.
func number(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}
