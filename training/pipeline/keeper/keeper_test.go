package keeper_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// world is all that a keeper has to do with, in memory. It outlives keepers, as a box outlives daemons.
type world struct {
	mu       sync.Mutex
	kept     map[string]keeper.Kept
	jobs     map[string]pipeline.Job
	down     error // what the store answers
	lost     error // what it answers though it has written a job down
	sessions []sessions.Session
	changed  chan struct{}
	services map[string]*sessions.ServiceView
	wishes   []training.Wish
	told     []map[string]any
	answer   string // of engines and webhooks
	refuse   error  // what the desk answers
	digests  map[string]string
	folders  *folders.Keeper
}

func newWorld(t *testing.T) *world {
	w := &world{kept: map[string]keeper.Kept{}, jobs: map[string]pipeline.Job{}, changed: make(chan struct{}), services: map[string]*sessions.ServiceView{}, answer: "fine", digests: map[string]string{"host": "host"}}
	w.folders = folders.New(&rows{}, filepath.Join(t.TempDir(), "folders"), func(id string) (string, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.services {
			if s.Recipe.Folder == id {
				return "service", true
			}
		}
		return "", false
	})
	return w
}

func (w *world) Pipelines(context.Context) (out []keeper.Kept, err error) {
	for _, k := range w.kept {
		out = append(out, k)
	}
	return out, w.down
}

func (w *world) SavePipeline(_ context.Context, k keeper.Kept) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down == nil {
		w.kept[k.Name] = k
	}
	return w.down
}

func (w *world) DeletePipeline(_ context.Context, _, name string) error {
	delete(w.kept, name)
	return w.down
}

func (w *world) Jobs(context.Context) (out []pipeline.Job, err error) {
	for _, j := range w.jobs {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b pipeline.Job) int { return a.Number - b.Number })
	return out, nil
}

func (w *world) AddJob(ctx context.Context, j pipeline.Job, k keeper.Kept) error {
	err := w.SavePipeline(ctx, k)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.jobs[j.ID] = j
		err = w.lost
	}
	return err
}

func (w *world) SaveJob(_ context.Context, id string, s pipeline.State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return w.down
	}
	j := w.jobs[id]
	raw, err := json.Marshal(s) // as a store would
	j.State = pipeline.State{}
	w.jobs[id] = j
	if err == nil {
		err = json.Unmarshal(raw, &j.State)
	}
	w.jobs[id] = j
	return err
}

func (w *world) DeleteJob(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return w.lost
	}
	delete(w.jobs, id)
	return w.down
}

func (w *world) CheckRecipe(name string, _ *int, r sessions.Recipe) (ps catalog.Problems) {
	if r.Variant != "custom" {
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: "runtime_variant", Message: "there is no " + r.Variant})
	}
	if len(name) < 2 {
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: "name", Message: "is too short"})
	}
	return ps
}

func (w *world) Check(context.Context, training.Wish) catalog.Problems { return nil }

func (w *world) Create(_ context.Context, wish training.Wish) ([]sessions.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return nil, w.refuse
	}
	w.wishes = append(w.wishes, wish)
	s := sessions.Session{
		ID: fmt.Sprintf("ses-%d", len(w.wishes)), Name: wish.Name, Project: wish.Project, Type: sessions.TypeBatch, Status: sessions.StatusRunning,
		CreatedAt: time.Now(), Task: sessions.Task{Origin: wish.Origin},
	}
	w.sessions = append(w.sessions, s)
	return []sessions.Session{s}, nil
}

func (w *world) Sessions(_ string, f sessions.SessionFilter) (out []sessions.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range slices.Backward(w.sessions) {
		if !f.Live || s.Alive() {
			out = append(out, s)
		}
	}
	return out
}

func (w *world) TerminateSession(_ context.Context, _, id, by string, _ bool) error {
	w.end(id, sessions.ResultUndefined, "ended by "+by)
	return nil
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// end ends a session.
func (w *world) end(id string, result sessions.Result, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.sessions, func(s sessions.Session) bool { return s.ID == id })
	w.sessions[i].Status, w.sessions[i].Result, w.sessions[i].Reason = sessions.StatusTerminated, result, why
	w.sessions[i].Exit = &sessions.Exit{Message: why}
	close(w.changed)
	w.changed = make(chan struct{})
}

// Service implements keeper.Services: a revision is healthy as soon as it is wanted.
func (w *world) Service(_, ref string) (sessions.ServiceView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.services {
		if s.Name == ref || s.ID == ref {
			return *s, nil
		}
	}
	return sessions.ServiceView{}, fmt.Errorf("service %s %w", ref, sessions.ErrNotFound)
}

func (w *world) set(s *sessions.ServiceView, revision int, r sessions.Recipe) sessions.ServiceView {
	s.Revision, s.GoodRevision, s.Recipe, s.Status, s.Lifecycle = revision, revision, r, sessions.ServiceHealthy, sessions.LifecycleActive
	s.Routes = []sessions.RouteView{{ID: fmt.Sprintf("%s-%d", s.Name, revision), Revision: revision, Status: sessions.RouteHealthy, Address: "engine:80"}}
	return *s
}

func (w *world) CreateService(_ context.Context, req sessions.ServiceRequest) (sessions.ServiceView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &sessions.ServiceView{Service: sessions.Service{ID: "svc-" + req.Name, Name: req.Name, Replicas: req.Replicas}}
	w.services[req.Name] = s
	return w.set(s, 1, req.Recipe), nil
}

func (w *world) UpdateService(_ context.Context, _, ref string, up sessions.ServiceUpdate) (sessions.ServiceView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.set(w.services[ref], w.services[ref].Revision+1, *up.Recipe), nil
}

func (w *world) RollBack(_ context.Context, _, ref string, number int, _ string) (sessions.ServiceView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.set(w.services[strings.TrimPrefix(ref, "svc-")], number, sessions.Recipe{Folder: "as it was"}), nil
}

func (w *world) DestroyService(_ context.Context, _, ref, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.services, strings.TrimPrefix(ref, "svc-"))
	return nil
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	status := http.StatusOK
	if r.URL.Host == "hook" {
		var message map[string]any
		_ = json.Unmarshal(raw, &message)
		if w.told = append(w.told, message); len(w.told) == 1 {
			status = http.StatusBadGateway
		}
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(strings.NewReader(w.answer)), Request: r}, nil
}

// rows keeps folders.
type rows struct {
	mu  sync.Mutex
	all []folders.Folder
}

func (r *rows) Folders(context.Context) ([]folders.Folder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all), nil
}

func (r *rows) SaveFolder(_ context.Context, f folders.Folder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.all, func(other folders.Folder) bool { return other.Name == f.Name && other.Project == f.Project }) {
		return folders.ErrExists
	}
	r.all = append(r.all, f)
	return nil
}

func (r *rows) UpdateFolder(_ context.Context, f folders.Folder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all {
		if r.all[i].ID == f.ID {
			r.all[i] = f
			return nil
		}
	}
	return folders.ErrNotFound
}

func (r *rows) Grants(context.Context) ([]folders.Grant, error) { return nil, nil }

func (r *rows) SaveGrant(context.Context, folders.Grant) error {
	return errors.New("nothing is shared here")
}

func (r *rows) DeleteGrant(context.Context, string, string, string) error { return folders.ErrNotFound }

func (r *rows) DeleteFolder(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(f folders.Folder) bool { return f.ID == id })
	return nil
}

// live runs a keeper; stop ends it as a daemon that is stopped, or killed.
func (w *world) live(t *testing.T) (k *keeper.Keeper, stop func()) {
	t.Helper()
	client := &http.Client{Transport: w}
	k, err := keeper.New(t.Context(), keeper.Around{
		Store: w, Desk: w, Sessions: w, Services: w, Folders: w.folders, Digest: func(_ context.Context, ref string) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.digests[ref]
		},
		LookupEnv: func(name string) (string, bool) { return "http://hook/secret", name == "PALISADE_WEBHOOK_A" },
		Client:    client, Trusted: client, Direct: client, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	return k, sync.OnceFunc(func() { cancel(); <-ended })
}

func run(t *testing.T, k *keeper.Keeper, source string) pipeline.Job {
	t.Helper()
	j, err := k.RunNow(t.Context(), keeper.RunRequest{Project: "default", Source: source, By: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// stands is how a job stands, a while later.
func stands(t *testing.T, k *keeper.Keeper, ref string) string {
	t.Helper()
	time.Sleep(3 * time.Second) // of the bubble's own clock
	synctest.Wait()
	j, err := k.Job("default", ref)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{string(j.Status)}
	for _, p := range j.Steps {
		words = append(words, p.Key+"="+string(p.Status))
	}
	return strings.Join(words, " ")
}

const two = "version: 1\nname: two\ndefaults: {image: host}\ntasks: [{name: a, command: x}, {name: b, command: y, depends_on: [a]}]\n"

// TestAcrossDaemons: each daemon does one thing and dies; no session is made twice, and the end is right.
func TestAcrossDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		run(t, k, two)
		if got := stands(t, k, "two"); got != "RUNNING a=RUNNING b=WAITING" {
			t.Error(got)
		}
		stop()
		// What a daemon that died between making a session and writing it down has left.
		for id, j := range w.jobs {
			j.Steps = slices.Clone(j.Steps)
			j.Steps[0].Session = ""
			w.jobs[id] = j
		}
		k, stop = w.live(t)
		if got := stands(t, k, "two"); got != "RUNNING a=RUNNING b=WAITING" || len(w.wishes) != 1 {
			t.Errorf("%s, %d sessions", got, len(w.wishes))
		}
		stop()
		w.end("ses-1", sessions.ResultSuccess, "done") // nobody watches
		k, stop = w.live(t)
		if got := stands(t, k, "two"); got != "RUNNING a=SUCCEEDED b=RUNNING" || len(w.wishes) != 2 {
			t.Errorf("%s, %d sessions", got, len(w.wishes))
		}
		second := w.wishes[1]
		if m := second.Mounts; len(m) != 2 || m[0].Sub != "1/b.1" || m[0].Target != "/pipeline/outputs" || m[1].Sub != "1/a.1" || m[1].Target != "/pipeline/input1" || !m[1].ReadOnly {
			t.Errorf("%+v", m)
		}
		if second.Name != "two-1-b" || second.CreatedBy != "ada" || second.Env["PALISADE_PIPELINE_TASK"] != "b" || !strings.HasPrefix(second.Env["BACKENDAI_PIPELINE_JOB_ID"], "job-") {
			t.Errorf("%+v", second)
		}
		w.end("ses-2", sessions.ResultFailure, "exit code 3")
		if got := stands(t, k, "two.1"); got != "FAILED a=SUCCEEDED b=FAILED" {
			t.Error(got)
		}
		if _, err := k.Resume(t.Context(), "default", "two", "bob"); err != nil {
			t.Error(err)
		}
		stands(t, k, "two")
		if len(w.wishes) != 3 || w.wishes[2].Mounts[0].Sub != "1/b.2" {
			t.Errorf("%+v", w.wishes)
		}
		w.end("ses-3", sessions.ResultSuccess, "done")
		if got := stands(t, k, "two"); got != "SUCCEEDED a=SUCCEEDED b=SUCCEEDED" {
			t.Error(got)
		}
		run(t, k, two)
		if got := stands(t, k, "two.2"); got != "SUCCEEDED a=CACHED b=CACHED" || len(w.wishes) != 3 {
			t.Errorf("%s, %d sessions", got, len(w.wishes))
		}
		stop()
	})
}

// TestStoreDown: what cannot be written down is not done, and is done when it can.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		run(t, k, two)
		stands(t, k, "two")
		w.mu.Lock()
		w.down = errors.New("disk full")
		w.mu.Unlock()
		w.end("ses-1", sessions.ResultSuccess, "done")
		if got := stands(t, k, "two"); got != "RUNNING a=RUNNING b=WAITING" || len(w.wishes) != 1 {
			t.Errorf("%s, %d sessions", got, len(w.wishes))
		}
		if _, err := k.RunNow(t.Context(), keeper.RunRequest{Project: "default", Source: two, By: "ada"}); err == nil {
			t.Error("a job that is not written down was taken")
		}
		w.mu.Lock()
		w.down = nil
		w.mu.Unlock()
		if got := stands(t, k, "two"); got != "RUNNING a=SUCCEEDED b=RUNNING" || len(w.wishes) != 2 {
			t.Errorf("%s, %d sessions", got, len(w.wishes))
		}
	})
}

// TestRefused: what will be refused again has failed; what may pass is tried again.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		w.refuse = fmt.Errorf("%w: no such image", sessions.ErrInvalid)
		run(t, k, two)
		if got := stands(t, k, "two"); got != "FAILED a=FAILED b=SKIPPED" {
			t.Error(got)
		}
		w.refuse = sessions.ErrUnavailable
		run(t, k, two)
		if got := stands(t, k, "two"); got != "RUNNING a=RUNNING b=WAITING" || len(w.wishes) != 0 {
			t.Error(got)
		}
		w.mu.Lock()
		w.refuse = nil
		w.mu.Unlock()
		stands(t, k, "two")
		if stands(t, k, "two"); len(w.wishes) != 1 {
			t.Errorf("%d sessions", len(w.wishes))
		}
		if _, err := k.Cancel(t.Context(), "default", "two", "bob"); err != nil {
			t.Error(err)
		}
		if got := stands(t, k, "two"); got != "CANCELLED a=CANCELLED b=CANCELLED" {
			t.Error(got)
		}
	})
}

// TestSchedule: a run for each moment, one for all that were missed, none while the one before runs.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		const nightly = "version: 1\nname: nightly\ntasks: [{name: a, image: host, command: x, cache: false}]\nschedule: {cron: \"0 3 * * *\"}\n"
		if _, err := k.Apply(t.Context(), "default", "ada", "f", nightly); err != nil {
			t.Fatal(err)
		}
		count := func() int { return len(k.Jobs("default", "nightly")) }
		if stands0 := count(); stands0 != 0 {
			t.Errorf("%d at once", stands0)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if count() != 1 || k.Jobs("default", "")[0].CreatedBy != "ada" || k.Jobs("default", "")[0].DueAt.IsZero() {
			t.Fatalf("%d after a day", count())
		}
		time.Sleep(24 * time.Hour) // the first still runs
		synctest.Wait()
		if count() != 1 {
			t.Errorf("%d while the first runs", count())
		}
		w.end("ses-1", sessions.ResultSuccess, "done")
		stop()
		time.Sleep(10 * 24 * time.Hour)
		k, stop = w.live(t)
		defer stop()
		stands(t, k, "nightly")
		if count() != 2 {
			t.Errorf("%d after ten days", count())
		}
		if err := k.RemovePipeline(t.Context(), "default", "nightly"); !errors.Is(err, pipeline.ErrState) {
			t.Errorf("one that runs was removed: %v", err)
		}
	})
}

const served = `
version: 1
name: served
tasks:
  - {name: a, image: host, command: x}
  - name: b
    depends_on: [a]
    serve: {service: chat, image: host, wait: 60, smoke_test: {path: /ask, expect: {contains: [fine]}, tries: 2}}
notifications: [{url_env: PALISADE_WEBHOOK_A}]
`

// TestServe: a revision that passes stays, one that fails goes back; whoever is to be told is, though the first try fails.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		run(t, k, served)
		stands(t, k, "served")
		folder, err := w.folders.Find(t.Context(), "default", "pipeline-served")
		if err != nil {
			t.Fatal(err)
		}
		root, err := folder.OpenRoot()
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for name, to := range map[string]string{"1/a.1/model": "", "1/a.1/link": "model"} {
			if to != "" {
				err = root.Symlink(to, name)
			} else {
				err = root.WriteFile(name, []byte("weights"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.end("ses-1", sessions.ResultSuccess, "done")
		if got := stands(t, k, "served"); got != "SUCCEEDED a=SUCCEEDED b=SUCCEEDED" {
			j, _ := k.Job("default", "served")
			t.Fatal(got, j.Reason)
		}
		model, err := w.folders.Find(t.Context(), "default", w.services["chat"].Recipe.Folder)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := model.OpenRoot()
		if err != nil {
			t.Fatal(err)
		}
		defer copied.Close()
		for _, name := range []string{"model", "link"} {
			if text, err := copied.ReadFile(name); err != nil || string(text) != "weights" {
				t.Errorf("%s: %q %v", name, text, err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(w.told) != 2 || w.told[1]["event"] != "success" {
			t.Errorf("%+v", w.told)
		}

		w.mu.Lock()
		w.answer = "broken"
		w.mu.Unlock()
		run(t, k, served)
		stands(t, k, "served")
		if got := stands(t, k, "served"); got != "FAILED a=CACHED b=FAILED" || w.services["chat"].Revision != 1 {
			t.Errorf("%s, revision %d", got, w.services["chat"].Revision)
		}
		j, err := k.Job("default", "served")
		if err != nil || !strings.Contains(j.Reason, `does not hold "fine": broken`) || !strings.Contains(j.Reason, "went back to revision 1") {
			t.Errorf("%s %v", j.Reason, err)
		}
		// A link that leads out, and a pipe, are not served.
		for attempt, bad := range []func() error{
			func() error { return root.Symlink("/etc/passwd", "1/a.1/out") },
			func() error { return root.Symlink("../../..", "1/a.1/out") },
		} {
			if err := bad(); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Resume(t.Context(), "default", "served", "ada"); err != nil {
				t.Fatal(attempt, err)
			}
			if got := stands(t, k, "served"); got != "FAILED a=CACHED b=FAILED" || w.services["chat"].Revision != 1 {
				t.Errorf("%s, revision %d", got, w.services["chat"].Revision)
			}
			if err := root.Remove("1/a.1/out"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestKeepsJobs: the oldest go, with what they left, unless a later one uses it.
func TestKeepsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		const text = "version: 1\nname: many\nkeep_jobs: 2\ntasks: [{name: a, image: host, command: x}, {name: b, image: host, command: y, cache: false}]\n"
		for range 4 {
			run(t, k, text)
			stands(t, k, "many")
			for _, s := range w.Sessions("", sessions.SessionFilter{Live: true}) {
				w.end(s.ID, sessions.ResultSuccess, "done")
			}
			if got := stands(t, k, "many"); !strings.HasPrefix(got, "SUCCEEDED") {
				t.Error(got)
			}
		}
		if jobs := k.Jobs("default", "many"); len(jobs) != 2 || jobs[0].Number != 4 {
			t.Errorf("%d jobs", len(jobs))
		}
		folder, err := w.folders.Find(t.Context(), "default", "pipeline-many")
		if err != nil {
			t.Fatal(err)
		}
		for dir, stays := range map[string]bool{"1/a.1": true, "1/b.1": false, "2": false, "3/b.1": true, "4/b.1": true} {
			matches, err := filepath.Glob(filepath.Join(folder.Path, dir))
			if err != nil || (len(matches) == 1) != stays {
				t.Errorf("%s: %v, and it should be %v", dir, matches, stays)
			}
		}
	})
}

// TestOrphans: a session of a job that does not know it is ended.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.Create(t.Context(), training.Wish{Origin: "pipeline/job-gone/a/1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Create(t.Context(), training.Wish{}); err != nil {
			t.Fatal(err)
		}
		_, stop := w.live(t)
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.sessions[0].Alive() || !w.sessions[1].Alive() {
			t.Errorf("%+v", w.sessions)
		}
	})
}
