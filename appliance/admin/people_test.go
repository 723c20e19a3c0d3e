package admin_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestPeople(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"data"}`, 201, nil)
	var made api.SessionsCreated
	b.do("POST", "/sessions", `{"image":"host","name":"desk","mounts":[{"folder":"data","read_only":true}],"preopen_ports":[8000],"priority":20,"preemptible":true}`, 201, &made)
	desk := made.Items[0]
	if desk.Type != "interactive" || desk.CreatedBy != "me" || desk.Project != "default" || desk.Priority != 20 || !desk.Preemptible ||
		len(desk.Mounts) != 1 || desk.Mounts[0].Target != "/home/work/data" || !desk.Mounts[0].ReadOnly || desk.Mounts[0].Folder == "" || desk.PreopenPorts[0] != 8000 {
		t.Errorf("%+v", desk)
	}
	var s api.Session
	b.do("PATCH", "/sessions/desk", `{"name":"workbench","priority":70}`, 200, &s)
	if s.Name != "workbench" || s.Priority != 70 || s.ID != desk.ID {
		t.Errorf("%+v", s)
	}
	b.do("POST", "/sessions/workbench/restart", "", 204, nil)
	b.do("GET", "/sessions/workbench", "", 200, &s)
	if s.Restarts != 1 {
		t.Errorf("%+v", s)
	}

	b.do("POST", "/sessions", `{"image":"host","startup_command":"hang","timeout":1.5,"retries":2}`, 201, &made)
	if job := made.Items[0]; job.Type != "batch" || job.Timeout != 1.5 || job.Retries != 2 || job.Outcome != "task-timeout" || job.Result != "failure" || job.Exit.Code != -2 {
		t.Errorf("%+v", job)
	}
	b.do("POST", "/sessions", `{"image":"host","name":"sweep","startup_command":"true","array":"0-2"}`, 201, &made)
	if len(made.Items) != 3 || made.Items[0].ArrayIndex == nil || *made.Items[0].ArrayIndex != 0 || made.Items[2].Name != "sweep-2" || made.Items[0].ArrayID == "" {
		t.Errorf("%+v", made)
	}

	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	var routes api.Page[api.Session]
	b.do("GET", "/sessions?service=demo", "", 200, &routes)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind                     string
		words                    []string
	}{
		{"name taken", "POST", "/sessions", `{"image":"host","name":"workbench"}`, 409, api.KindExists, []string{"workbench"}},
		{"all at once", "POST", "/sessions", `{"image":"","type":"batch","depends_on":["nobody"],"mounts":[{"folder":"nothing"}],"environ":{"A B":"x"}}`, 400, api.KindInvalid,
			[]string{"image", "startup_command", "non-empty startup command", "depends_on", "mounts[0].folder", "environ.A B"}},
		{"unknown field", "POST", "/sessions", `{"image":"host","comand":"x"}`, 400, api.KindInvalid, []string{"comand"}},
		{"negative timeout", "POST", "/sessions", `{"image":"host","startup_command":"x","timeout":-1}`, 400, api.KindInvalid, []string{"timeout"}},
		{"tiny timeout", "POST", "/sessions", `{"image":"host","startup_command":"x","timeout":1e-9}`, 400, api.KindInvalid, []string{"timeout"}},
		{"two projects", "POST", "/sessions?project=red", `{"image":"host","project":"blue"}`, 400, api.KindInvalid, []string{"red", "blue"}},
		{"a route", "PATCH", "/sessions/" + routes.Items[0].ID, `{"priority":1}`, 409, api.KindState, []string{"route of a service"}},
		{"restart a route", "POST", "/sessions/" + routes.Items[0].ID + "/restart", "", 409, api.KindState, []string{"route of a service"}},
		{"restart what has ended", "POST", "/sessions/sweep-1/restart", "", 409, api.KindState, []string{"has ended"}},
		{"bad name", "PATCH", "/sessions/workbench", `{"name":"a/b"}`, 400, api.KindInvalid, []string{"a/b"}},
		{"unknown", "PATCH", "/sessions/nobody", `{"name":"ab"}`, 404, api.KindNotFound, []string{"nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := b.serve(b.request(c.method, c.path, c.body))
			p := problem(t, w)
			if w.Code != c.status || p.Kind() != c.kind {
				t.Errorf("%d %s: %s", w.Code, p.Kind(), w.Body)
			}
			for _, word := range c.words {
				if text := p.Error() + " " + p.Hint; !strings.Contains(text, word) {
					t.Errorf("%q lacks %q", text, word)
				}
			}
		})
	}
}
