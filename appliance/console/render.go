package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/live"
	"github.com/palisade-run/palisade/appliance/console/markdown"
	"github.com/palisade-run/palisade/appliance/console/ui"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

//go:embed templates
var templates embed.FS

// frame is what templates get: the page's data as .Data, and who looks as .View.
type frame struct {
	View  *View
	Page  Page
	Data  any
	Theme string // "", "light" or "dark"
	Live  string // where the page's changes come from; "" where there are none
}

// functions are what templates of a language may call.
func (c *Console) functions(language string) template.FuncMap {
	return template.FuncMap{
		"t":    func(key string, args ...any) (string, error) { return c.texts.Say(language, key, args...) },
		"say":  func(key string, args []any) (string, error) { return c.texts.Say(language, key, args...) },
		"n":    func(key string, n int) (string, error) { return c.texts.Count(language, key, n) },
		"icon": c.files.Icon,
		"asset": func(name string) (string, error) {
			path, err := c.files.Path(name)
			return Prefix + "/static/" + path, err
		},
		"bytes": bytesize.Format, "count": count, "number": ui.Number, "percent": ui.Percent, "seconds": ui.Seconds, "duration": ui.Duration,
		"time": ui.Time, "ago": ui.Ago, "sparkline": ui.Sparkline, "bar": ui.Bar,
		"celsius": ui.Celsius, "watts": ui.Watts, "meter": meter, "chart": ui.ChartFigure, "figures": ui.ChartFigures,
		"timeline": ui.Timeline, "graph": ui.Graph, "lengthText": ui.Length, "plot": ui.Plot, "resources": ui.Resources,
		"dict": dict, "list": func(values ...any) []any { return values }, "path": func(parts ...string) string { return Prefix + strings.Join(parts, "") },
		"parameters": ui.Parameters, "shortrev": shortRevision, "share": ui.Share, "whole": func(v float64) int64 { return int64(v) }, "pathseg": url.PathEscape,
		"knee": ui.KneePicture, "tone": ui.Tone, "lower": strings.ToLower, "join": strings.Join,
		"markdown": markdown.Document, "dataurl": ui.DataURL, "fullness": ui.Fullness, "int": func(n int64) int { return int(n) },
		"money": ui.Money, "hours": func(seconds float64) string { return ui.Number(seconds / 3600) },
	}
}

func count(n any) (string, error) {
	switch n := n.(type) {
	case int:
		return ui.Count(int64(n)), nil
	case int64:
		return ui.Count(n), nil
	case uint64:
		return ui.Count(int64(min(n, 1<<63-1))), nil
	}
	return "", fmt.Errorf("count: %T is no whole number", n)
}

// meter draws how much of a total is used; nothing where that is not known, which is -1.
func meter(title string, used, total any) (template.HTML, error) {
	var v [2]float64
	for i, one := range []any{used, total} {
		switch n := one.(type) {
		case float64:
			v[i] = n
		case int64:
			v[i] = float64(n)
		default:
			return "", fmt.Errorf("meter: %T is no number", n)
		}
	}
	if v[0] < 0 || v[1] <= 0 {
		return "", nil
	}
	tone := ""
	_, bytes := used.(int64) // cores may be busy; memory must not be full
	switch share := v[0] / v[1]; {
	case !bytes:
	case share > 0.97:
		tone = "danger"
	case share > 0.9:
		tone = "warning"
	}
	return ui.Bar(title, v[0]/v[1], tone), nil
}

// dict makes a map of names and values, for templates within templates.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok || i+1 >= len(pairs) {
			return nil, fmt.Errorf("dict: names and values, got %v", pairs)
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// execute writes a template of a page.
func (c *Console) execute(v *View, page, name string, data any) ([]byte, error) {
	t, err := c.sheets.page(page, v.Language)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("page %s: %w", page, err)
	}
	return b.Bytes(), nil
}

// show answers with a whole page.
func (c *Console) show(w http.ResponseWriter, v *View, p Page, status int, data any) {
	f := frame{View: v, Page: p, Data: data}
	if k, err := v.Cookie(themeCookie); err == nil && (k.Value == "light" || k.Value == "dark") {
		f.Theme = k.Value
	}
	if !p.Still {
		f.Live = Prefix + "/live" + strings.TrimPrefix(v.URL.RequestURI(), Prefix)
	}
	body, err := c.execute(v, p.Name, "layout.html", f)
	if err != nil {
		c.Log.ErrorContext(v.Context(), "a page could not be made", "page", p.Name, "error", err)
		http.Error(w, "the page could not be made; the appliance's log says why", http.StatusInternalServerError)
		return
	}
	send(w, v.Request, status, body)
}

// fragment answers with a part of a page.
func (c *Console) fragment(w http.ResponseWriter, v *View, status int, name string, data any) {
	body, err := c.execute(v, "problem", name, frame{View: v, Data: data})
	if err != nil {
		c.Log.ErrorContext(v.Context(), "a part of a page could not be made", "part", name, "error", err)
		http.Error(w, "the answer could not be made; the appliance's log says why", http.StatusInternalServerError)
		return
	}
	send(w, v.Request, status, body)
}

func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if len(body) > 1400 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is a good one
		_, _ = z.Write(body)                           // the browser may have gone
		_ = z.Close()
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // of html/template
}

// watch sends a page's parts when they have changed.
func (c *Console) watch(p Page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page := r.Clone(r.Context())
		page.URL.Path = Prefix + strings.TrimPrefix(r.URL.Path, Prefix+"/live")
		v, err := c.view(page)
		if err != nil {
			http.Error(w, problemOf(err).Detail, problemOf(err).Status)
			return
		}
		if first(v.Me) != "" {
			http.Error(w, "something is to be done first", http.StatusForbidden)
			return
		}
		key := live.Key{Page: v.URL.RequestURI(), Project: v.Project, Standing: v.standing(), Language: v.Language, Host: v.Host}
		who := v.Me.Via + " " + v.Me.Name // a key of the box may be called as a user is
		if v.Shared = !p.Personal; p.Personal {
			key.Person = who + " " + v.Me.Session // one's own page marks the browser that looks
		}
		c.live.Serve(w, r, live.Watch{
			Key: key, Who: who,
			Render: func() ([]live.Part, error) { return c.partsInTime(v, p) },
			Alive:  func() error { return c.stillAs(page, key.Standing) },
		})
	}
}

// stillAs says why who looks may not follow a page any more that others of their standing see.
func (c *Console) stillAs(page *http.Request, standing string) error {
	now, err := c.view(page)
	if err == nil && now.standing() != standing {
		return errOther
	}
	return err
}

// errOther says that who looks may not the same any more: others see what they follow.
var errOther = errors.New("who looks may something else now")

// partTime bounds how long a page may take to be made anew: all others wait for it.
const partTime = 5 * time.Second

// partsInTime is parts within partTime. One goroutine makes all pages anew: a page that fails takes no other along.
func (c *Console) partsInTime(v *View, p Page) (parts []live.Part, err error) {
	ctx, cancel := context.WithTimeout(v.Context(), partTime)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			c.Log.ErrorContext(ctx, "a page panicked", "page", p.Name, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("page %s: %v", p.Name, r)
		}
	}()
	one := *v
	one.Request = v.WithContext(ctx)
	if one.Shared { // nothing of one viewer may come to another
		one.Me = api.Me{Admin: v.Me.Admin, Scope: v.Me.Scope, Projects: v.Me.Projects}
	}
	return c.parts(&one, p)
}

// parts renders the live blocks of a page, by name.
func (c *Console) parts(v *View, p Page) ([]live.Part, error) {
	data, err := p.Data(v)
	if err != nil {
		return nil, err
	}
	var parts []live.Part
	sheet, err := c.sheets.page(p.Name, v.Language)
	if err != nil {
		return nil, err
	}
	for _, t := range sheet.Templates() {
		if !strings.HasPrefix(t.Name(), "live-") {
			continue
		}
		body, err := c.execute(v, p.Name, t.Name(), frame{View: v, Page: p, Data: data})
		if err != nil {
			return nil, err
		}
		parts = append(parts, live.Part{ID: t.Name(), HTML: body})
	}
	slices.SortFunc(parts, func(a, b live.Part) int { return strings.Compare(a.ID, b.ID) })
	return parts, nil
}
