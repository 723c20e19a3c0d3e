package http1

import "bytes"

// Known is a header that somebody on the way looks at, so that it is recognized once.
type Known uint8

// The headers that are known.
const (
	Other    Known = iota
	HopByHop       // of one connection only, and none of those below
	Connection
	TransferEncoding
	Upgrade
	TE
	Trailer
	Expect
	Host
	ContentLength
	ContentType
	ContentEncoding
	Authorization
	APIKey
	Forwarded // and X-Forwarded-*
	RequestID
	TraceParent
	UserAgent
	Cookie
	Location
	RetryAfter
	SetCookie
	OfHost // of an answer: it says something of all that its host has, not of itself
)

// Field is one header, as slices of the head's bytes. Value has no white space around it.
type Field struct {
	Name, Value []byte
	Known       Known
}

// OfOneConnection tells whether no proxy passes the field on.
func (f *Field) OfOneConnection() bool { return f.Known != Other && f.Known <= Trailer }

// Recognize tells which known header a name is, in any case.
func Recognize(name []byte) Known {
	switch len(name) {
	case 2:
		return known(name, "TE", "te", TE)
	case 3:
		return known(name, "NEL", "nel", OfHost)
	case 4:
		return known(name, "Host", "host", Host)
	case 6:
		return known(name, "Cookie", "cookie", Cookie) + known(name, "Expect", "expect", Expect)
	case 7:
		return known(name, "Upgrade", "upgrade", Upgrade) + known(name, "Trailer", "trailer", Trailer) + known(name, "Alt-Svc", "alt-svc", OfHost)
	case 8:
		return known(name, "Location", "location", Location)
	case 9:
		return known(name, "Report-To", "report-to", OfHost) + known(name, "X-Api-Key", "x-api-key", APIKey) + known(name, "Forwarded", "forwarded", Forwarded)
	case 10:
		return known(name, "User-Agent", "user-agent", UserAgent) + known(name, "Connection", "connection", Connection) +
			known(name, "Keep-Alive", "keep-alive", HopByHop) + known(name, "Set-Cookie", "set-cookie", SetCookie)
	case 11:
		return known(name, "Traceparent", "traceparent", TraceParent) + known(name, "Retry-After", "retry-after", RetryAfter)
	case 12:
		return known(name, "Content-Type", "content-type", ContentType) + known(name, "X-Request-Id", "x-request-id", RequestID)
	case 13:
		return known(name, "Authorization", "authorization", Authorization)
	case 14:
		return known(name, "Content-Length", "content-length", ContentLength)
	case 15:
		return known(name, "X-Forwarded-For", "x-forwarded-for", Forwarded) + known(name, "Clear-Site-Data", "clear-site-data", OfHost)
	case 16:
		return known(name, "Content-Encoding", "content-encoding", ContentEncoding) +
			known(name, "Proxy-Connection", "proxy-connection", HopByHop) + known(name, "X-Forwarded-Host", "x-forwarded-host", Forwarded)
	case 17:
		return known(name, "Transfer-Encoding", "transfer-encoding", TransferEncoding) +
			known(name, "X-Forwarded-Proto", "x-forwarded-proto", Forwarded)
	case 18:
		return known(name, "X-Forwarded-Prefix", "x-forwarded-prefix", Forwarded) +
			known(name, "Proxy-Authenticate", "proxy-authenticate", HopByHop)
	case 19:
		return known(name, "Proxy-Authorization", "proxy-authorization", HopByHop) + known(name, "Reporting-Endpoints", "reporting-endpoints", OfHost)
	case 22:
		return known(name, "Service-Worker-Allowed", "service-worker-allowed", OfHost)
	case 25:
		return known(name, "Strict-Transport-Security", "strict-transport-security", OfHost)
	}
	return Other
}

// known gives k for one name, first of all as it is usually written, and Other, which is 0, for all others.
func known(name []byte, usual, lower string, k Known) Known {
	if string(name) == usual || EqualFold(name, lower) {
		return k
	}
	return Other
}

// EqualFold compares with a text of lower-case letters, digits and hyphens.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(lower) {
		if c := b[i]; c != lower[i] && (c|0x20 != lower[i] || c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// lines says how the lines of a head end.
type lines bool

const (
	withCRLF lines = false
	orBareLF lines = true // also: engines are not all strict
)

// end tells where the line goes on to of which b[i] is the first control character: behind its end.
// ErrIncomplete: that is not there yet.
func (l lines) end(b []byte, i int, otherwise error) (int, error) {
	switch {
	case i == len(b) || b[i] == '\r' && i+1 == len(b):
		return 0, ErrIncomplete
	case b[i] == '\r' && b[i+1] == '\n':
		return i + 2, nil
	case b[i] != '\n':
		return 0, otherwise
	case l == withCRLF:
		return 0, errBareLF
	}
	return i + 1, nil
}

// parseFields reads the header lines from b[at:], up to the empty one, and at most so many; next is behind
// that.
func parseFields(fields []Field, b []byte, at, most int, l lines) (_ []Field, next int, err error) {
	for {
		if at < len(b) && (b[at] == '\r' || b[at] == '\n') {
			next, err = l.end(b, at, errName)
			return fields, next, err
		}
		colon := bytes.IndexByte(b[at:], ':')
		if colon < 0 && bytes.IndexByte(b[at:], '\n') < 0 {
			return fields, 0, ErrIncomplete
		}
		name := b[at : at+max(colon, 0)]
		k := Recognize(name)
		if k == Other && (len(name) == 0 || !all(name, &tokenByte)) {
			if b[at] == ' ' || b[at] == '\t' {
				return fields, 0, errFold
			}
			return fields, 0, errName
		}
		value := at + colon + 1
		end := control(b, value)
		if at, err = l.end(b, end, errValue); err != nil {
			return fields, 0, err
		}
		if len(fields) == most {
			return fields, 0, errTooLarge
		}
		fields = append(fields, Field{name, trim(b[value:end]), k})
	}
}

func first(at *[]byte, f *Field) {
	if *at == nil {
		*at = f.Value
	}
}

// tokens calls yield with each element of a comma-separated list.
func tokens(list []byte, yield func([]byte)) {
	for len(list) > 0 {
		element := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			element, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if element = trim(element); len(element) > 0 {
			yield(element)
		}
	}
}

// connection reads the Connection headers: what they say, and the fields that they name as of this
// connection only.
func connection(fields []Field) (closes, keeps, upgrades bool, err error) {
	named := 0
	for i := range fields {
		if fields[i].Known != Connection {
			continue
		}
		tokens(fields[i].Value, func(t []byte) {
			switch {
			case EqualFold(t, "close"):
				closes = true
			case EqualFold(t, "keep-alive"):
				keeps = true
			case EqualFold(t, "upgrade"):
				upgrades = true
			case named == maxNamed:
				err = errConnection
			default:
				named++
				hide(fields, t)
			}
		})
	}
	return closes, keeps, upgrades, err
}

// maxNamed bounds the work: each name is looked for in all fields.
const maxNamed = 64

// hide marks the fields of a name as of one connection. Those that frame or name the message cannot be
// taken away so.
func hide(fields []Field, name []byte) {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len(name) && (f.Known == Other || f.Known > ContentLength) && bytes.EqualFold(f.Name, name) {
			f.Known = HopByHop
		}
	}
}

// HideNamed marks the fields that the Connection headers name as of this connection only, for heads that
// somebody else has parsed; and tells whether they ask for an upgrade.
func HideNamed(fields []Field) (upgrades bool) {
	_, _, upgrades, _ = connection(fields) // who parsed the head lets any number of names through
	return upgrades
}

// announced looks at the names that a Trailer header announces.
func announced(list []byte) (err error) {
	tokens(list, func(name []byte) {
		f := Field{Name: name, Known: Recognize(name)}
		if all(name, &tokenByte) && !f.mayTrail() {
			err = errTrailerName
		}
	})
	return err
}

// mayTrail tells whether a field may come after the body. What frames a message, says whose it is and for
// whom, or how it is to be read, was decided when its head was there.
func (f *Field) mayTrail() bool {
	switch f.Known {
	case Host, ContentLength, ContentType, ContentEncoding, Authorization, APIKey, Cookie, Expect, Forwarded:
		return false
	}
	return !f.OfOneConnection()
}
