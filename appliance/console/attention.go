package console

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// Bounds of what needs attention.
const (
	waitsLong  = 5 * time.Minute
	endsSoon   = 7 * 24 * time.Hour
	hotDevice  = 85.0 // degrees Celsius: where the makers of accelerators begin to slow them down
	mostOfKind = 4    // concerns of one kind, before the rest is counted
)

// Concern is one thing that needs somebody: a sentence, and the button that mends it or the page where that is done.
type Concern struct {
	ID     string // the same as long as it is the same
	Tone   string // danger, warning
	Icon   string
	Text   string // key of the sentence
	Args   []any
	Detail string // what the appliance says of it, as it is
	Hint   string
	Path   string // of the page
	See    string // key of what the link says
	Post   string // of the action, "" none
	Button string // key of what the button says
	Sure   string // key of the question before it; "" none
}

// facts are answers of the API that concerns are found in. What the viewer may not ask for is empty.
type facts struct {
	now     time.Time
	me      api.Me
	project string // that the page is about
	role    string // the viewer's, in it
	glance  api.Glance
	devices []api.Device
	doctor  api.Doctor
	keys    []api.Key
}

// concerns finds what needs attention, the worst first. It is pure.
func concerns(f facts) []Concern {
	out := slices.Concat(f.ofPerson(), f.ofServices(), f.ofInstalls(), f.ofDevices(), f.ofBox(), f.ofWaiting(), f.ofTokens(), f.ofKeys())
	rank := map[string]int{"danger": 0, "warning": 1}
	slices.SortStableFunc(out, func(a, b Concern) int { return cmp.Compare(rank[a.Tone], rank[b.Tone]) })
	return out
}

// page is a page about something of a project: where it is another one than the page's own, the address names it.
func (f facts) page(project, path string) string {
	if project == "" || project == f.project {
		return path
	}
	return path + "?" + url.Values{"project": {project}}.Encode()
}

func (f facts) ofPerson() []Concern {
	switch {
	case f.me.MustChange:
		return []Concern{{ID: "password", Tone: "danger", Icon: "lock", Text: "home.password", Path: "/profile", See: "home.change_password"}}
	case f.me.MustTOTP:
		return []Concern{{ID: "totp", Tone: "danger", Icon: "lock", Text: "home.totp", Path: "/profile", See: "home.set_up"}}
	}
	return nil
}

func (f facts) ofServices() []Concern {
	var out []Concern
	for _, s := range f.glance.Services.Ailing {
		c := Concern{ID: "service-" + s.ID, Icon: "server", Detail: s.Reason, Path: f.page(s.Project, "/services/"+url.PathEscape(s.Name)), See: "home.show"}
		if s.LastError != "" && !strings.Contains(s.Reason, s.LastError) {
			c.Detail = s.LastError
		}
		switch s.Status {
		case "UNHEALTHY":
			c.Tone, c.Text, c.Args = "danger", "home.unhealthy", []any{s.Name}
		case "DEGRADED":
			c.Tone, c.Text, c.Args = "warning", "home.degraded", []any{s.Name, s.HealthyRoutes, s.Replicas}
		default:
			c.Tone, c.Text, c.Args = "danger", "home.not_starting", []any{s.Name, s.Failures}
		}
		out = append(out, c)
	}
	return shortened(out, "services", "/services")
}

// shortened keeps a page from being all one kind of concern.
func shortened(all []Concern, kind, path string) []Concern {
	if len(all) <= mostOfKind {
		return all
	}
	rest := Concern{ID: "more-" + kind, Tone: all[mostOfKind-1].Tone, Icon: all[0].Icon, Text: "home.more_" + kind, Args: []any{len(all) - mostOfKind + 1}, Path: path, See: "home.show"}
	return append(all[:mostOfKind-1:mostOfKind-1], rest)
}

func (f facts) ofInstalls() []Concern {
	var out []Concern
	for _, in := range f.glance.Installs {
		if in.Status != "FAILED" {
			continue
		}
		c := Concern{
			ID: "install-" + in.ID, Tone: "danger", Icon: "package", Text: "home.install_failed", Args: []any{in.Model}, Detail: in.Error, Hint: in.Hint,
			Path: f.page(in.Project, "/installs/"+url.PathEscape(in.ID)), See: "home.show",
		}
		if ranks[f.role] >= ranks["member"] {
			c.Post, c.Button = f.page(in.Project, "/installs/"+url.PathEscape(in.ID)+"/again"), "home.try_again"
		}
		out = append(out, c)
	}
	return shortened(out, "installs", "/catalog")
}

func (f facts) ofDevices() []Concern {
	var out []Concern
	for _, d := range f.devices {
		c := Concern{ID: "device-" + d.ID, Icon: "cpu", Args: []any{d.Ref, d.Name}, Path: "/accelerators/" + url.PathEscape(d.ID), See: "home.show", Detail: d.Reason}
		switch {
		case d.Health == api.DeviceLost:
			c.Tone, c.Text = "danger", "home.device_lost"
		case d.Health == api.DeviceFenced:
			c.Tone, c.Text = "warning", "home.device_fenced"
			if f.me.Admin {
				c.Post, c.Button, c.Sure = "/accelerators/"+url.PathEscape(d.ID)+"/unfence", "accel.unfence", "accel.unfence_sure"
			}
		case d.Health == api.DeviceBusy:
			c.Tone, c.Text = "warning", "home.device_busy"
		case d.Temperature >= hotDevice:
			c.Tone, c.Text, c.Icon = "warning", "home.device_hot", "temperature"
			c.Args = append(c.Args, int(d.Temperature))
		default:
			continue
		}
		out = append(out, c)
	}
	return shortened(out, "devices", "/accelerators")
}

// ofBox are the doctor's findings, but for those that are told of from elsewhere.
func (f facts) ofBox() []Concern {
	var out []Concern
	for _, check := range f.doctor.Checks {
		if check.Name == "services" || strings.HasPrefix(check.Name, "device ") || check.Status == api.CheckOK {
			continue
		}
		c := Concern{ID: "check-" + check.Name, Tone: "warning", Icon: "settings", Text: "home.check", Args: []any{check.Name}, Detail: check.Detail, Hint: check.Hint, Path: "/settings", See: "home.show"}
		if check.Status == api.CheckFailed {
			c.Tone = "danger"
		}
		if check.Name == "disk" {
			c.Text, c.Icon, c.Path = "home.disk", "database", "/models"
		}
		out = append(out, c)
	}
	return out
}

func (f facts) ofWaiting() []Concern {
	var out []Concern
	for _, w := range f.glance.Sessions.Waiting {
		if f.now.Sub(w.Since) < waitsLong || len(w.Waits) > 0 && w.Waits[0].Predicate == "starts-at" {
			continue // who asked for a later start knows that it waits
		}
		c := Concern{
			ID: "session-" + w.Session, Tone: "warning", Icon: "clock", Text: "home.waits", Args: []any{w.Name},
			Path: f.page(w.Project, "/sessions/"+url.PathEscape(w.Session)), See: "home.show",
		}
		if len(w.Waits) > 0 {
			c.Detail, c.Hint = w.Waits[0].Sentence, w.Waits[0].Would
		}
		if w.ServiceName != "" {
			c.Path = f.page(w.Project, "/services/"+url.PathEscape(w.ServiceName))
		}
		out = append(out, c)
	}
	return shortened(out, "waiting", "/accelerators#queue")
}

func (f facts) ofTokens() []Concern {
	var out []Concern
	for _, t := range f.glance.Expiring {
		c := Concern{ID: "token-" + t.ID, Tone: "warning", Icon: "key", Text: "home.token_ends", Args: []any{t.Name}, Path: f.page(t.Project, "/tokens"), See: "home.renew"}
		if !t.ExpiresAt.After(f.now) {
			c.Text = "home.token_ended"
		}
		out = append(out, c)
	}
	return shortened(out, "tokens", "/tokens")
}

// ofKeys are the viewer's own API keys: those of others are theirs to renew.
func (f facts) ofKeys() []Concern {
	var out []Concern
	for _, k := range f.keys {
		if k.ExpiresAt == nil || k.Owner != f.me.Name || k.ExpiresAt.After(f.now.Add(endsSoon)) {
			continue
		}
		c := Concern{ID: "key-" + k.ID, Tone: "warning", Icon: "key", Text: "home.key_ends", Args: []any{k.Name}, Path: "/tokens", See: "home.renew"}
		if !k.ExpiresAt.After(f.now) {
			c.Text = "home.key_ended"
		}
		out = append(out, c)
	}
	return shortened(out, "keys", "/tokens")
}
