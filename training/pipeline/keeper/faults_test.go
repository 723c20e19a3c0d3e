package keeper_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// TestServeIsChecked: what is wrong with a service is told before a task has trained for it all night.
func TestServeIsChecked(t *testing.T) {
	w := newWorld(t)
	k, stop := w.live(t)
	defer stop()
	const text = "version: 1\nname: sv\ntasks:\n  - {name: a, image: host, command: x}\n  - name: b\n    depends_on: [a]\n    serve: {service: s, image: host, runtime_variant: vlm}\n"
	_, err := k.RunNow(t.Context(), keeper.RunRequest{Project: "default", Source: text, File: "f.yaml", By: "ada"})
	for _, words := range []string{"7:22: tasks[1].serve.service: is too short", "7:55: tasks[1].serve.runtime_variant: there is no vlm"} {
		if err == nil || !strings.Contains(err.Error(), words) || !errors.Is(err, pipeline.ErrInvalid) {
			t.Errorf("nothing says %q: %v", words, err)
		}
	}
}

// TestWrittenAllTheSame: a job whose owner was told that it is not there does not run with the next daemon, and its number stands
// in nobody's way.
func TestWrittenAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		w.lost = errors.New("the connection broke off")
		if _, err := k.RunNow(t.Context(), keeper.RunRequest{Project: "default", Source: two, By: "ada"}); err == nil || len(w.jobs) != 1 {
			t.Errorf("%v, %d jobs", err, len(w.jobs))
		}
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.lost = nil
		w.mu.Unlock()
		if j := run(t, k, two); j.Name() != "two.2" {
			t.Errorf("%s has the number of one that may be there", j.Name())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(w.jobs) != 1 {
			t.Errorf("%d jobs are written down", len(w.jobs))
		}
	})
}

// TestSomebodysFolder: what lies in a folder that only has the name of a pipeline's is neither written to, swept nor removed.
func TestSomebodysFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		own, err := w.folders.Create(t.Context(), folders.Spec{Name: "pipeline-two", Project: "default", Usage: folders.UsageData, CreatedBy: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		precious := filepath.Join(own.Path, "1", "a.1")
		if err := os.MkdirAll(precious, 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, k, two)
		if got := stands(t, k, "two"); got != "FAILED a=FAILED b=SKIPPED" {
			t.Error(got)
		}
		if j, err := k.Job("default", "two"); err != nil || !strings.Contains(j.Reason, "somebody's own") {
			t.Errorf("%s %v", j.Reason, err)
		}
		if err := k.RemovePipeline(t.Context(), "default", "two"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(precious); err != nil {
			t.Error(err)
		}
	})
}

// TestFolderInUse: a pipeline whose folder cannot go stays whole, and is removed when it can.
func TestFolderInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		run(t, k, two)
		stands(t, k, "two")
		w.end("ses-1", sessions.ResultFailure, "exit code 1")
		stands(t, k, "two")
		folder, err := w.folders.Find(t.Context(), "default", "pipeline-two")
		if err != nil {
			t.Fatal(err)
		}
		user := &sessions.ServiceView{}
		user.Recipe.Folder = folder.ID
		w.mu.Lock()
		w.services["user"] = user
		w.mu.Unlock()
		if err := k.RemovePipeline(t.Context(), "default", "two"); !errors.Is(err, folders.ErrInUse) || len(k.Jobs("default", "two")) != 1 {
			t.Errorf("%v, %d jobs", err, len(k.Jobs("default", "two")))
		}
		w.mu.Lock()
		delete(w.services, "user")
		w.mu.Unlock()
		if err := k.RemovePipeline(t.Context(), "default", "two"); err != nil || len(k.Jobs("default", "two")) != 0 {
			t.Errorf("%v, %d jobs", err, len(k.Jobs("default", "two")))
		}
	})
}

// TestImageChanges: another image of the same name is another task, and one that is still to be pulled may be any.
func TestImageChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k, stop := w.live(t)
		defer stop()
		for i, c := range []struct{ digest, want string }{
			{"", "SUCCEEDED"}, {"", "SUCCEEDED"}, {"sha256:1", "SUCCEEDED"}, {"sha256:1", "CACHED"}, {"sha256:2", "SUCCEEDED"}, {"", "SUCCEEDED"}, {"sha256:1", "CACHED"},
		} {
			w.mu.Lock()
			w.digests["img"] = c.digest
			w.mu.Unlock()
			run(t, k, "version: 1\nname: im\ntasks: [{name: a, image: img, command: x}]\n")
			stands(t, k, "im")
			for _, s := range w.Sessions("", sessions.SessionFilter{Live: true}) {
				w.end(s.ID, sessions.ResultSuccess, "done")
			}
			if got := stands(t, k, "im"); got != "SUCCEEDED a="+c.want {
				t.Errorf("run %d with %q: %s", i+1, c.digest, got)
			}
		}
	})
}
