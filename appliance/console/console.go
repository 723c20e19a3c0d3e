package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/live"
	"github.com/palisade-run/palisade/appliance/console/static"
	"github.com/palisade-run/palisade/appliance/console/texts"
)

// Prefix is below what all pages are.
const Prefix = "/console"

// Cookies of choices, which are no secrets.
const (
	projectCookie  = "palisade_project"
	languageCookie = "palisade_language"
	themeCookie    = "palisade_theme" // light or dark; none: as the system has it
)

// maxForm bounds a form; files go to the API.
const maxForm = 4 << 20

// Deps are what the console stands on.
type Deps struct {
	API     http.Handler           // of the API
	Changed func() <-chan struct{} // closed at the next change of a service or a session
	Version api.Version
	Log     *slog.Logger
	Now     func() time.Time
}

// Console is the handler of all pages.
type Console struct {
	Deps
	mux    *http.ServeMux
	texts  *texts.Texts
	files  *static.Files
	sheets *sheets
	live   *live.Hub
	steps  logInSteps
}

// unlisted are templates that no page of the menu is made with.
var unlisted = []string{"login", "password", "second-factor", "problem", "sessions/open"}

// New reads texts and files. An error is a fault of the program.
func New(d Deps) (*Console, error) {
	c := &Console{Deps: d, mux: http.NewServeMux()}
	c.sheets = newSheets(c.functions)
	var err error
	if c.texts, err = texts.Load(); err != nil {
		return nil, err
	}
	if c.files, err = static.Load(); err != nil {
		return nil, err
	}
	if c.steps, err = newSteps(); err != nil {
		return nil, err
	}
	c.live = live.NewHub(d.Changed)
	fixed := http.StripPrefix(Prefix+"/static/", c.files)
	c.mux.Handle("GET "+Prefix+"/static/", fixed)
	for _, p := range pages() {
		if err := c.sheets.there(p.Name); err != nil {
			return nil, err
		}
		c.mux.HandleFunc("GET "+Prefix+p.Pattern, c.page(p))
		if !p.Still {
			c.mux.HandleFunc("GET "+Prefix+"/live"+p.Pattern, c.watch(p))
		}
	}
	for _, a := range actions() {
		c.mux.HandleFunc("POST "+Prefix+a.Pattern, c.action(a))
	}
	for _, r := range raws() {
		method, pattern, _ := strings.Cut(r.Pattern, " ")
		c.mux.HandleFunc(method+" "+Prefix+pattern, c.raw(r))
	}
	c.mux.HandleFunc("GET "+Prefix+"/", c.nothing)
	for _, name := range unlisted {
		if err := c.sheets.there(name); err != nil {
			return nil, err
		}
	}
	c.mux.HandleFunc("GET "+Prefix+"/login", c.logInPage)
	c.mux.HandleFunc("POST "+Prefix+"/login", c.logIn)
	c.mux.HandleFunc("POST "+Prefix+"/logout", c.logOut)
	c.mux.HandleFunc("GET "+Prefix+"/choose", c.choose)
	return c, nil
}

// Run renders what open pages follow, until ctx ends.
func (c *Console) Run(ctx context.Context) { c.live.Run(ctx) }

// policy lets a page run and load what the appliance itself serves, and be in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP sets what holds for all pages.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	guard := http.NewCrossOriginProtection()
	if err := guard.Check(r); err != nil {
		c.refuse(w, r, api.NewProblem(api.KindForbidden, http.StatusForbidden, "a page of another origin may not change anything here"))
		return
	}
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
	c.mux.ServeHTTP(w, r)
}

var goodProject = regexp.MustCompile(`^\w[\w.-]{0,62}\w$`)

// view finds out who looks. An error that is a Problem of status 401 means: nobody.
func (c *Console) view(r *http.Request) (*View, error) {
	v := &View{Request: r, Language: c.language(r), console: c}
	bare, err := c.clientFor(r, "")
	if err != nil {
		return nil, err
	}
	if v.Me, err = bare.Me(r.Context()); err != nil {
		return nil, err
	}
	v.Project = projectOf(r, v.Me)
	v.API, err = c.clientFor(r, v.Project)
	return v, err
}

// projectOf is the project that the address names, else the one that was chosen last where the viewer still is in it, else
// the viewer's first.
func projectOf(r *http.Request, me api.Me) string {
	if name := r.URL.Query().Get("project"); goodProject.MatchString(name) {
		return name
	}
	mine := func(name string) bool {
		for _, p := range me.Projects {
			if p.Name == name {
				return true
			}
		}
		return false
	}
	if k, err := r.Cookie(projectCookie); err == nil && goodProject.MatchString(k.Value) && (me.Admin || mine(k.Value)) {
		return k.Value
	}
	if len(me.Projects) > 0 && !mine("default") {
		return me.Projects[0].Name
	}
	return "default"
}

func (c *Console) language(r *http.Request) string {
	if k, err := r.Cookie(languageCookie); err == nil {
		for _, one := range c.texts.Languages() {
			if one == k.Value {
				return one
			}
		}
	}
	return c.texts.Choose(r.Header.Get("Accept-Language"))
}

// page answers with a page, or with that of what is wrong.
func (c *Console) page(p Page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := c.view(r)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		if detained(w, r, v.Me) {
			return
		}
		data, err := p.Data(v)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		c.show(w, v, p, http.StatusOK, data)
	}
}

// action makes a change, and says how it went: to our script as a fragment, to a browser without it as a page.
func (c *Console) action(a Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := c.view(r)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		if detained(w, r, v.Me) {
			return
		}
		if err := r.ParseForm(); err != nil {
			c.refuse(w, r, api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the form could not be read: %v", err))
			return
		}
		out, err := a.Do(v)
		if err == nil {
			setCookies(w, out.Cookies)
		}
		switch {
		case err != nil:
			c.refuse(w, r, err)
		case out.Fragment != "":
			c.fragment(w, v, http.StatusOK, out.Fragment, out.Data)
		case r.Header.Get("HX-Request") == "":
			http.Redirect(w, r, back(r, out.To), http.StatusSeeOther) //nolint:gosec // a page of ours, see back
		default:
			if out.Toast != "" {
				w.Header().Set("X-Palisade-Toast", url.PathEscape(out.Toast))
			}
			if out.To != "" {
				w.Header().Set("HX-Redirect", Prefix+out.To)
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func (c *Console) raw(one Raw) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := c.view(r)
		if err == nil && detained(w, r, v.Me) {
			return
		}
		if err == nil {
			err = one.Serve(v, w)
		}
		if err != nil {
			c.refuse(w, r, err)
		}
	}
}

// back is where a browser without scripts goes after a change: never to another site.
func back(r *http.Request, to string) string {
	if to != "" {
		return Prefix + to
	}
	if u, err := url.Parse(r.Referer()); err == nil && u.Host == r.Host && strings.HasPrefix(u.Path, Prefix+"/") {
		return u.RequestURI()
	}
	return Prefix + "/"
}

// refuse says what is wrong, and what to do. Who is nobody is sent to log in.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the browser has gone
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		c.Log.ErrorContext(r.Context(), "a page was refused", "path", r.URL.Path, "error", err)
	}
	if p.Status == http.StatusUnauthorized {
		to := Prefix + "/login"
		if r.Method == http.MethodGet && r.URL.RequestURI() != Prefix+"/" {
			to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		if r.Header.Get("HX-Request") != "" {
			w.Header().Set("HX-Redirect", to)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	v := &View{Request: r, Language: c.language(r), console: c}
	if known, err := c.view(r); err == nil {
		v = known
	}
	if r.Header.Get("HX-Request") != "" {
		c.fragment(w, v, p.Status, "fragment-problem", withField(p))
		return
	}
	c.show(w, v, Page{Name: "problem", Still: true}, p.Status, p)
}

func (c *Console) nothing(w http.ResponseWriter, r *http.Request) {
	c.refuse(w, r, api.NewProblem(api.KindNoRoute, http.StatusNotFound, "there is no page at %s", r.URL.Path))
}

// choose keeps a choice of project, language or theme, and goes on to a page of ours.
func (c *Console) choose(w http.ResponseWriter, r *http.Request) {
	from := r.Header.Get("Sec-Fetch-Site")
	foreign := from != "" && from != "same-origin" && from != "none" // a link on another site chooses nothing
	for parameter, cookie := range map[string]string{"project": projectCookie, "language": languageCookie, "theme": themeCookie} {
		value := r.URL.Query().Get(parameter)
		if foreign || !goodProject.MatchString(value) {
			continue
		}
		age := 365 * 24 * 3600
		if cookie == themeCookie && value == "auto" {
			age = -1
		}
		//nolint:gosec // a choice and no secret; Secure where the connection is
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: value, Path: "/", MaxAge: age, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil, HttpOnly: true})
	}
	http.Redirect(w, r, localPath(r.URL.Query().Get("next")), http.StatusSeeOther) //nolint:gosec // a page of ours, see localPath
}

// localPath is a page of ours that next names, else the first one: never another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, Prefix+"/") ||
		strings.ContainsAny(next, "\\\r\n\t") || !strings.HasPrefix(path.Clean(u.Path)+"/", Prefix+"/") {
		return Prefix + "/"
	}
	return u.RequestURI()
}

// errNoPage is a fault of the program: a page without a template.
func errNoPage(name string) error { return fmt.Errorf("the console has no template %s", name) }
