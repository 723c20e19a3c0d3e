package training_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
)

// queue takes every request, and remembers it.
type queue struct{ taken []sessions.SessionRequest }

func (q *queue) CheckSession(context.Context, sessions.SessionRequest) catalog.Problems { return nil }
func (q *queue) Foresee(_ context.Context, req sessions.SessionRequest) (sessions.Forecast, catalog.Problems) {
	return sessions.Forecast{Node: req.Name}, nil
}

func (q *queue) CreateSessions(_ context.Context, requests []sessions.SessionRequest) ([]sessions.Session, error) {
	q.taken = append(q.taken, requests...)
	return make([]sessions.Session, len(requests)), nil
}

type twoFolders struct{}

func (twoFolders) Reach(_ context.Context, _ folders.Who, ref string, _ folders.Permission) (folders.Reached, error) {
	if ref != "data" && ref != "full" {
		return folders.Reached{}, folders.ErrNotFound
	}
	return folders.Reached{Folder: folders.Folder{ID: "fld-" + ref, Name: ref}, Permission: folders.Owner}, nil
}

func (twoFolders) OverQuota(_ context.Context, f folders.Folder) (string, error) {
	if f.Name == "full" {
		return "folder full holds 2 GiB, and may hold 1 GiB", nil
	}
	return "", nil
}

func create(t *testing.T, w training.Wish) ([]sessions.SessionRequest, error) {
	t.Helper()
	q := &queue{}
	_, err := training.NewDesk(q, twoFolders{}).Create(t.Context(), w)
	return q.taken, err
}

func TestWishes(t *testing.T) {
	got, err := create(t, training.Wish{
		Name: "fit", Project: "red", CreatedBy: "ada", Image: "host", Command: "python train.py", Env: map[string]string{"LR": "0.1"},
		Mounts: []training.Mount{{Folder: "data"}, {Folder: "data", Target: "/mnt/again", ReadOnly: true}, {Folder: "data", Sub: "runs/7"}, {Folder: "data/in", Target: "/in"}}, Ports: []int{8000},
	})
	if err != nil {
		t.Fatal(err)
	}
	one := got[0]
	if one.Type != sessions.TypeBatch || one.Task.Command != "python train.py" || one.Launch.Env["LR"] != "0.1" || one.Launch.Port != 0 {
		t.Errorf("%+v", one)
	}
	want := []sessions.FolderMount{{Folder: "fld-data", Target: "/home/work/data"}, {Folder: "fld-data", Target: "/mnt/again", ReadOnly: true},
		{Folder: "fld-data/runs/7", Target: "/home/work/7"}, {Folder: "fld-data/in", Target: "/in"}}
	if d := cmp.Diff(want, one.Mounts); d != "" {
		t.Error(d)
	}
	p := one.Launch.Processes[0]
	if d := cmp.Diff([]string{"/bin/bash", "-c", "python train.py"}, p.Argv); d != "" || p.ShellFallback != "/bin/sh" || p.WorkDir != "/home/work" {
		t.Errorf("%s %+v", d, p)
	}
	got, err = create(t, training.Wish{Image: "host"})
	if err != nil || got[0].Type != sessions.TypeInteractive || !strings.Contains(got[0].Launch.Processes[0].Argv[2], "while") {
		t.Errorf("%+v %v", got, err)
	}
}

// TestAllThatIsWrong: everything is told at once, each by its field.
func TestAllThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		wish training.Wish
		want []string
	}{
		"no command": {training.Wish{Type: "batch"}, []string{"startup_command"}},
		"a folder that is full": {
			training.Wish{Command: "x", Mounts: []training.Mount{{Folder: "full"}, {Folder: "full", Target: "/in", ReadOnly: true}}}, []string{"mounts[0].folder"},
		},
		"of another kind": {training.Wish{Type: "inference"}, []string{"type"}},
		"a shell cannot":  {training.Wish{Timeout: time.Second, Array: "1-3"}, []string{"timeout"}},
		"much": {
			training.Wish{
				Command: "x\x00", Timeout: -1, Retries: 1000, MinRuntime: -1, StartsAt: time.Now().AddDate(20, 0, 0), Array: "1-1000000",
				Env: map[string]string{"A=B": "", "1": "", "C": "\x00"}, Ports: []int{0, 70000, 80, 80}, Mounts: []training.Mount{{Folder: "../etc"}},
			},
			[]string{
				"array", "environ.1", "environ.A=B", "environ.C", "min_runtime", "mounts[0].folder", "preopen_ports[0]", "preopen_ports[1]",
				"preopen_ports[3]", "retries", "starts_at", "startup_command", "timeout",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			taken, err := create(t, c.wish)
			problems, ok := errors.AsType[catalog.Problems](err)
			if !ok || !errors.Is(err, sessions.ErrInvalid) || len(taken) != 0 {
				t.Fatalf("%v, %d taken", err, len(taken))
			}
			var fields []string
			for _, p := range problems {
				fields = append(fields, p.Field)
			}
			slices.Sort(fields)
			if d := cmp.Diff(c.want, fields); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestArrays(t *testing.T) {
	for text, want := range map[string]struct {
		names []string
		limit int
	}{
		"1-3":     {[]string{"fit-1", "fit-2", "fit-3"}, 0},
		"0-1,7%1": {[]string{"fit-0", "fit-1", "fit-7"}, 1},
		"5":       {[]string{"fit-5"}, 0},
	} {
		got, err := create(t, training.Wish{Name: "fit", Command: "x", Array: text})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var names []string
		for _, r := range got {
			names = append(names, r.Name)
			if r.Task.Array.ID != got[0].Task.Array.ID || r.Task.Array.Limit != want.limit || !strings.HasSuffix(r.Name, "-"+string(rune('0'+r.Task.Array.Index))) {
				t.Errorf("%s: %+v", text, r.Task.Array)
			}
		}
		if d := cmp.Diff(want.names, names); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
	if _, err := create(t, training.Wish{Name: "fit", Command: "x", Array: "1-500", ClusterSize: 2}); err != nil {
		t.Error(err)
	}
	if got, err := create(t, training.Wish{Name: "fit", Command: "x", Array: "1-501", ClusterSize: 2}); err == nil {
		t.Errorf("%d sessions of two containers each", len(got))
	}
	for _, text := range []string{"%3", "1-", "-1", "3-1", "1-1000000", "1-5%0", "1-5%x", "1,1", "a", "1-2-3", "+1", "1 - 2", "1-1000,1001", "99999999999999999999"} {
		if got, err := create(t, training.Wish{Name: "fit", Command: "x", Array: text}); err == nil {
			t.Errorf("%q made %d sessions", text, len(got))
		}
	}
}
