package router

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// hopByHop are the headers of one connection, which no proxy passes on.
var hopByHop = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// notForEngines are headers of clients that the router answers or sets itself.
var notForEngines = map[string]bool{
	"Expect":    true, // the router asks for the body when it wants it
	"Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Proto": true, "X-Forwarded-Prefix": true,
}

// endToEnd copies the headers of src that are not of one connection to dst. Values are shared.
func endToEnd(dst, src http.Header, but map[string]bool) {
	var named map[string]bool // by Connection
	for _, line := range src["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if token = textproto.TrimString(token); token != "" {
				if named == nil {
					named = map[string]bool{}
				}
				named[textproto.CanonicalMIMEHeaderKey(token)] = true
			}
		}
	}
	for k, v := range src {
		if !hopByHop[k] && !but[k] && !named[k] {
			dst[k] = v
		}
	}
}

// upgradeOf is the protocol that a message wants to switch to; "" for none.
func upgradeOf(h http.Header) string {
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(token), "upgrade") {
				return h.Get("Upgrade")
			}
		}
	}
	return ""
}

// incoming is what of a client's request its engine is told besides its headers.
type incoming struct {
	remote  string // address of the client, or of the proxy before
	host    string
	secure  bool
	id      string
	prefix  string // before the engine's own path
	trusted bool   // X-Forwarded-* of the client is true
}

// engineHeader makes the headers that an engine gets. Tokens of clients stay here: all that could be
// one goes where the service has tokens; where it is open to all, only what is Palisade's, since what
// remains may be for the engine.
func engineHeader(from http.Header, in incoming, s Service) http.Header {
	h := make(http.Header, len(from)+6)
	endToEnd(h, from, notForEngines)
	if v := h.Get("Authorization"); v != "" && ourCredential(v, s.Public) {
		delete(h, "Authorization")
	}
	if v := h.Get("X-Api-Key"); v != "" && (!s.Public || strings.HasPrefix(v, secretPrefix)) {
		delete(h, "X-Api-Key")
	}
	if s.EngineKey != "" {
		h["Authorization"] = []string{"Bearer " + s.EngineKey}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or net/http would name itself
	}
	for _, line := range from["Te"] {
		if strings.Contains(strings.ToLower(line), "trailers") {
			h["Te"] = []string{"trailers"}
		}
	}
	if up := upgradeOf(from); up != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{up}
	}
	h["X-Request-Id"] = []string{in.id}
	forwarded(h, from, in)
	return h
}

// ourCredential tells whether an Authorization header may hold a token of Palisade.
func ourCredential(v string, public bool) bool {
	secret, err := secretOf(v, "")
	if err != nil {
		return false // another scheme: never looked at here, so it is the engine's
	}
	return !public || strings.HasPrefix(secret, secretPrefix)
}

// forwarded says where the request came from. What a client says of that itself counts only where a
// proxy of the owner stands before.
func forwarded(h, from http.Header, in incoming) {
	proto := "http"
	if in.secure {
		proto = "https"
	}
	client, _, err := net.SplitHostPort(in.remote)
	if err != nil {
		client = ""
	}
	host, prefix := in.host, in.prefix
	if in.trusted {
		if before := strings.Join(from["X-Forwarded-For"], ", "); before != "" && client != "" {
			client = before + ", " + client
		}
		proto = orElse(from.Get("X-Forwarded-Proto"), proto)
		host = orElse(from.Get("X-Forwarded-Host"), host)
		prefix = from.Get("X-Forwarded-Prefix") + prefix
	}
	if client != "" {
		h["X-Forwarded-For"] = []string{client}
	}
	h["X-Forwarded-Host"] = []string{host}
	h["X-Forwarded-Proto"] = []string{proto}
	if prefix != "" {
		h["X-Forwarded-Prefix"] = []string{prefix}
	}
}

func orElse(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// requestID is the id that a request goes by: the one given, if it is short and plain, or a new one.
func requestID(given string) string {
	const most = 128
	plain := given != "" && len(given) <= most
	for i := 0; i < len(given) && plain; i++ {
		c := given[i]
		plain = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:/+=", c) >= 0
	}
	if plain {
		return given
	}
	return fmt.Sprintf("req-%016x%08x", rand.Uint64(), rand.Uint32())
}
