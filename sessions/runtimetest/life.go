package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// grace is longer than anything takes that is not meant to use it up.
const grace = 30 * time.Second

var life = map[string]func(*fixture){
	"a start tells where it runs": func(f *fixture) {
		before := time.Now()
		in := f.ready("a", Print("ready"), Forever())
		if in.ID != "a" || !in.Running || in.PID <= 0 || in.Address == "" || in.Exit != nil || in.Labels["palisade.session"] != "a" {
			f.Errorf("%+v", in)
		}
		if in.StartedAt.Before(before.Add(-time.Second)) || in.StartedAt.After(time.Now()) {
			f.Errorf("started at %v, after %v", in.StartedAt, before)
		}
	},
	"exit codes": func(f *fixture) {
		for _, code := range []int{0, 1, 7, 255} {
			id := fmt.Sprintf("exit-%d", code)
			f.program(id, ExitWith(code))
			if code == 0 {
				f.ends(id, sessions.ExitCompleted, 0)
			} else {
				f.ends(id, sessions.ExitFailed, code, fmt.Sprint(code))
			}
		}
	},
	"what crashes says by which signal": func(f *fixture) {
		f.program("a", Crash())
		if exit := f.ends("a", sessions.ExitCrashed, 139, "SIGSEGV"); exit.Signal != "SIGSEGV" {
			f.Errorf("%+v", exit)
		}
	},
	"several wait, before and after": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		var wg sync.WaitGroup
		exits := make([]sessions.Exit, 8)
		for i := range exits {
			wg.Go(func() {
				var err error
				if exits[i], err = f.Wait(f.ctx(), "a"); err != nil {
					f.Error(err)
				}
			})
		}
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Error(err)
		}
		wg.Wait()
		after := f.wait("a")
		for i, e := range exits {
			if !e.FinishedAt.Equal(after.FinishedAt) || e.Reason != after.Reason {
				f.Errorf("waiter %d saw %+v, a later one %+v", i, e, after)
			}
		}
	},
	"a wait ends with its context and stops nothing": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		ctx, cancel := context.WithCancel(f.ctx())
		done := make(chan error, 1)
		go func() {
			_, err := f.Wait(ctx, "a")
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("wait: %v", err)
		}
		if !f.list()["a"].Running {
			f.Error("it does not run any more")
		}
	},
	"an id is taken once": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		spec := f.spec("a", f.h.Program(Forever()))
		if _, err := f.Start(f.ctx(), spec); !errors.Is(err, sessions.ErrInstanceExists) {
			f.Errorf("a second start: %v", err)
		}
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Error(err)
		}
		if _, err := f.Start(f.ctx(), spec); !errors.Is(err, sessions.ErrInstanceExists) {
			f.Errorf("a start after the end: %v", err)
		}
	},
	"of starts at once one comes through": func(f *fixture) {
		var started atomic.Int32
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				_, err := f.Start(f.ctx(), f.spec("a", f.h.Program(Forever())))
				if err == nil {
					started.Add(1)
				} else if !errors.Is(err, sessions.ErrInstanceExists) {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		if n := started.Load(); n != 1 {
			f.Errorf("%d came through", n)
		}
	},
	"what is not there": func(f *fixture) {
		_, waitErr := f.Wait(f.ctx(), "none")
		_, logErr := f.Logs(f.ctx(), "none", sessions.LogOptions{})
		_, statErr := f.Stats(f.ctx(), "none")
		_, execErr := f.Exec(f.ctx(), "none", sessions.ExecSpec{Argv: []string{"true"}})
		for doing, err := range map[string]error{
			"wait": waitErr, "stop": f.Stop(f.ctx(), "none", 0), "logs": logErr, "stats": statErr, "exec": execErr,
		} {
			if !errors.Is(err, sessions.ErrNoInstance) {
				f.Errorf("%s: %v", doing, err)
			}
		}
		if err := f.Remove(f.ctx(), "none"); err != nil {
			f.Errorf("remove: %v", err)
		}
	},
	"stop lets it end by itself": func(f *fixture) {
		f.ready("a", OnTerm("tidied up", 0), Print("ready"), Forever())
		begin := time.Now()
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		if d := time.Since(begin); d >= grace {
			f.Errorf("stop took %v", d)
		}
		f.ends("a", sessions.ExitStopped, 0)
		f.logIs("a", "ready", "tidied up")
	},
	"stop of what does not care for SIGTERM's default": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		f.ends("a", sessions.ExitStopped, 143)
	},
	"what ignores SIGTERM is killed after the grace": func(f *fixture) {
		f.ready("a", IgnoreTerm(), Print("ready"), Forever())
		begin := time.Now()
		if err := f.Stop(f.ctx(), "a", 300*time.Millisecond); err != nil {
			f.Fatal(err)
		}
		if d := time.Since(begin); d < 300*time.Millisecond {
			f.Errorf("it had a grace of %v only", d)
		}
		if exit := f.ends("a", sessions.ExitKilled, 137); exit.Signal != "SIGKILL" {
			f.Errorf("%+v", exit)
		}
	},
	"a stop whose context ends kills at once": func(f *fixture) {
		f.ready("a", IgnoreTerm(), Print("ready"), Forever())
		ctx, cancel := context.WithCancel(f.ctx())
		begin := time.Now()
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := f.Stop(ctx, "a", time.Hour); err != nil {
			f.Fatal(err)
		}
		if d := time.Since(begin); d > patience/2 {
			f.Errorf("stop took %v", d)
		}
		f.ends("a", sessions.ExitKilled, 137)
	},
	"stops at once and again": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := f.Stop(f.ctx(), "a", grace); err != nil {
					f.Error(err)
				}
				if f.list()["a"].Running {
					f.Error("it runs after a stop")
				}
			})
		}
		wg.Wait()
		first := f.wait("a")
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Errorf("one more: %v", err)
		}
		if again := f.wait("a"); again.Reason != first.Reason || !again.FinishedAt.Equal(first.FinishedAt) {
			f.Errorf("a stop after the end turned %+v into %+v", first, again)
		}
	},
	"a stop does not change how it had ended": func(f *fixture) {
		f.program("a", ExitWith(3))
		f.ends("a", sessions.ExitFailed, 3)
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Error(err)
		}
		f.ends("a", sessions.ExitFailed, 3)
	},
	"remove": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		if err := f.Remove(f.ctx(), "a"); err == nil {
			f.Error("what runs was removed")
		}
		if !f.list()["a"].Running {
			f.Error("a remove that was refused ended it")
		}
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Fatal(err)
		}
		for range 2 {
			if err := f.Remove(f.ctx(), "a"); err != nil {
				f.Fatal(err)
			}
		}
		if _, err := f.Wait(f.ctx(), "a"); !errors.Is(err, sessions.ErrNoInstance) {
			f.Errorf("wait: %v", err)
		}
		if _, err := f.Logs(f.ctx(), "a", sessions.LogOptions{}); !errors.Is(err, sessions.ErrNoInstance) {
			f.Errorf("logs: %v", err)
		}
		if list := f.list(); len(list) != 0 {
			f.Errorf("listed: %v", list)
		}
	},
	"many at once": func(f *fixture) {
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				id := fmt.Sprint("s", i)
				if _, err := f.Start(f.ctx(), f.spec(id, f.h.Program(Print("ready"), Forever()))); err != nil {
					f.Error(err)
					return
				}
				f.list()
				if err := f.Stop(f.ctx(), id, grace); err != nil {
					f.Error(err)
				}
				if err := f.Remove(f.ctx(), id); err != nil {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		if list := f.list(); len(list) != 0 {
			f.Errorf("left: %v", list)
		}
	},
}

var adoption = map[string]func(*fixture){
	"list finds what runs and what has ended": func(f *fixture) {
		runs := f.ready("runs", Print("ready"), Forever())
		f.program("ended", ExitWith(4))
		f.wait("ended")
		f.reopen()
		list := f.list()
		got := list["runs"]
		if !got.Running || got.PID != runs.PID || got.Address != runs.Address || got.Labels["palisade.session"] != "runs" || !got.StartedAt.Equal(runs.StartedAt) {
			f.Errorf("%+v became %+v", runs, got)
		}
		ended := list["ended"]
		if ended.Running || ended.PID != 0 || ended.Exit.Code != 4 || ended.Labels["palisade.session"] != "ended" {
			f.Errorf("ended: %+v", ended)
		}
		if len(list) != 2 {
			f.Errorf("listed: %v", list)
		}
	},
	"it is waited for": func(f *fixture) {
		f.ready("a", OnTerm("bye", 0), Print("ready"), Forever())
		f.reopen()
		done := make(chan sessions.Exit, 1)
		adopter := f.Box
		go func() {
			exit, err := adopter.Wait(f.ctx(), "a")
			if err != nil {
				f.Error(err)
			}
			done <- exit
		}()
		f.reopen()
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		if exit := <-done; exit.Reason != sessions.ExitStopped {
			f.Errorf("%+v", exit)
		}
		f.logIs("a", "ready", "bye")
	},
	"an id stays taken": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		f.reopen()
		if _, err := f.Start(f.ctx(), f.spec("a", f.h.Program(Forever()))); !errors.Is(err, sessions.ErrInstanceExists) {
			f.Errorf("start: %v", err)
		}
	},
	"its log goes on": func(f *fixture) {
		f.ready("a", OnTerm("last words", 0), Print("first words"), Print("ready"), Forever())
		f.reopen()
		r, err := f.Logs(f.ctx(), "a", sessions.LogOptions{Follow: true})
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != "first words\nready\nlast words\n" {
			f.Errorf("log: %q, %v", text, err)
		}
	},
	"it is removed": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		f.reopen()
		if err := f.Remove(f.ctx(), "a"); err == nil {
			f.Error("what runs was removed")
		}
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Fatal(err)
		}
		f.reopen()
		if err := f.Remove(f.ctx(), "a"); err != nil {
			f.Error(err)
		}
		f.reopen()
		if list := f.list(); len(list) != 0 {
			f.Errorf("left: %v", list)
		}
	},
}
