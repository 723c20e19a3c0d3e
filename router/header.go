package router

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/router/http1"
	"github.com/palisade-run/palisade/router/record"
)

var nameRequestID = []byte("X-Request-Id") // written by nobody

const maxRequestID = 128

// headRoom is how much the head of the request to an engine takes at most.
func (x *exchange) headRoom() int {
	n := 1024 + len(x.call.method) + len(x.address.Path) + len(x.call.query) + 3*len(x.call.host) + 2*len(x.address.Prefix) +
		len(x.service.EngineKey) + len(x.call.upgrade) + 2*len(x.call.remote)
	for i := range x.call.fields {
		n += 2*len(x.call.fields[i].Value) + len(x.call.fields[i].Name) + 4 // some come twice: forwarded ones are joined
	}
	return n
}

// appendHead writes the head of the request that the engine gets.
func (x *exchange) appendHead(b []byte) []byte {
	call := &x.call
	b = append(append(b, call.method...), ' ')
	b = append(b, x.address.Path...)
	if call.asks {
		b = append(append(b, '?'), call.query...)
	}
	b = append(b, " HTTP/1.1\r\n"...)
	b = http1.AppendField(b, "Host", call.host)
	trailers := false
	for i := range call.fields {
		f := &call.fields[i]
		switch {
		case f.Known == http1.TE:
			trailers = trailers || strings.Contains(strings.ToLower(text(f.Value)), "trailers")
		case f.OfOneConnection():
		case !x.passesOn(f):
		case f.Known == http1.Cookie:
			b = appendCookies(b, f)
		default:
			b = http1.AppendField(b, f.Name, f.Value)
		}
	}
	if key := x.service.EngineKey; key != "" {
		b = append(append(append(b, "Authorization: Bearer "...), key...), "\r\n"...)
	}
	if x.trace.Valid() {
		b = append(record.AppendTraceparent(append(b, "Traceparent: "...), x.trace), "\r\n"...)
	}
	b = http1.AppendField(b, "X-Request-Id", x.id)
	b = x.appendForwarded(b)
	switch {
	case x.body.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case x.body.length > 0 || call.method == "POST" || call.method == "PUT" || call.method == "PATCH":
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), x.body.length, 10), "\r\n"...)
	}
	switch {
	case call.upgrade != "":
		b = append(append(append(b, "Connection: Upgrade\r\nUpgrade: "...), call.upgrade...), "\r\n"...)
	case trailers:
		b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	return append(b, "\r\n"...)
}

// passesOn tells whether the engine gets a header of the client as it is. Tokens of clients stay here: all
// that could be one goes where the service has tokens; where it is open to all, only what is Palisade's,
// since what remains may be for the engine.
func (x *exchange) passesOn(f *http1.Field) bool {
	switch f.Known {
	case http1.Host, http1.ContentLength, http1.RequestID, http1.Forwarded:
		return false // the router writes its own
	case http1.TraceParent:
		return !x.trace.Valid()
	case http1.Expect:
		return false // the router asks for the body when it wants it
	case http1.Authorization:
		return x.service.EngineKey == "" && !ourCredential(text(f.Value), x.service.Public)
	case http1.APIKey:
		return x.service.Public && !strings.HasPrefix(text(f.Value), secretPrefix)
	}
	return true
}

// ourCredential tells whether an Authorization header may hold a token of Palisade.
func ourCredential(v string, public bool) bool {
	secret, err := secretOf(v, "")
	if err != nil {
		return false // another scheme: never looked at here, so it is the engine's
	}
	return !public || strings.HasPrefix(secret, secretPrefix)
}

// appendForwarded says where the request came from. What a client says of that itself counts only where a
// proxy of the owner stands before.
func (x *exchange) appendForwarded(b []byte) []byte {
	call := &x.call
	client, host, proto, before := call.remote, call.host, "http", ""
	if call.secure {
		proto = "https"
	}
	if x.router.config.TrustForwarded {
		if chain := call.all("x-forwarded-for"); chain != "" && client != "" {
			client = chain + ", " + client
		}
		proto = orElse(call.field("x-forwarded-proto"), proto)
		host = orElse(call.field("x-forwarded-host"), host)
		before = call.field("x-forwarded-prefix")
	}
	if client != "" {
		b = http1.AppendField(b, "X-Forwarded-For", client)
	}
	b = http1.AppendField(b, "X-Forwarded-Host", host)
	b = http1.AppendField(b, "X-Forwarded-Proto", proto)
	if before != "" || x.address.Prefix != "" {
		b = append(append(append(append(b, "X-Forwarded-Prefix: "...), before...), x.address.Prefix...), "\r\n"...)
	}
	return b
}

// hostOf is an address without its port; "" for what is none.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return host
}

func orElse(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// requestID appends the id that a request goes by: the one given, if it is short and plain, or a new one.
func requestID(dst []byte, given string) []byte {
	plain := given != "" && len(given) <= maxRequestID
	for i := 0; i < len(given) && plain; i++ {
		c := given[i]
		plain = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:/+=", c) >= 0
	}
	if plain {
		return append(dst, given...)
	}
	const hex = "0123456789abcdef"
	dst = append(dst, "req-"...) // and 96 random bits
	word := rand.Uint64()
	for i := range 24 {
		if i == 16 {
			word = rand.Uint64()
		}
		dst = append(dst, hex[word&15])
		word >>= 4
	}
	return dst
}
