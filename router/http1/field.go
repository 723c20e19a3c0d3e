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
		return known(name, "te", TE)
	case 4:
		return known(name, "host", Host)
	case 6:
		if k := known(name, "cookie", Cookie); k != Other {
			return k
		}
		return known(name, "expect", Expect)
	case 7:
		if k := known(name, "upgrade", Upgrade); k != Other {
			return k
		}
		return known(name, "trailer", Trailer)
	case 8:
		return known(name, "location", Location)
	case 9:
		if k := known(name, "x-api-key", APIKey); k != Other {
			return k
		}
		return known(name, "forwarded", Forwarded)
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return known(name, "connection", Connection)
		case 'k':
			return known(name, "keep-alive", HopByHop)
		}
		return known(name, "user-agent", UserAgent)
	case 11:
		if k := known(name, "retry-after", RetryAfter); k != Other {
			return k
		}
		return known(name, "traceparent", TraceParent)
	case 12:
		if k := known(name, "content-type", ContentType); k != Other {
			return k
		}
		return known(name, "x-request-id", RequestID)
	case 13:
		return known(name, "authorization", Authorization)
	case 14:
		return known(name, "content-length", ContentLength)
	case 15:
		return known(name, "x-forwarded-for", Forwarded)
	case 16:
		if k := known(name, "content-encoding", ContentEncoding); k != Other {
			return k
		}
		if k := known(name, "proxy-connection", HopByHop); k != Other {
			return k
		}
		return known(name, "x-forwarded-host", Forwarded)
	case 17:
		if k := known(name, "transfer-encoding", TransferEncoding); k != Other {
			return k
		}
		return known(name, "x-forwarded-proto", Forwarded)
	case 18:
		if k := known(name, "x-forwarded-prefix", Forwarded); k != Other {
			return k
		}
		return known(name, "proxy-authenticate", HopByHop)
	case 19:
		return known(name, "proxy-authorization", HopByHop)
	}
	return Other
}

func known(name []byte, lower string, k Known) Known {
	if EqualFold(name, lower) {
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

// trim takes spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// connection reads the Connection headers: what they say, and the fields that they name as of this
// connection only.
func connection(fields []Field) (closes, keeps, upgrades bool) {
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
			default:
				hide(fields, t)
			}
		})
	}
	return closes, keeps, upgrades
}

// hide marks the fields of a name as of one connection. Those that frame or name the message cannot be
// taken away so.
func hide(fields []Field, name []byte) {
	for i := range fields {
		f := &fields[i]
		if bytes.EqualFold(f.Name, name) && (f.Known == Other || f.Known > ContentLength) {
			f.Known = HopByHop
		}
	}
}

// HideNamed marks the fields that the Connection headers name as of this connection only, for heads that
// somebody else has parsed; and tells whether they ask for an upgrade.
func HideNamed(fields []Field) (upgrades bool) {
	_, _, upgrades = connection(fields)
	return upgrades
}
