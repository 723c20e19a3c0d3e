package runtimetest

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

func fakeSpec(id string, acts ...Act) sessions.Spec {
	return sessions.Spec{ID: id, Image: "img", Processes: []variants.Process{{Name: "main", Argv: Argv(acts...)}}}
}

func TestFakeGraceRunsInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		f.ForSession("a", Behaviour{IgnoreTerm: true})
		f.ForImage("img", Behaviour{ExitAfter: time.Hour})
		for _, id := range []string{"a", "b"} {
			if _, err := f.Start(t.Context(), sessions.Spec{ID: id, Image: "img", Processes: make([]variants.Process, 1)}); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		if err := f.Stop(t.Context(), "a", 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != 30*time.Second {
			t.Errorf("stop took %v, want the whole grace", d)
		}
		exit, err := f.Wait(t.Context(), "b")
		if err != nil || exit.Reason != sessions.ExitCompleted || time.Since(begin) != time.Hour {
			t.Errorf("b ended with %+v, %v after %v", exit, err, time.Since(begin))
		}
	})
}

func TestFakeDoesAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		broken := errors.New("no such file")
		f.OnStart(func(s sessions.Spec) error {
			if s.ID == "bad" {
				return broken
			}
			return nil
		})
		f.OnPull(func(image string) PullResult {
			return PullResult{Delay: time.Minute, Progress: []sessions.Progress{{Done: 1, Total: 2}}, Err: broken}
		})
		var told []sessions.Progress
		begin := time.Now()
		err := f.Pull(t.Context(), "img", func(p sessions.Progress) { told = append(told, p) })
		if !errors.Is(err, broken) || len(told) != 1 || time.Since(begin) != time.Minute {
			t.Errorf("pull: %v, %v after %v", err, told, time.Since(begin))
		}
		if _, err := f.Start(t.Context(), fakeSpec("bad")); !errors.Is(err, broken) {
			t.Errorf("start: %v", err)
		}
		if list, _ := f.List(t.Context()); len(list) != 0 {
			t.Errorf("a failed start left %+v", list)
		}
		if _, err := f.Start(t.Context(), fakeSpec("good", Print("hello"), Forever())); err != nil {
			t.Fatal(err)
		}
		f.SetAddress("good", "127.0.0.9")
		go f.Exit("good", sessions.Exit{Reason: sessions.ExitOutOfMemory, Code: 137})
		exit, err := f.Wait(t.Context(), "good")
		if err != nil || exit.Reason != sessions.ExitOutOfMemory || exit.FinishedAt.IsZero() {
			t.Errorf("exit: %+v, %v", exit, err)
		}
		list, _ := f.List(t.Context())
		if len(list) != 1 || list[0].Address != "127.0.0.9" || list[0].Running {
			t.Errorf("list: %+v", list)
		}
		f.Vanish("good")
		if _, err := f.Wait(t.Context(), "good"); !errors.Is(err, sessions.ErrNoInstance) {
			t.Errorf("wait for what has vanished: %v", err)
		}
	})
}

func TestFakeLogFollowEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		if _, err := f.Start(t.Context(), fakeSpec("a", Print("one"), Print("two"), Forever())); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := f.Logs(ctx, "a", sessions.LogOptions{Follow: true, Tail: 1})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { f.Print("a", "three") })
		text, err := io.ReadAll(r)
		if string(text) != "two\nthree\n" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q, %v", text, err)
		}
	})
}
