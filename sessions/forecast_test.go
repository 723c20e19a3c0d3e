package sessions_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

func TestFilter(t *testing.T) {
	all := []sessions.Session{
		{ID: "ses-a", Name: "Desk", Type: sessions.TypeInteractive, CreatedBy: "ada", Image: "palisade/base", Status: sessions.StatusRunning},
		{ID: "ses-b", Name: "train", Type: sessions.TypeBatch, CreatedBy: "bob", Image: "host", Status: sessions.StatusTerminated},
		{ID: "ses-c", Name: "train-sub1", Type: sessions.TypeBatch, CreatedBy: "bob", Image: "host", Status: sessions.StatusRunning, Task: sessions.Task{Cluster: &sessions.Cluster{ID: "ses-b", Role: sessions.RoleSub, Rank: 1}}},
		{ID: "ses-d", Name: "route", Type: sessions.TypeInference, ServiceID: "svc", Image: "vllm", Status: sessions.StatusError},
	}
	for name, c := range map[string]struct {
		f    sessions.SessionFilter
		want string
	}{
		"all": {want: "ses-a ses-b ses-c ses-d "}, "live": {sessions.SessionFilter{Live: true}, "ses-a ses-c ses-d "},
		"types":   {sessions.SessionFilter{Types: []sessions.Type{sessions.TypeInteractive, sessions.TypeInference}}, "ses-a ses-d "},
		"owner":   {sessions.SessionFilter{Owner: "bob"}, "ses-b ses-c "},
		"no subs": {sessions.SessionFilter{Owner: "bob", NoSubs: true}, "ses-b "},
		"name":    {sessions.SessionFilter{Search: "dESK"}, "ses-a "}, "id": {sessions.SessionFilter{Search: "ses-b"}, "ses-b "}, "image": {sessions.SessionFilter{Search: "VLLM"}, "ses-d "},
		"service": {sessions.SessionFilter{Service: "svc"}, "ses-d "}, "none": {sessions.SessionFilter{Search: "x y"}, ""},
		"status": {sessions.SessionFilter{Status: []sessions.Status{sessions.StatusError, sessions.StatusTerminated}}, "ses-b ses-d "},
	} {
		got := ""
		for i := range all {
			if c.f.Chooses(&all[i]) {
				got += all[i].ID + " "
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestForesee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		f, problems := w.m.Foresee(t.Context(), job("soon"))
		if problems.Err() != nil || f.Node == "" || len(f.Waits) > 0 {
			t.Errorf("%+v %v", f, problems)
		}
		f, problems = w.m.Foresee(t.Context(), job("later", func(r *sessions.SessionRequest) { r.StartsAt = time.Now().Add(time.Hour) }))
		if problems.Err() != nil || f.Node != "" || len(f.Waits) != 1 || f.Waits[0].Predicate != sessions.PredicateStartsAt {
			t.Errorf("%+v %v", f, problems)
		}
		if _, problems = w.m.Foresee(t.Context(), job("-")); problems.Err() == nil {
			t.Error("what cannot be made is foreseen")
		}
		if n := len(w.m.Sessions("default", sessions.SessionFilter{})); n != 0 {
			t.Errorf("%d sessions were made", n)
		}
	})
}

func TestEndsAreMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		desk := w.create(job("desk", func(r *sessions.SessionRequest) {
			r.Type, r.Task = sessions.TypeInteractive, sessions.Task{IdleTimeout: time.Hour}
		}))
		s, err := w.m.UpdateSession(t.Context(), "default", "desk", sessions.SessionUpdate{IdleTimeout: new(3 * time.Hour), MaxLifetime: new(24 * time.Hour)})
		if err != nil || s.Task.IdleTimeout != 3*time.Hour || s.Task.MaxLifetime != 24*time.Hour || s.Name != "desk" {
			t.Errorf("%+v %v", s.Task, err)
		}
		w.create(job("batch"))
		for name, err := range map[string]error{
			"too short": ended(w.m.UpdateSession(t.Context(), "default", "desk", sessions.SessionUpdate{IdleTimeout: new(time.Millisecond)})),
			"negative":  ended(w.m.UpdateSession(t.Context(), "default", "desk", sessions.SessionUpdate{MaxLifetime: new(-time.Hour)})),
			"batch":     ended(w.m.UpdateSession(t.Context(), "default", "batch", sessions.SessionUpdate{IdleTimeout: new(time.Hour)})),
		} {
			if !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.store.failFrom(1)
		if ended(w.m.UpdateSession(t.Context(), "default", "desk", sessions.SessionUpdate{IdleTimeout: new(9 * time.Hour)})) == nil {
			t.Error("written to a store that is away")
		}
		w.store.failFrom(0)
		if s, _ := w.m.Session("default", desk.ID); s.Task.IdleTimeout != 3*time.Hour {
			t.Errorf("kept though it was not written: %s", s.Task.IdleTimeout)
		}
	})
}

func ended(_ sessions.Session, err error) error { return err }

func TestForeseeService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		req := sessions.ServiceRequest{Name: "soon", Project: "default", CreatedBy: "ada", Replicas: 2, Recipe: sessions.Recipe{Image: "host", Variant: "vllm", Folder: "model"}}
		f, err := w.m.ForeseeService(t.Context(), req)
		if err != nil || f.Placed != 2 || len(f.Nodes) != 1 || len(f.Waits) > 0 {
			t.Errorf("%+v %v", f, err)
		}
		req.Recipe.Resources = map[string]string{"cuda.device": "4000"}
		if _, err := w.m.ForeseeService(t.Context(), req); err == nil {
			t.Error("what cannot be made is foreseen")
		}
		req.Recipe.Resources, req.Name = nil, "-"
		if _, err := w.m.ForeseeService(t.Context(), req); err == nil {
			t.Error("a bad name is foreseen")
		}
		if n := len(w.m.Services("default")); n != 0 {
			t.Errorf("%d services were made", n)
		}
	})
}
