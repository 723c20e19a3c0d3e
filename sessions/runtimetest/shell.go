package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

var shell = map[string]func(*fixture){
	"stdout and stderr in one log": func(f *fixture) {
		f.start(f.script("a", "echo 1; echo 2 >&2; echo 3; echo 4 >&2"))
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "1", "2", "3", "4")
	},
	"the environment": func(f *fixture) {
		if err := os.Setenv("PALISADE_TEST_SECRET", "hunter2"); err != nil { // not T.Setenv: suites may run side by side
			f.Fatal(err)
		}
		f.Cleanup(func() { os.Unsetenv("PALISADE_TEST_SECRET") })
		f.reopen()
		spec := f.script("a", `echo "$A $B"; echo "home=${HOME:+set} path=${PATH:+set} lang=${LANG:+set}"; env | grep -c hunter2`)
		spec.Env = map[string]string{"A": "of the session", "B": "of the session"}
		spec.Processes[0].Env = map[string]string{"B": "of the 'process' $X"}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "of the session of the 'process' $X", "home=set path=set lang=set", "0")
	},
	"no descriptors but its own three": func(f *fixture) {
		f.start(f.script("a", "for fd in /proc/self/fd/*; do echo ${fd##*/}; done | sort -n | head -n 4 | tr '\\n' ' '; ls -l /proc/$$/fd | grep -c -e sock -e anon_inode"))
		f.wait("a")
		got := f.logs("a", sessions.LogOptions{})
		if fields := strings.Fields(got); len(fields) < 4 || strings.Join(fields[:3], " ") != "0 1 2" || fields[len(fields)-1] != "0" {
			f.Errorf("descriptors: %q", got)
		}
	},
	"it has a name that resolves": func(f *fixture) {
		f.start(f.script("a", "cat /proc/sys/kernel/hostname; grep -c name-of-a /etc/hosts"))
		f.wait("a")
		f.logIs("a", "name-of-a", "1")
	},
	"the working directory": func(f *fixture) {
		spec := f.script("a", "pwd")
		spec.Processes[0].WorkDir = "/usr"
		f.start(spec)
		f.wait("a")
		f.logIs("a", "/usr")
	},
	"a working directory that is missing": func(f *fixture) {
		spec := f.script("a", "pwd")
		spec.Processes[0].WorkDir = "/no/such/place"
		f.doesNotStart(spec, "/no/such/place", "no such")
	},
	"a command that is missing": func(f *fixture) {
		f.doesNotStart(f.spec("a", []string{"no-such-engine", "--port", "1"}), "no-such-engine", "not found")
		f.doesNotStart(f.spec("b", []string{"/opt/no/such/engine"}), "/opt/no/such/engine", "not found")
	},
	"a command that is no program": func(f *fixture) {
		f.doesNotStart(f.spec("a", []string{"/etc/passwd"}), "/etc/passwd", "executable")
	},
	"the command is looked up in the session's PATH": func(f *fixture) {
		dir := f.TempDir()
		f.write(dir, "my-engine", "#!/bin/sh\necho found \"$@\"\n", 0o755)
		spec := f.spec("a", []string{"my-engine", "x y"})
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/engines", ReadOnly: true}}
		spec.Env = map[string]string{"PATH": "/nowhere:/engines:/usr/bin:/bin"}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "found x y")
	},
	"a shell that is missing": func(f *fixture) {
		spec := f.spec("a", []string{"/bin/no-such-bash", "-c", "echo fell back"})
		spec.Processes[0].ShellFallback = "/bin/sh"
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "fell back")
	},
	"the message has the last of the log": func(f *fixture) {
		f.start(f.script("a", "echo error: no kernel image for this device; exit 3"))
		f.ends("a", sessions.ExitFailed, 3, "3", "no kernel image for this device")
		f.start(f.script("b", "yes 'a long line of log' | head -n 5000; exit 3"))
		if exit := f.ends("b", sessions.ExitFailed, 3); len(exit.Message) > 2<<10 {
			f.Errorf("a message of %d bytes", len(exit.Message))
		}
	},
	"kill -9 from outside": func(f *fixture) {
		in := f.start(f.script("a", "echo ready; exec sleep 1000"))
		f.awaitLine("a", "ready")
		f.signal(in.PID, syscall.SIGKILL)
		f.ends("a", sessions.ExitKilled, 137)
	},
	"another signal from outside": func(f *fixture) {
		in := f.start(f.script("a", "echo ready; exec sleep 1000"))
		f.awaitLine("a", "ready")
		f.signal(in.PID, syscall.SIGABRT)
		f.ends("a", sessions.ExitCrashed, 134, "SIGABRT")
	},
	"no new privileges, no more than a container's": func(f *fixture) {
		f.start(f.script("a", "grep NoNewPrivs /proc/self/status | tr -d '\\t '; mount -t tmpfs none /mnt 2>/dev/null || echo no mount; cat /proc/1/environ >/dev/null 2>&1 || echo no look into the first process; (echo 0 >/proc/sys/kernel/panic) 2>/dev/null || echo no settings of the kernel"))
		f.wait("a")
		f.logIs("a", "NoNewPrivs:1", "no mount", "no look into the first process", "no settings of the kernel")
	},
	"stats": func(f *fixture) {
		f.start(f.script("a", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo ready; sleep 1000; :"))
		f.awaitLine("a", "ready")
		s, err := f.Stats(f.ctx(), "a")
		if err != nil {
			f.Fatal(err)
		}
		if s.CPUTime <= 0 || s.CPUTime > time.Minute || s.Memory <= 0 || s.Memory > 1<<30 || s.Pids < 1 || s.Pids > 64 || time.Since(s.At) > time.Minute {
			f.Errorf("%+v", s)
		}
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Fatal(err)
		}
		if s, err := f.Stats(f.ctx(), "a"); err == nil {
			f.Errorf("of what has ended: %+v", s)
		}
	},
}

func (f *fixture) signal(pid int, sig syscall.Signal) {
	f.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		f.Fatalf("signalling process %d: %v", pid, err)
	}
}

func (f *fixture) write(dir, name, text string, mode os.FileMode) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
		f.Fatal(err)
	}
}

var execs = map[string]func(*fixture){
	"sees what the session sees": func(f *fixture) {
		dir := f.TempDir()
		f.write(dir, "m", "weights\n", 0o644)
		spec := f.script("a", "echo made >/tmp/made; echo ready; exec sleep 1000")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/models", ReadOnly: true}}
		spec.Env = map[string]string{"A": "a", "B": "b"}
		f.start(spec)
		f.awaitLine("a", "ready")
		var out, errs bytes.Buffer
		exit, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{
			Argv: f.h.Can.Shell(`cat /tmp/made m - ; echo "$A $B" >&2; exit 6`), Env: map[string]string{"B": "exec's"},
			WorkDir: "/models", Stdin: strings.NewReader("stdin\n"), Stdout: &out, Stderr: &errs,
		})
		if err != nil || exit.Reason != sessions.ExitFailed || exit.Code != 6 {
			f.Errorf("%+v, %v", exit, err)
		}
		if out.String() != "made\nweights\nstdin\n" || errs.String() != "a exec's\n" {
			f.Errorf("stdout %q, stderr %q", out.String(), errs.String())
		}
		f.logIs("a", "ready")
	},
	"a command that is missing": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		exit, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: []string{"no-such-tool"}})
		if err != nil || exit.Reason != sessions.ExitStartFailed || !strings.Contains(exit.Message, "no-such-tool") {
			f.Errorf("%+v, %v", exit, err)
		}
	},
	"ends with its context": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		ctx, cancel := context.WithCancel(f.ctx())
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := f.Exec(ctx, "a", sessions.ExecSpec{Argv: f.h.Can.Shell("echo up; exec sleep 1000"), Stdout: w})
			done <- err
		}()
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			f.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("%v", err)
		}
		if !f.list()["a"].Running {
			f.Error("the session ended with it")
		}
	},
	"ends with the session": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: f.h.Can.Shell("echo up; exec sleep 1000"), Stdout: w})
		}()
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			f.Fatal(err)
		}
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		<-done
		if _, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: []string{"true"}}); !errors.Is(err, sessions.ErrNoInstance) {
			f.Errorf("after the end: %v", err)
		}
	},
	"in an adopted session, many at once": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		f.reopen()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				var out bytes.Buffer
				exit, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: f.h.Can.Shell(fmt.Sprintf("echo %d", i)), Stdout: &out, Stderr: &out})
				if err != nil || exit.Reason != sessions.ExitCompleted || out.String() != fmt.Sprintf("%d\n", i) {
					f.Errorf("%d: %+v, %v, %q", i, exit, err, out.String())
				}
			})
		}
		wg.Wait()
	},
}
