package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/texts"
)

// what is the ids of concerns, in order, with a "+" where there is a button.
func what(all []Concern) string {
	var out []string
	for _, c := range all {
		id := c.ID
		if c.Post != "" {
			id += "+"
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func TestConcerns(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	service := func(id, status string) api.GlanceService {
		return api.GlanceService{ID: id, Name: id, Project: "default", Status: status}
	}
	waits := func(id string, ago time.Duration, predicate string) api.Waiting {
		return api.Waiting{Session: id, Name: id, Since: now.Add(-ago), Waits: []api.Wait{{Predicate: predicate, Sentence: "waits for 2 cuda.device"}}}
	}
	for _, c := range []struct {
		name string
		f    facts
		want string
	}{
		{"nothing", facts{}, ""},
		{"the worst first", facts{
			glance:  api.Glance{Services: api.GlanceServices{Ailing: []api.GlanceService{service("half", "DEGRADED"), service("down", "UNHEALTHY"), service("new", "PROVISIONING")}}},
			devices: []api.Device{{ID: "a", Health: api.DeviceFenced}, {ID: "b", Health: api.DeviceLost}},
		}, "service-down service-new device-b service-half device-a"},
		{"an administrator unfences", facts{me: api.Me{Admin: true}, devices: []api.Device{{ID: "a", Health: api.DeviceFenced}}}, "device-a+"},
		{"devices", facts{devices: []api.Device{{ID: "good", Health: api.DeviceOK, Temperature: 84.9}, {ID: "hot", Health: api.DeviceOK, Temperature: 85}, {ID: "busy", Health: api.DeviceBusy}, {ID: "mute", Health: api.DeviceOK, Temperature: -1}}}, "device-hot device-busy"},
		{"who has to change a password", facts{me: api.Me{MustChange: true, MustTOTP: true}}, "password"},
		{"who has to set up a second factor", facts{me: api.Me{MustTOTP: true}}, "totp"},
		{"installs", facts{role: "member", glance: api.Glance{Installs: []api.GlanceInstall{{ID: "1", Status: "RUNNING"}, {ID: "2", Status: "FAILED"}}}}, "install-2+"},
		{"a viewer tries nothing again", facts{role: "viewer", glance: api.Glance{Installs: []api.GlanceInstall{{ID: "2", Status: "FAILED"}}}}, "install-2"},
		{"checks, but for what is told elsewhere", facts{doctor: api.Doctor{Checks: []api.Check{
			{Name: "runtime", Status: api.CheckOK}, {Name: "database", Status: api.CheckFailed}, {Name: "disk", Status: api.CheckWarning}, {Name: "services", Status: api.CheckWarning}, {Name: "device cuda:0", Status: api.CheckWarning},
		}}}, "check-database check-disk"},
		{"waiting", facts{now: now, glance: api.Glance{Sessions: api.GlanceSessions{Waiting: []api.Waiting{
			waits("short", time.Minute, "resources"), waits("long", time.Hour, "resources"), waits("later", time.Hour, "starts-at"),
		}}}}, "session-long"},
		{"tokens", facts{now: now, glance: api.Glance{Expiring: []api.GlanceToken{{ID: "1", ExpiresAt: now.Add(-time.Hour)}, {ID: "2", ExpiresAt: now.Add(time.Hour)}}}}, "token-1 token-2"},
		{"many of a kind", facts{devices: []api.Device{{ID: "1", Health: api.DeviceLost}, {ID: "2", Health: api.DeviceLost}, {ID: "3", Health: api.DeviceLost}, {ID: "4", Health: api.DeviceLost}, {ID: "5", Health: api.DeviceLost}}},
			"device-1 device-2 device-3 more-devices"},
	} {
		if got := what(concerns(c.f)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What concerns say is there, in every language, with as many holes as they fill.
func TestConcernsAreSaid(t *testing.T) {
	all, err := texts.Load()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var f facts
	f.now, f.role, f.me.Admin = now, "admin", true
	for i := range 5 {
		id := fmt.Sprint(i)
		f.glance.Services.Ailing = append(f.glance.Services.Ailing, api.GlanceService{ID: id, Name: id, Status: []string{"UNHEALTHY", "DEGRADED", "PROVISIONING", "UNHEALTHY", "DEGRADED"}[i]})
		f.glance.Installs = append(f.glance.Installs, api.GlanceInstall{ID: id, Status: "FAILED"})
		f.glance.Expiring = append(f.glance.Expiring, api.GlanceToken{ID: id, ExpiresAt: now.Add(time.Duration(i-2) * time.Hour)})
		f.glance.Sessions.Waiting = append(f.glance.Sessions.Waiting, api.Waiting{Session: id, Since: now.Add(-time.Hour)})
		f.devices = append(f.devices, api.Device{ID: id, Ref: "cuda:0", Name: "H100", Health: []string{"fenced", "busy", "lost", "fenced", "lost"}[i]})
	}
	f.doctor.Checks = []api.Check{{Name: "disk", Status: api.CheckFailed}, {Name: "database", Status: api.CheckFailed}}
	out := concerns(f)
	hot := concerns(facts{devices: []api.Device{{Ref: "cuda:0", Name: "H100", Health: "ok", Temperature: 91}}})
	for _, c := range append(append(out, hot...), concerns(facts{me: api.Me{MustChange: true}})...) {
		for _, language := range all.Languages() {
			for _, key := range []string{c.Text, c.See, c.Button, c.Sure} {
				if key == "" {
					continue
				}
				said, err := all.Say(language, key, c.Args...)
				if err != nil || key == c.Text && strings.Contains(said, "{") {
					t.Errorf("%s %s: %q %v", language, key, said, err)
				}
			}
		}
	}
}

func TestWhatHappened(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := facts{project: "default"}
	all := []api.Happening{
		{At: now, Kind: api.SessionEnded, ID: "ses-1", Name: "night", Project: "red", Result: "failure", Note: "out of memory"},
		{At: now.Add(-time.Minute), Kind: api.ServiceCreated, Name: "chat", Project: "default", By: "ada"},
	}
	out := whatHappened(f, all, nil)
	if len(out) != 2 || out[0].Text != "home.session-failed" || out[0].Path != "/sessions/ses-1?project=red" || out[1].Path != "/services/chat" {
		t.Errorf("%+v", out)
	}
	out = whatHappened(f, all, []api.AuditRecord{{At: now.Add(-time.Minute), Actor: "ada", Action: "createService", Target: "services/chat", Status: 201}, {At: now.Add(-2 * time.Minute), Action: "restart", Status: 409}})
	if len(out) != 3 || out[1].Text != "home.changed" || out[2].Tone != "warning" {
		t.Errorf("%+v", out)
	}
}
