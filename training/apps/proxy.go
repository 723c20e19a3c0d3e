package apps

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

type contextKey int

const visitKey contextKey = 0

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey).(visit)
	return v
}

// forward passes a request on to its app. Whether that runs is found out by trying: nothing about it is kept that could be
// wrong.
func (a *Apps) forward(w http.ResponseWriter, r *http.Request, v visit) {
	if v.app.Protocol != HTTP {
		a.refuse(w, r, refusal{
			status: http.StatusNotImplemented, title: "Not for browsers", text: "App " + v.app.Name + " does not speak HTTP.",
			hint: "Bring it to a port of your own: palisade app " + v.s.Name + " " + v.app.Name,
		})
		return
	}
	a.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey, v)))
}

// transport connects to ports of sessions. Connections are kept for a while, each session's and port's by themselves.
func (a *Apps) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			id, text, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			port, err := strconv.Atoi(text)
			if err != nil {
				return nil, err
			}
			return a.Sessions.Dial(ctx, "", id, port)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 16, MaxIdleConns: 512, IdleConnTimeout: 20 * time.Second,
		MaxResponseHeaderBytes: 1 << 20, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10,
	}
}

func (a *Apps) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: a.wires, FlushInterval: -1, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
		ModifyResponse: func(resp *http.Response) error {
			confine(resp.Header, visitOf(resp.Request.Context()))
			return nil
		},
		ErrorHandler: a.broken,
	}
}

// rewrite makes of a client's request what the app sees: all of it but what is ours.
func rewrite(pr *httputil.ProxyRequest) {
	v := visitOf(pr.In.Context())
	pr.Out.URL.Scheme, pr.Out.URL.Host = "http", net.JoinHostPort(v.s.ID, strconv.Itoa(v.app.Port))
	pr.Out.Host = pr.In.Host // apps compare it with Origin
	pr.SetXForwarded()
	if v.app.Strip {
		escaped := "/" + strings.TrimPrefix(pr.In.URL.EscapedPath(), v.base)
		if path, err := url.PathUnescape(escaped); err == nil {
			pr.Out.URL.Path, pr.Out.URL.RawPath = path, escaped
		}
		pr.Out.Header.Set("X-Forwarded-Prefix", strings.TrimSuffix(v.base, "/"))
	} else {
		pr.Out.URL.Path, pr.Out.URL.RawPath = pr.In.URL.Path, pr.In.URL.RawPath
	}
	pr.Out.URL.RawQuery = withoutTicket(pr.In.URL.RawQuery)
	cleanCookies(pr.Out.Header)
	scheme, secret, _ := strings.Cut(pr.Out.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(strings.TrimSpace(secret), keyOurs) {
		pr.Out.Header.Del("Authorization")
	}
}

// withoutTicket leaves a ticket out, and all else as it was written.
func withoutTicket(query string) string {
	if !strings.Contains(query, ticketParam) {
		return query
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(part, "="); name != ticketParam {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// cleanCookies leaves our cookies out, and all others as they were written.
func cleanCookies(h http.Header) {
	var kept []string
	for _, line := range h.Values("Cookie") {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if name, _, _ := strings.Cut(part, "="); part != "" && !ourCookie(name) {
				kept = append(kept, part)
			}
		}
	}
	h.Del("Cookie")
	if len(kept) > 0 {
		h.Set("Cookie", strings.Join(kept, "; "))
	}
}

func ourCookie(name string) bool {
	name = strings.ToLower(name) // as browsers look at prefixes
	name = strings.TrimPrefix(strings.TrimPrefix(name, "__host-"), "__secure-")
	return strings.HasPrefix(name, cookieOurs)
}

// confine keeps what an app says of others than itself from having effect: it is one of several behind one host name. Its
// cookies are for its own path, none has a name of ours, no worker of its is given a larger part than its own, and it can
// neither clear what others have left in the browser nor speak for the host.
func confine(h http.Header, v visit) {
	cookies := h.Values("Set-Cookie")
	h.Del("Set-Cookie")
	for _, line := range cookies {
		if line = ownCookie(line, v.base); line != "" {
			h.Add("Set-Cookie", line)
		}
	}
	if h.Get("Service-Worker-Allowed") != "" { // whatever it says: browsers know more ways to write a path than to begin with it
		h.Set("Service-Worker-Allowed", v.base)
	}
	for _, name := range []string{"Clear-Site-Data", "Strict-Transport-Security", "Public-Key-Pins", "Alt-Svc"} {
		h.Del(name)
	}
	if to := h.Get("Location"); v.app.Strip && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, v.base) {
		h.Set("Location", v.base+strings.TrimPrefix(to, "/"))
	}
}

// ownCookie is a Set-Cookie that holds below root alone; "": it must not be set.
func ownCookie(line, root string) string {
	parts := strings.Split(line, ";")
	name, _, _ := strings.Cut(strings.TrimSpace(parts[0]), "=")
	name = strings.TrimSpace(name)
	if name == "" || !strings.Contains(parts[0], "=") || ourCookie(name) || len(name) > 7 && strings.EqualFold(name[:7], "__Host-") {
		return "" // browsers send one without a name as its value, which may look like any other; one for a whole host is for it, or for nobody
	}
	kept, where := parts[:1], root
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(key) {
		case "domain":
		case "path":
			if strings.HasPrefix(value, root) {
				where = value
			} else if below := strings.TrimPrefix(value, "/"); below != "" && strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "/sessions/") {
				where = root + below
			}
		default:
			kept = append(kept, part)
		}
	}
	return strings.Join(append(kept, " Path="+where), ";")
}

// broken answers where the app did not. One that may be started is; a browser is shown that, and comes back.
func (a *Apps) broken(w http.ResponseWriter, r *http.Request, err error) {
	v := visitOf(r.Context())
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	if !startable(v.app, err) {
		err = explain(v.s, v.app, err)
		if !errors.Is(err, sessions.ErrRefused) {
			a.Log.Debug("an app broke off", "session", v.s.ID, "app", v.app.Name, "error", err)
		}
		a.refuse(w, r, refusalOf(err))
		return
	}
	st := a.ensure(v.s, v.app)
	if st.over() && st.err != nil {
		a.refuse(w, r, refusalOf(st.err))
		return
	}
	a.refuse(w, r, refusal{
		status: http.StatusServiceUnavailable, title: "Starting " + v.app.Title, again: true,
		text: "It is being started in session " + v.s.Name + ". This page comes back by itself.",
	})
}
