package apps

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// What is ours in a request of a client, and never an app's.
const (
	ticketParam = "palisade_ticket"
	cookieName  = "palisade_app"
	cookieOurs  = "palisade_" // how the names of all our cookies begin
	keyOurs     = "pal_"      // how API keys begin
)

func nonce() string { return rand.Text() }

// Handles reports whether a path is the door's.
func Handles(path string) bool { return path == "/sessions" || strings.HasPrefix(path, "/sessions/") }

// ServeHTTP is the door: /sessions/ID/apps/NAME/ and what is below. In this order:
//  1. the path names a session and an app;
//  2. a ticket becomes a cookie, and goes from the address;
//  3. who asks is known, and may use the session;
//  4. a page of elsewhere changes nothing, and opens no line;
//  5. the session runs, and has such an app;
//  6. the terminal answers here, all others in the session.
func (a *Apps) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, name, rest, ok := base(r.URL.Path)
	if !ok || !strings.HasPrefix(r.URL.EscapedPath(), "/sessions/"+id+"/apps/"+name) { // 1
		a.refuse(w, r, refusal{
			status: http.StatusNotFound, title: "Nothing here", text: "There is nothing at " + r.URL.Path + ".",
			hint: "Apps are at /sessions/ID/apps/NAME/, by the session's id; palisade app SESSION lists those of a session.",
		})
		return
	}
	if ticket := r.URL.Query().Get(ticketParam); ticket != "" && a.redeem(w, r, id, name, ticket) { // 2
		return
	}
	who, byCookie := a.who(r, id, name)
	if who == nil { // 3
		a.stranger(w, r)
		return
	}
	if why := foreign(r, byCookie, a.URL); why != "" { // 4
		a.refuse(w, r, refusal{status: http.StatusForbidden, title: "Refused", text: why})
		return
	}
	s, app, err := a.find(r.Context(), "", id, name) // 5
	if err == nil && (s.ID != id || !a.mayUse(*who, s)) {
		err = noApp(s, name)
	}
	if err != nil {
		a.refuse(w, r, refusalOf(err))
		return
	}
	if rest == "" || app.Name != name { // without its slash, or by another of its names
		to := url.URL{Path: Path(id, app.Name) + strings.TrimPrefix(rest, "/"), RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	defer a.Used(s.ID)()
	ctx, done := context.WithCancel(r.Context())
	defer done()
	defer context.AfterFunc(a.life, done)()
	r = r.WithContext(ctx)
	if app.Port == 0 { // 6
		a.terminal(w, r, visit{s: s, app: app, by: *who, rest: rest})
		return
	}
	a.forward(w, r, visit{s: s, app: app, by: *who, base: Path(id, name)})
}

// visit is a request that was let in.
type visit struct {
	s    sessions.Session
	app  App
	by   Actor
	base string // /sessions/ID/apps/NAME/, as it was asked for
	rest string
}

// who tells who asks: by a way that the API knows too, or by a cookie of this very app. nil: nobody knows.
func (a *Apps) who(r *http.Request, session, app string) (who *Actor, byCookie bool) {
	if known, ok := a.Who(r); ok {
		return &known, false
	}
	for _, c := range r.CookiesNamed(cookieName) {
		p, ok := unseal(a.Key, forCookie, c.Value, a.Now())
		if ok && p.Session == session && resolve(p.App) == resolve(app) && (p.Key == "" || a.Good(p.Key)) {
			return &Actor{Name: p.Name, User: p.User, Key: p.Key}, true
		}
	}
	return nil, false
}

// redeem makes a cookie of a ticket, and sends the browser to the address without it. false: it is not good, and the
// request goes on without.
func (a *Apps) redeem(w http.ResponseWriter, r *http.Request, session, app, ticket string) bool {
	if r.Method != http.MethodGet || strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		return false // whoever only looks ahead must not use it up
	}
	now := a.Now()
	p, ok := unseal(a.Key, forTicket, ticket, now)
	ok = ok && p.Session == session && resolve(p.App) == resolve(app) && (p.Key == "" || a.Good(p.Key))
	if !ok || !a.spent.use(p.Nonce, time.Unix(p.Expires, 0), now) {
		if who, _ := a.who(r, session, app); who == nil {
			a.refuse(w, r, refusal{
				status: http.StatusUnauthorized, title: "This link has been used", text: "It is good once, for two minutes.",
				hint: "Get another one: palisade app " + session + " " + app + " --url",
			})
			return true
		}
		a.clean(w, r, Path(session, app)) // it was opened a second time by who is in already
		return true
	}
	until := now.Add(passLife)
	cookie := pass{Session: session, App: p.App, Name: p.Name, User: p.User, Key: p.Key, Expires: until.Unix()}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS
		Name: cookieName, Value: seal(a.Key, forCookie, cookie), Path: Path(session, p.App), MaxAge: int(passLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil || strings.HasPrefix(a.URL, "https://"),
	})
	a.clean(w, r, Path(session, p.App))
	return true
}

// clean sends the browser to the same address without the ticket.
func (a *Apps) clean(w http.ResponseWriter, r *http.Request, root string) {
	q := r.URL.Query()
	q.Del(ticketParam)
	to := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
	if !strings.HasPrefix(r.URL.Path, root) {
		to.Path, to.RawPath = root, ""
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to.RequestURI(), http.StatusSeeOther)
}

// stranger is told how one gets in. It is the same whether there is such a session or not.
func (a *Apps) stranger(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="palisade"`)
	a.refuse(w, r, refusal{
		status: http.StatusUnauthorized, title: "Who are you?", text: "Apps of sessions are open to those who have logged in.",
		hint: "palisade app SESSION NAME --url prints a link that lets this browser in for twelve hours. Programs send an API key: Authorization: Bearer KEY.",
	})
}

// foreign says why a request is refused that a page of another origin has made; "": it was not.
func foreign(r *http.Request, byCookie bool, ours string) string {
	origin := r.Header.Get("Origin")
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		if origin == "" {
			return ""
		}
		from, err := url.Parse(origin)
		known, knownErr := url.Parse(ours)
		if err == nil && from.Host != "" && (strings.EqualFold(from.Host, r.Host) || knownErr == nil && strings.EqualFold(from.Host, known.Host)) {
			return ""
		}
		return "A page of another origin may not open a line here."
	}
	protection := http.NewCrossOriginProtection()
	_ = protection.AddTrustedOrigin(ours) // a proxy may call this box otherwise; one that is none is not trusted
	if byCookie && protection.Check(r) != nil {
		return "A page of another origin may not change anything here."
	}
	return ""
}

// refusalOf says what an error is to whoever asked.
func refusalOf(err error) refusal {
	out := refusal{status: http.StatusBadGateway, title: "The app does not answer", text: sentence(err.Error())}
	switch {
	case errors.Is(err, sessions.ErrNotFound):
		out.status, out.title = http.StatusNotFound, "Not there"
	case errors.Is(err, sessions.ErrForbidden):
		out.status, out.title = http.StatusConflict, "Not possible now"
	case errors.Is(err, sessions.ErrUnavailable):
		out.status = http.StatusServiceUnavailable
	}
	if failed, ok := errors.AsType[*StartError](err); ok {
		out.text, out.log = sentence("App "+failed.App+" of session "+failed.Session+": "+failed.Why), failed.Log
		out.again = failed.Slow
	}
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		out.hint = sentence(h.Hint())
	}
	return out
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	if c := text[0]; c >= 'a' && c <= 'z' {
		text = string(c-'a'+'A') + text[1:]
	}
	return strings.TrimSuffix(text, ".") + "."
}
