package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// The cookies that a browser shows. The one with the prefix is good for a page by TLS alone, and nobody but this very host can
// have set it.
const (
	plainCookie  = "palisade_session"
	secureCookie = "__Host-" + plainCookie
)

// byTLS reports whether a browser came by TLS: here, or at a proxy before. That is known where the proxy is the owner's and says
// so, where the browser calls us as we are advertised or shows what it shows by TLS alone, or where the page says that it came so.
func (s *server) byTLS(r *http.Request) bool {
	switch {
	case r.TLS != nil, strings.HasPrefix(r.Header.Get("Origin"), "https://"):
		return true
	case s.TrustForwarded && r.Header.Get("X-Forwarded-Proto") != "":
		return r.Header.Get("X-Forwarded-Proto") == "https"
	}
	if _, err := r.Cookie(secureCookie); err == nil { // it is shown by TLS alone
		return true
	}
	host, secure := strings.CutPrefix(s.PublicURL, "https://")
	return secure && strings.EqualFold(r.Host, host)
}

// addressOf is from where a request comes, without the port. Behind a proxy of the owner's it is what that one has seen: the last
// of the list, for what stands before is the client's own word.
func (s *server) addressOf(r *http.Request) string {
	if list := r.Header.Values("X-Forwarded-For"); s.TrustForwarded && len(list) > 0 {
		last := list[len(list)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if addr, err := netip.ParseAddr(strings.Trim(last, "[]")); err == nil {
			return addr.String()
		}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// setSession gives a browser the secret of a log-in session.
func (s *server) setSession(w http.ResponseWriter, r *http.Request, secret string, ends time.Time) {
	giveSession(w, s.byTLS(r), secret, ends)
}

func giveSession(w http.ResponseWriter, secure bool, secret string, ends time.Time) {
	c := &http.Cookie{Name: plainCookie, Value: secret, Path: "/", Expires: ends.UTC(), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if secure {
		c.Name, c.Secure = secureCookie, true
	}
	http.SetCookie(w, c)
}

// clearSession takes it away.
func (s *server) clearSession(w http.ResponseWriter, r *http.Request) {
	c := &http.Cookie{Name: plainCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if s.byTLS(r) {
		c.Name, c.Secure = secureCookie, true
	}
	http.SetCookie(w, c)
}

// sessionSecret is what a browser shows; "": nothing. By TLS only that cookie counts which nobody else can have set.
func sessionSecret(r *http.Request) string {
	if c, err := r.Cookie(secureCookie); err == nil {
		return c.Value
	}
	if r.TLS != nil {
		return ""
	}
	c, err := r.Cookie(plainCookie)
	if err != nil {
		return ""
	}
	return c.Value
}
