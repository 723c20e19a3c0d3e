package http1

import (
	"bytes"
	"errors"
	"math"
)

// Bounds of a head.
const (
	MaxHead   = 64 << 10 // bytes
	maxFields = 256
)

// ErrIncomplete says that the head has not come to its end.
var ErrIncomplete = errors.New("the head is not complete")

// Error is a message that is refused. It is constant text: nothing of the message is repeated.
type Error struct {
	Status int // to answer with: 400, 431, 501 or 505
	Text   string
}

func (e *Error) Error() string { return e.Text }

func bad(text string) *Error { return &Error{400, text} }

// Why a head is refused.
var (
	errLine          = bad("the request line is not METHOD TARGET VERSION")
	errBareLF        = bad("a line of the head does not end with CR LF")
	errFold          = bad("a header is folded over two lines")
	errName          = bad("a header has no proper name")
	errValue         = bad("a header's value has a control character")
	errNoHost        = bad("the request has no Host")
	errTwoHosts      = bad("the request has more than one Host")
	errHost          = bad("the Host is malformed")
	errLength        = bad("the Content-Length is not one number")
	errBothLengths   = bad("the message has both Content-Length and Transfer-Encoding")
	errOldChunked    = bad("HTTP/1.0 has no Transfer-Encoding")
	errCoding        = &Error{501, "the Transfer-Encoding is not chunked alone"}
	errTooLarge      = &Error{431, "the head has more than 64 KiB or 256 headers"}
	errVersion       = &Error{505, "the version is not HTTP/1.0 or HTTP/1.1"}
	errStatusLine    = bad("the status line is malformed")
	errSwitchUnasked = bad("the protocol was switched though nobody asked")
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

// HeadEnd finds the end of a head in b, of which b[:from] was looked at before: the index after the empty
// line, or 0. A line that ends without CR is an error at once, or a reader would wait for an end that
// others have seen.
func HeadEnd(b []byte, from int) (int, error) {
	for at := max(from-3, 0); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			if len(b) > MaxHead {
				return 0, errTooLarge
			}
			return 0, nil
		}
		i += at
		if i == 0 || b[i-1] != '\r' {
			return 0, errBareLF
		}
		if i >= 3 && b[i-2] == '\n' {
			if i+1 > MaxHead {
				return 0, errTooLarge
			}
			return i + 1, nil
		}
		if i == 1 {
			return 0, errLine
		}
		at = i + 1
	}
}

// Parse reads the head that ends at end, as HeadEnd found it.
func (r *Request) Parse(head []byte) error {
	*r = Request{Fields: r.Fields[:0], Len: len(head), ContentLength: -1}
	line, rest, ok := cutLine(head)
	if !ok {
		return ErrIncomplete
	}
	if err := r.line(line); err != nil {
		return err
	}
	var err error
	if r.Fields, err = parseFields(r.Fields, rest); err != nil {
		return err
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
	for _, c := range r.Method {
		if !tokenByte[c] {
			return errLine
		}
	}
	for _, c := range r.Target {
		if c <= ' ' || c >= 0x7f {
			return errLine
		}
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
		case TE, Trailer:
			r.Trailers = true
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
		closes, keeps, upgrades := connection(r.Fields)
		r.Close = closes || r.Minor == 0 && !keeps
		r.Upgrade = r.Upgrade && upgrades
	} else {
		r.Upgrade = false
	}
	switch {
	case hosts > 1:
		return errTwoHosts
	case hosts == 0 && r.Minor == 1:
		return errNoHost
	case !validHost(r.Host):
		return errHost
	case coding && r.ContentLength >= 0:
		return errBothLengths
	case coding && r.Minor == 0:
		return errOldChunked
	}
	return nil
}

func first(at *[]byte, f *Field) {
	if *at == nil {
		*at = f.Value
	}
}

// parseFields reads header lines up to the empty one.
func parseFields(fields []Field, b []byte) ([]Field, error) {
	for {
		line, rest, ok := cutLine(b)
		if !ok {
			return fields, ErrIncomplete
		}
		if len(line) == 0 {
			return fields, nil
		}
		b = rest
		if line[0] == ' ' || line[0] == '\t' {
			return fields, errFold
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return fields, errName
		}
		name, value := line[:colon], trim(line[colon+1:])
		for _, c := range name {
			if !tokenByte[c] {
				return fields, errName
			}
		}
		if !plain(value) {
			return fields, errValue
		}
		if len(fields) == maxFields {
			return fields, errTooLarge
		}
		fields = append(fields, Field{name, value, Recognize(name)})
	}
}

// cutLine gives the first line of b without its CR LF, and what follows.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, false
	}
	return b[:i-1], b[i+1:], true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

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

// validHost lets through what can stand in an authority.
func validHost(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == '/' || c == '\\' || c == '?' || c == '#' || c == '@' || c == '"' || c == '<' || c == '>' || c == ',' {
			return false
		}
	}
	return true
}
