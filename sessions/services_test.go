package sessions_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

const definition = `
models:
  - name: chat
    service:
      start_command: [engine, --port, "{ports[0]}"]
      port: 8000
      health_check: {path: /health, interval: 1, initial_delay: 10}
`

func (w *world) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "model-definition.yaml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func request(change ...func(*sessions.ServiceRequest)) sessions.ServiceRequest {
	r := sessions.ServiceRequest{
		Name: "chat", Project: "default", CreatedBy: "owner", Replicas: 2,
		Recipe: sessions.Recipe{Image: "host", Folder: "model", Variant: "custom", Resources: map[string]string{"cpu": "1", "mem": "1g"}},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestCreateService(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		v, err := w.m.CreateService(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		if v.Status != sessions.ServiceProvisioning || v.Revision != 1 || v.Recipe.MountDestination != "/models" {
			t.Errorf("%+v", v)
		}
		w.after(time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
		spec := w.runtime.Started()[0]
		if got := strings.Join(spec.Processes[0].Argv, " "); got != "engine --port 8000" {
			t.Errorf("it runs %q", got)
		}
		if spec.Limits != (sessions.Limits{MilliCPU: 1000, Memory: 1<<30 + 64<<20, Shm: 64 << 20}) {
			t.Errorf("limits %+v: shm adds to the memory", spec.Limits)
		}
		if m := spec.Mounts[0]; m.Source != w.dir || m.Target != "/models" || !m.ReadOnly {
			t.Errorf("the model folder is mounted as %+v", m)
		}
		if spec.Env["BACKENDAI_SESSION_ID"] != spec.ID || spec.Labels[sessions.LabelService] != v.ID {
			t.Errorf("environment %v, labels %v", spec.Env, spec.Labels)
		}
		if by, used := w.m.FolderUsedBy("model"); !used || by != "service chat" {
			t.Errorf("the folder is used by %q", by)
		}
		if _, err := w.m.CreateService(t.Context(), request()); !errors.Is(err, sessions.ErrExists) {
			t.Errorf("a second one of that name: %v", err)
		}
	})
}

func TestCreateServiceRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(*sessions.ServiceRequest)
		kind   error
		words  string
	}{
		{"name", func(r *sessions.ServiceRequest) { r.Name = "-x" }, sessions.ErrInvalid, `name "-x"`},
		{"replicas", func(r *sessions.ServiceRequest) { r.Replicas = -1 }, sessions.ErrInvalid, "replicas -1"},
		{"too many replicas", func(r *sessions.ServiceRequest) { r.Replicas = 1e9 }, sessions.ErrInvalid, "0 to 1000"},
		{"image", func(r *sessions.ServiceRequest) { r.Recipe.Image = " " }, sessions.ErrInvalid, "no image"},
		{"folder", func(r *sessions.ServiceRequest) { r.Recipe.Folder = "nowhere" }, sessions.ErrNotFound, `folder "nowhere"`},
		{"a directory of a folder", func(r *sessions.ServiceRequest) { r.Recipe.Folder = "model/../.." }, sessions.ErrInvalid, "leaves the folder"},
		{"a directory that is not there", func(r *sessions.ServiceRequest) { r.Recipe.Folder = "model/v2" }, sessions.ErrInvalid, "no directory v2"},
		{"variant", func(r *sessions.ServiceRequest) { r.Recipe.Variant = "vlm" }, sessions.ErrInvalid, "vllm"},
		{"definition path", func(r *sessions.ServiceRequest) { r.Recipe.DefinitionPath = "../secret.yaml" }, sessions.ErrInvalid, "secret.yaml"},
		{"resources", func(r *sessions.ServiceRequest) { r.Recipe.Resources["gpu"] = "1" }, sessions.ErrInvalid, "no such resource"},
		{"accelerators", func(r *sessions.ServiceRequest) { r.Recipe.Resources["cuda.shares"] = "0.5" }, sessions.ErrInvalid, "has none"},
		{"resource options", func(r *sessions.ServiceRequest) { r.Recipe.ResourceOpts = map[string]string{"shm": "1g"} }, sessions.ErrInvalid, "shmem and memory-check are"},
		{"environment", func(r *sessions.ServiceRequest) { r.Recipe.Env = map[string]string{"A=B": "c"} }, sessions.ErrInvalid, "A=B"},
		{"mount", func(r *sessions.ServiceRequest) {
			r.Recipe.Mounts = []sessions.FolderMount{{Folder: "model", Target: "/usr"}}
		}, sessions.ErrInvalid, "/usr"},
		{"policy", func(r *sessions.ServiceRequest) { p := sessions.DefaultPolicy(); p.MaxSurge = 0; r.Policy = &p }, sessions.ErrInvalid, "max_surge"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.write(definition)
				w.boot()
				_, err := w.m.CreateService(t.Context(), request(tt.change))
				if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.words) {
					t.Errorf("%v, want %v with %q", err, tt.kind, tt.words)
				}
				if left := w.m.Services(""); len(left) != 0 {
					t.Errorf("%d services are left", len(left))
				}
			})
		})
	}
}

func TestCreateServiceWithABadDefinitionNamesThePlace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write("models:\n  - name: chat\n    service:\n      port: 70000\n")
		w.boot()
		_, err := w.m.CreateService(t.Context(), request())
		problems, ok := errors.AsType[catalog.Problems](err)
		if !ok || problems[0].Line != 4 || problems[0].Field != "models[0].service.port" {
			t.Errorf("%v", err)
		}
	})
}

func TestCreateServiceTellsWarnings(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition + "    colour: blue\n")
		w.boot()
		v, err := w.m.CreateService(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0].String(), "colour") {
			t.Errorf("%v", v.Warnings)
		}
	})
}

func TestUpdateService(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		created, err := w.m.CreateService(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		same := created.Recipe
		v, err := w.m.UpdateService(t.Context(), "default", "chat", sessions.ServiceUpdate{Recipe: &same, Public: new(true), By: "owner"})
		if err != nil {
			t.Fatal(err)
		}
		if v.Revision != 1 || !v.Public {
			t.Errorf("revision %d, public %v: the same recipe is no new revision", v.Revision, v.Public)
		}
		w.write(strings.Replace(definition, "[engine", "[engine, --fast", 1))
		if v, err = w.m.UpdateService(t.Context(), "default", "chat", sessions.ServiceUpdate{Recipe: &same, Name: new("talk"), By: "owner"}); err != nil {
			t.Fatal(err)
		}
		if v.Revision != 2 || v.Name != "talk" {
			t.Errorf("revision %d, name %s: the definition has changed", v.Revision, v.Name)
		}
		w.after(time.Minute)
		v = w.wantStatus("talk", sessions.ServiceHealthy)
		for _, r := range v.Routes {
			if r.Revision != 2 {
				t.Errorf("a route of revision %d is left", r.Revision)
			}
		}
		events, err := w.m.Events(t.Context(), "default", "talk", 100)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, e := range events {
			if e.Kind == "updated" {
				told = append(told, e.Message)
			}
		}
		slices.Sort(told) // they happened at one time
		if want := []string{"name, recipe: revision 2 rolls out, by owner", "open_to_public, by owner"}; !slices.Equal(told, want) {
			t.Errorf("the events say %q, not %q", told, want)
		}
		revisions, err := w.m.Revisions(t.Context(), "default", "talk")
		if err != nil || len(revisions) != 2 {
			t.Errorf("%d revisions, %v", len(revisions), err)
		}
	})
}

func TestTrafficRatio(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(time.Second)
		up := w.wantUp("chat", 2)
		if err := w.m.SetTrafficRatio(t.Context(), "default", "chat", up[0], 0.25); err != nil {
			t.Fatal(err)
		}
		if got := w.balance.targets("chat")[0]; got.Weight != 0.25 {
			t.Errorf("the weight is %v", got.Weight)
		}
		for _, bad := range []float64{-1, 1e9} {
			if err := w.m.SetTrafficRatio(t.Context(), "default", "chat", up[0], bad); !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("ratio %v: %v", bad, err)
			}
		}
		if err := w.m.SetTrafficRatio(t.Context(), "default", "chat", "ses-none", 1); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("a route that is not there: %v", err)
		}
		w.halt()
		w.boot()
		w.after(time.Second)
		for _, r := range w.balance.targets("chat") {
			if want := map[bool]float64{true: 0.25, false: 1}[r.ID == up[0]]; r.Weight != want {
				t.Errorf("after a restart the weight of %s is %v, want %v", r.ID, r.Weight, want)
			}
		}
	})
}

func TestFolderThatVanishes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		if _, err := w.m.CreateService(t.Context(), request()); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Minute)
		up := w.wantUp("chat", 2)
		if err := os.RemoveAll(w.dir); err != nil {
			t.Fatal(err)
		}
		w.runtime.Exit(up[0], sessions.Exit{Reason: sessions.ExitKilled, Code: 137, Message: "killed"})
		w.after(10 * time.Second)
		v := w.wantStatus("chat", sessions.ServiceDegraded)
		if !strings.Contains(v.Sentence, "is not there any more") {
			t.Errorf("the sentence is %q", v.Sentence)
		}
		if err := os.MkdirAll(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatus("chat", sessions.ServiceHealthy)
	})
}
