package pipeline

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/autoscaler/cron"
	"github.com/palisade-run/palisade/catalog"
)

// What a file need not say.
const (
	defaultWait         = 10 * time.Minute
	defaultSmokeTimeout = 30 * time.Second
	defaultSmokeTries   = 3
)

func (r *reader) serve(f catalog.Field) *Serve {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("service", "from", "path", "image", "runtime_variant", "model_definition_path", "model_mount_destination", "replicas",
		"open_to_public", "priority", "environ", "resources", "resource_opts", "selector", "wait", "smoke_test")
	s := &Serve{Variant: "custom", Wait: defaultWait}
	for key, into := range map[string]*string{
		"service": &s.Service, "from": &s.From, "path": &s.Path, "image": &s.Image, "runtime_variant": &s.Variant,
		"model_definition_path": &s.DefinitionPath, "model_mount_destination": &s.ModelMount,
	} {
		over(into)(m.Get(key).Text())
	}
	for _, key := range []string{"service", "image"} {
		if !m.Get(key).Given() {
			m.Get(key).Error("", "is required")
		}
	}
	if n, ok := m.Get("replicas").Int(0, 1000); ok {
		s.Replicas = &n
	}
	if yes, ok := m.Get("open_to_public").Bool(); ok {
		s.Public = &yes
	}
	if n, ok := m.Get("priority").Int(0, 100); ok {
		s.Priority = &n
	}
	s.Env, s.Resources = texts(m.Get("environ")), texts(m.Get("resources"))
	s.ResourceOpts, s.Selector = texts(m.Get("resource_opts")), texts(m.Get("selector"))
	over(&s.Wait)(m.Get("wait").Seconds(false))
	if f := m.Get("smoke_test"); f.Given() {
		s.Smoke = r.smoke(f)
	}
	if s.Replicas != nil && *s.Replicas == 0 && s.Smoke != nil {
		m.Get("replicas").Error("1 or more", "with no route there is nobody to ask the smoke test")
	}
	return s
}

func (r *reader) smoke(f catalog.Field) *Smoke {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("path", "method", "headers", "body", "expect", "timeout", "tries")
	s := &Smoke{Path: "/", Method: http.MethodGet, Timeout: defaultSmokeTimeout, Tries: defaultSmokeTries, Expect: Expect{Status: http.StatusOK}}
	over(&s.Path)(m.Get("path").Text())
	if !strings.HasPrefix(s.Path, "/") {
		m.Get("path").Error("for example /v1/chat/completions", "%q does not begin with /", s.Path)
	}
	switch body := m.Get("body").Value().(type) {
	case nil:
	case string:
		s.Body, s.Method = body, http.MethodPost
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			m.Get("body").Error("", "cannot be sent as JSON: %v", err)
		}
		s.Body, s.JSON, s.Method = string(raw), true, http.MethodPost
	}
	over(&s.Method)(m.Get("method").Text())
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"}, s.Method) {
		m.Get("method").Error("", "%q is no method", s.Method)
	}
	s.Headers = texts(m.Get("headers"))
	over(&s.Timeout)(m.Get("timeout").Seconds(false))
	over(&s.Tries)(m.Get("tries").Int(1, 100))
	if e, ok := m.Get("expect").Map(); ok {
		e.WarnUnknown("status", "contains", "excludes", "matches", "json")
		over(&s.Expect.Status)(e.Get("status").Int(100, 599))
		s.Expect.Contains, s.Expect.Excludes = scalars(e.Get("contains")), scalars(e.Get("excludes"))
		over(&s.Expect.Matches)(e.Get("matches").Text())
		expression(e.Get("matches"), s.Expect.Matches)
		if s.Expect.JSON = texts(e.Get("json")); s.Expect.JSON != nil {
			all, _ := e.Get("json").Map()
			for _, entry := range all.Entries() {
				expression(entry.Value, s.Expect.JSON[entry.Key])
			}
		}
	}
	return s
}

// expression reports what is no regular expression. One with ${{ }} is known when its job is made.
func expression(f catalog.Field, text string) {
	if strings.Contains(text, "${{") {
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		f.Error("", "%v", err)
	}
}

func (r *reader) schedule(f catalog.Field, parameters []Parameter) *Schedule {
	if !f.Given() {
		return nil
	}
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("cron", "zone", "overlap", "parameters", "enabled")
	s := &Schedule{Overlap: OverlapSkip, Enabled: true}
	over(&s.Cron)(m.Get("cron").Text())
	over(&s.Zone)(m.Get("zone").Text())
	over(&s.Enabled)(m.Get("enabled").Bool())
	if word, ok := m.Get("overlap").Text(); ok {
		s.Overlap = Overlap(word)
		if !slices.Contains([]Overlap{OverlapSkip, OverlapQueue, OverlapReplace}, s.Overlap) {
			m.Get("overlap").Error("", "%q: skip, queue or replace", word)
		}
	}
	zone, err := cron.Zone(s.Zone)
	if err != nil {
		m.Get("zone").Error("such as Europe/Berlin", "there is no zone %q", s.Zone)
		zone = time.UTC
	}
	if !m.Get("cron").Given() {
		m.Get("cron").Error(`for example "30 2 * * *"`, "is required")
	} else if times, err := cron.Parse(s.Cron, zone); err != nil {
		m.Get("cron").Error(`for example "30 2 * * *"`, "%v", err)
	} else if times.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		m.Get("cron").Error("", "it never comes")
	}
	s.Parameters = texts(m.Get("parameters"))
	if _, problems := values(parameters, s.Parameters); len(problems) > 0 {
		for _, p := range problems {
			m.Get("parameters").Error(p.Hint, "%s: %s", p.Field, p.Message)
		}
	}
	return s
}

// events of a job's end, of which somebody may be told.
var events = []string{"success", "failure", "cancelled", "recovery"}

func (r *reader) notifications(f catalog.Field) (out []Notification) {
	items, _ := f.Items("a list")
	if len(items) > maxNotify {
		f.Error("", "%d of them, at most %d", len(items), maxNotify)
	}
	for _, item := range items {
		m, ok := item.Map()
		if !ok {
			continue
		}
		m.WarnUnknown("url", "url_env", "on")
		n := Notification{On: events[:3]}
		over(&n.URL)(m.Get("url").Text())
		over(&n.URLEnv)(m.Get("url_env").Text())
		switch {
		case (n.URL == "") == (n.URLEnv == ""):
			item.Error("url: https://..., or url_env: "+WebhookEnvPrefix+"TEAM", "one of url and url_env is wanted")
		case n.URL != "" && !webURL(n.URL):
			m.Get("url").Error("https://...", "is no address of a web server")
		case n.URLEnv != "" && !(strings.HasPrefix(n.URLEnv, WebhookEnvPrefix) && valueName.MatchString(n.URLEnv)):
			m.Get("url_env").Error("so that a file cannot have any other variable of the daemon sent away", "%q does not begin with %s", n.URLEnv, WebhookEnvPrefix)
		}
		if words, ok := m.Get("on").Texts(); ok {
			n.On = words
			for _, word := range words {
				if !slices.Contains(events, word) {
					m.Get("on").Error(strings.Join(events, ", "), "%q is no end of a job", word)
				}
			}
		}
		out = append(out, n)
	}
	return out
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
