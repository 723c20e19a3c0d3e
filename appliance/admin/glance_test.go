package admin

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

func serviceIn(name string, status sessions.ServiceStatus, failures int) sessions.ServiceView {
	v := sessions.ServiceView{Status: status}
	v.ID, v.Name, v.Project, v.Failures = "id-"+name, name, "default", failures
	return v
}

// look is what the API does with all sessions.
func (s *sessionsSeen) look(all []*sessions.Session) {
	for _, v := range all {
		s.add(v)
	}
	for _, v := range all {
		s.tell(v)
	}
}

// TestWhatHappenedLast: in whatever order sessions are looked at, the newest of what happened are told.
func TestWhatHappenedLast(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var all []*sessions.Session
	for i := range 300 {
		v := &sessions.Session{ID: fmt.Sprintf("ses-%03d", i), Type: sessions.TypeBatch, CreatedAt: now.Add(time.Duration(i) * time.Minute), Status: sessions.StatusRunning}
		switch i % 3 {
		case 0:
			v.EndedAt, v.Status, v.Result = v.CreatedAt.Add(30*time.Second), sessions.StatusTerminated, sessions.ResultSuccess
		case 1:
			v.Type = sessions.TypeInference // goes unsaid
		}
		all = append(all, v)
	}
	want := ""
	for round := range 20 {
		rand.New(rand.NewPCG(1, uint64(round))).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var seen sessionsSeen
		seen.look(all)
		got := ""
		for _, h := range (glance{now: now, sessions: seen}).happened() {
			got += h.ID[4:] + h.Kind[len(h.Kind)-1:] + " "
		}
		if want == "" {
			want = got
		}
		if got != want || !strings.HasPrefix(got, "299") || len(strings.Fields(got)) != 20 {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestGlanceIsShortHoweverMuchThereIs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g, all := glance{now: now, figures: map[string]record.ServiceFigures{}}, []*sessions.Session{}
	for i := range 50 {
		v := serviceIn(fmt.Sprintf("s%02d", i), sessions.ServiceDegraded, 0)
		v.CreatedAt = now.Add(-time.Duration(i) * time.Hour)
		g.services = append(g.services, v)
		all = append(all, &sessions.Session{ID: fmt.Sprint("ses-", i), Type: sessions.TypeBatch, CreatedAt: now.Add(-time.Duration(i) * time.Minute), Status: sessions.StatusRunning})
		g.waiting = append(g.waiting, api.Waiting{Position: i + 1})
		g.tokens = append(g.tokens, router.Token{ID: fmt.Sprint(i), ExpiresAt: now.Add(time.Duration(i) * time.Hour)})
		g.installs = append(g.installs, install.View{Install: install.Install{ID: fmt.Sprint(i), Model: fmt.Sprint("m", i), State: install.State{Status: install.Running}, CreatedAt: now}})
	}
	g.services = append(g.services, serviceIn("broken", sessions.ServiceUnhealthy, 0), serviceIn("stuck", sessions.ServiceProvisioning, 3), serviceIn("fine", sessions.ServiceHealthy, 2))
	g.sessions.look(all)
	out := g.glance()
	if len(out.Services.Ailing) != 20 || len(out.Sessions.Waiting) != 20 || len(out.Installs) != 20 || len(out.Expiring) != 20 || len(out.Happened) != 20 {
		t.Errorf("%d %d %d %d %d rows", len(out.Services.Ailing), len(out.Sessions.Waiting), len(out.Installs), len(out.Expiring), len(out.Happened))
	}
	if out.Services.Ailing[0].Name != "broken" || out.Services.Total != 53 || out.Services.States["DEGRADED"] != 50 || out.Sessions.Total != 50 || out.Sessions.WaitingTotal != 50 || out.Sessions.Types["batch"] != 50 {
		t.Errorf("%+v", out)
	}
}

func TestGlanceAiling(t *testing.T) {
	g := glance{services: []sessions.ServiceView{
		serviceIn("fine", sessions.ServiceHealthy, 2), serviceIn("stuck", sessions.ServiceProvisioning, 3), serviceIn("new", sessions.ServiceProvisioning, 0),
		serviceIn("idle", sessions.ServiceIdle, 0), serviceIn("half", sessions.ServiceDegraded, 0), serviceIn("b", sessions.ServiceUnhealthy, 0), serviceIn("a", sessions.ServiceUnhealthy, 0),
	}}
	var got []string
	for _, row := range g.glance().Services.Ailing {
		got = append(got, row.Name)
	}
	if fmt.Sprint(got) != "[a b half stuck]" {
		t.Error(got)
	}
}

func TestGlanceInstallsAndTokens(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one := func(id, model string, status install.Status, ended time.Duration) install.View {
		return install.View{Install: install.Install{ID: id, Model: model, State: install.State{Status: status, EndedAt: now.Add(-ended)}, CreatedAt: now.Add(-ended - time.Minute)}}
	}
	g := glance{now: now, installs: []install.View{ // newest first
		one("1", "again", install.Done, time.Hour), one("2", "again", install.Failed, 2*time.Hour),
		one("3", "failed", install.Failed, 3*time.Hour), one("4", "failed", install.Failed, 4*time.Hour),
		one("5", "given-up", install.Cancelled, 5*time.Hour), one("6", "long-ago", install.Failed, 8*24*time.Hour),
	}}
	g.tokens = []router.Token{
		{ID: "later", ExpiresAt: now.Add(30 * 24 * time.Hour)}, {ID: "soon", ExpiresAt: now.Add(3 * 24 * time.Hour)}, {ID: "over", ExpiresAt: now.Add(-time.Hour)},
		{ID: "revoked", ExpiresAt: now.Add(time.Hour), RevokedAt: now}, {ID: "forgotten", ExpiresAt: now.Add(-30 * 24 * time.Hour)},
	}
	out := g.glance()
	if len(out.Installs) != 1 || out.Installs[0].ID != "3" {
		t.Errorf("%+v", out.Installs)
	}
	if len(out.Expiring) != 2 || out.Expiring[0].ID != "over" || out.Expiring[1].ID != "soon" {
		t.Errorf("%+v", out.Expiring)
	}
	if out.Happened[0].Kind != api.InstallSucceeded || out.Happened[1].Kind != api.InstallBegun {
		t.Errorf("%+v", out.Happened)
	}
}

func TestLastLook(t *testing.T) {
	now, looks := time.Now(), 0
	look := func() []api.Check {
		looks++
		return []api.Check{{}}
	}
	var l lastLook
	for _, c := range []struct{ after, age, want int }{{0, 30, 1}, {10, 30, 1}, {20, 0, 2}, {49, 30, 2}, {50, 30, 3}, {-50, 30, 4}} {
		l.atBox(now.Add(time.Duration(c.after)*time.Second), time.Duration(c.age)*time.Second, look)
		if looks != c.want {
			t.Errorf("after %d s, at most %d s old: %d looks, want %d", c.after, c.age, looks, c.want)
		}
	}
}
