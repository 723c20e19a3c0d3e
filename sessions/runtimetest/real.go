package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

var shell = map[string]func(*fixture){
	"stdout and stderr in one log": func(f *fixture) {
		f.start(f.script("a", "echo 1; echo 2 >&2; echo 3; echo 4 >&2"))
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "1", "2", "3", "4")
	},
	"the environment": func(f *fixture) {
		f.Setenv("PALISADE_TEST_SECRET", "hunter2")
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

var files = map[string]func(*fixture){
	"the model folder is read-only": func(f *fixture) {
		dir := f.TempDir()
		f.write(dir, "model.gguf", "weights", 0o666)
		spec := f.script("a", "cat /models/model.gguf; echo; echo x 2>/dev/null >/models/model.gguf || echo refused; touch /models/new 2>/dev/null || echo refused; rm -f /models/model.gguf 2>/dev/null || echo refused")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/models", ReadOnly: true}}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "weights", "refused", "refused", "refused")
	},
	"a folder that may be written": func(f *fixture) {
		dir := f.TempDir()
		spec := f.script("a", "echo result >/home/work/out/file && echo done")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/home/work/out"}}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "done")
		if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "result\n" {
			f.Errorf("%q, %v", b, err)
		}
	},
	"mounts inside mounts, and beside what the image has": func(f *fixture) {
		outer, inner := f.TempDir(), f.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "sub"), 0o755); err != nil {
			f.Fatal(err)
		}
		f.write(inner, "x", "inner\n", 0o644)
		f.write(outer, "y", "outer\n", 0o644)
		spec := f.script("a", "cat /usr/palisade-test/deep/sub/x /usr/palisade-test/deep/y; ls -d /usr/bin; touch /usr/new 2>/dev/null || echo refused")
		spec.Mounts = []sessions.Mount{
			{Source: inner, Target: "/usr/palisade-test/deep/sub", ReadOnly: true},
			{Source: outer, Target: "/usr/palisade-test/deep", ReadOnly: true},
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "inner", "outer", "/usr/bin", "refused")
	},
	"a source that is missing": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Mounts = []sessions.Mount{{Source: "/no/such/folder", Target: "/models", ReadOnly: true}}
		f.doesNotStart(spec, "/no/such/folder", "not exist")
	},
	"scratch directories": func(f *fixture) {
		script := "ls -A /scratch /opt/cache/deep | grep -v : | grep -c .; echo x >/scratch/f && echo y >/opt/cache/deep/f && echo z >/tmp/f && echo written"
		for _, id := range []string{"a", "b"} { // b sees nothing of a
			spec := f.script(id, script)
			spec.Scratch = []string{"/scratch", "/opt/cache/deep"}
			f.start(spec)
			f.wait(id)
			f.logIs(id, "0", "written")
		}
	},
	"the image itself is read-only": func(f *fixture) {
		f.start(f.script("a", "for d in / /usr /etc /dev; do touch $d/palisade-test 2>/dev/null && echo $d can be written; done; echo x >/tmp/x && echo x >/dev/shm/x && echo ok >/dev/null && cat /tmp/x"))
		f.wait("a")
		f.logIs("a", "x")
	},
}

func action(name string, args catalog.ActionArgs) catalog.Action {
	return catalog.Action{Name: name, Args: args}
}

var prestart = map[string]func(*fixture){
	"all five": func(f *fixture) {
		spec := f.script("a", "cat /tmp/d/e/conf /tmp/t; ls -l /tmp/t | cut -c1-10")
		spec.Processes[0].PreStart = []catalog.Action{
			action("log", catalog.ActionArgs{Message: "preparing"}),
			action("mkdir", catalog.ActionArgs{Path: "/tmp/d/e"}),
			action("mkdir", catalog.ActionArgs{Path: "/tmp/d/e"}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"gone"}}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"one", "two"}, Mode: "644"}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"three"}, Append: true}),
			action("write_tempfile", catalog.ActionArgs{Filename: "/tmp/t", Body: []string{"temp"}, Mode: "600"}),
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo heard"), Echo: true}),
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo unheard")}),
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "preparing", "heard", "one", "two", "three", "temp", "-rw-------")
	},
	"a command that fails": func(f *fixture) {
		spec := f.script("a", "echo must not run")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo the reason >&2; exit 42")})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "run_command", f.h.Can.Shell("x")[0], "42", "the reason")
		if strings.Contains(f.logs("a", sessions.LogOptions{}), "must not run") {
			f.Error("the command ran nevertheless")
		}
	},
	"a command that may fail": func(f *fixture) {
		spec := f.script("a", "echo runs")
		spec.Processes[0].PreStart = []catalog.Action{
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("exit 42"), IgnoreError: true}),
			action("run_command", catalog.ActionArgs{Command: []string{"no-such-tool"}, IgnoreError: true}),
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.says(f.logs("a", sessions.LogOptions{}), "runs")
	},
	"a command that is missing": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: []string{"no-such-tool"}})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "no-such-tool", "not found")
	},
	"a file that cannot be written": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Mounts = []sessions.Mount{{Source: f.TempDir(), Target: "/models", ReadOnly: true}}
		spec.Processes[0].PreStart = []catalog.Action{action("write_file", catalog.ActionArgs{Filename: "/models/x", Body: []string{"y"}})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "write_file", "/models/x", "read-only")
	},
	"stopped meanwhile": func(f *fixture) {
		spec := f.script("a", "echo must not run")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo ready; exec sleep 1000"), Echo: true})}
		f.start(spec)
		f.awaitLine("a", "ready")
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		f.ends("a", sessions.ExitStopped, 0)
		f.logIs("a", "ready")
	},
	"adopted meanwhile": func(f *fixture) {
		dir := f.TempDir()
		spec := f.script("a", "echo runs")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/gate"}}
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo ready; cat /gate/fifo"), Echo: true})}
		if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
			f.Fatal(err)
		}
		f.start(spec)
		f.awaitLine("a", "ready")
		f.reopen()
		if in := f.list()["a"]; !in.Running {
			f.Errorf("%+v", in)
		}
		gate, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_WRONLY, 0)
		if err != nil {
			f.Fatal(err)
		}
		gate.Close()
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "ready", "runs")
	},
}

// held starts a session whose grandchildren, one of them in a session of its own, hold a pipe open, and
// returns the pipe's end once they do.
func (f *fixture) held(id, then string) *os.File {
	f.Helper()
	dir := f.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		f.Fatal(err)
	}
	spec := f.script(id, `exec 3>/held/fifo
(sleep 1000 &) ; (trap '' TERM HUP; setsid sh -c 'trap "" TERM; while :; do sleep 1000; done' &) ; sleep 1000 &
echo up >&3; exec 3>&-; echo ready; `+then)
	spec.Mounts = []sessions.Mount{{Source: dir, Target: "/held"}}
	f.start(spec)
	r, err := os.OpenFile(fifo, os.O_RDONLY, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { r.Close() })
	b := make([]byte, 3)
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "up\n" {
		f.Fatalf("%q, %v", b, err)
	}
	return r
}

// released asserts that nobody holds the pipe any more, now.
func (f *fixture) released(r *os.File) {
	f.Helper()
	_ = r.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		f.Errorf("something of the session is left: %d, %v", n, err)
	}
}

var processes = map[string]func(*fixture){
	"nothing is left after a stop": func(f *fixture) {
		r := f.held("a", "wait")
		if err := f.Stop(f.ctx(), "a", 200*time.Millisecond); err != nil {
			f.Fatal(err)
		}
		f.released(r)
	},
	"nothing is left after the first process has ended": func(f *fixture) {
		r := f.held("a", "exit 5")
		f.ends("a", sessions.ExitFailed, 5)
		f.released(r)
	},
	"nothing is left after the first process was killed": func(f *fixture) {
		r := f.held("a", "exec sleep 1000")
		f.awaitLine("a", "ready")
		f.signal(f.list()["a"].PID, syscall.SIGKILL)
		f.ends("a", sessions.ExitKilled, 137)
		f.released(r)
	},
	"a child of a shell gets its grace": func(f *fixture) {
		f.start(f.script("a", `sh -c 'trap "echo child tidied up; exit 0" TERM; echo ready; while :; do sleep 1000 & wait $!; done 2>/dev/null'; :`))
		f.awaitLine("a", "ready")
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		f.ends("a", sessions.ExitStopped, 0)
		f.logIs("a", "ready", "child tidied up")
	},
	"a second one that fails ends the session": func(f *fixture) {
		spec := f.script("a", "echo first; exec sleep 1000")
		spec.Processes = append(spec.Processes, variants.Process{Name: "second", Argv: f.h.Can.Shell("exit 9"), WorkDir: "/"})
		f.start(spec)
		f.ends("a", sessions.ExitFailed, 9, "second")
	},
	"a second one that completes does not": func(f *fixture) {
		dir := f.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
			f.Fatal(err)
		}
		spec := f.script("a", "cat /gate/fifo; echo first")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/gate"}}
		spec.Processes = append(spec.Processes, variants.Process{Name: "second", Argv: f.h.Can.Shell("echo second"), WorkDir: "/"})
		f.start(spec)
		f.awaitLine("a", "second")
		if !f.list()["a"].Running {
			f.Error("it ended with its second process")
		}
		f.write(dir, "fifo", "", 0)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "second", "first")
	},
	"orphans are waited for": func(f *fixture) {
		f.start(f.script("a", `i=0; while [ $i -lt 50 ]; do (true &); i=$((i+1)); done; echo made; exec sleep 1000`))
		f.awaitLine("a", "made")
		var out bytes.Buffer
		for begin := time.Now(); ; {
			out.Reset()
			if _, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: f.h.Can.Shell("grep -l 'State:.Z' /proc/[0-9]*/status"), Stdout: &out}); err != nil {
				f.Fatal(err)
			}
			if out.Len() == 0 {
				break
			}
			if time.Since(begin) > patience/4 {
				f.Fatalf("zombies: %s", out.String())
			}
		}
	},
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

var memory = map[string]func(*fixture){
	"the first process": func(f *fixture) {
		spec := f.script("a", "exec tail /dev/zero")
		spec.Limits.Memory = 64 << 20
		f.start(spec)
		f.ends("a", sessions.ExitOutOfMemory, 137, "64 MiB")
	},
	"a child of it": func(f *fixture) {
		spec := f.script("a", "tail /dev/zero; exit 1")
		spec.Limits.Memory = 64 << 20
		f.start(spec)
		f.ends("a", sessions.ExitOutOfMemory, 1)
	},
	"a kill from outside is not one": func(f *fixture) {
		spec := f.script("a", "echo ready; exec sleep 1000")
		spec.Limits.Memory = 64 << 20
		in := f.start(spec)
		f.awaitLine("a", "ready")
		f.signal(in.PID, syscall.SIGKILL)
		f.ends("a", sessions.ExitKilled, 137)
	},
}

var pids = map[string]func(*fixture){
	"is held": func(f *fixture) {
		spec := f.script("a", "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; echo made 40")
		spec.Limits.Pids = 20
		f.start(spec)
		f.wait("a")
		if strings.Contains(f.logs("a", sessions.LogOptions{}), "made 40") {
			f.Error("40 processes were made within a limit of 20")
		}
	},
}

var ownNetwork = map[string]func(*fixture){
	"ten listen on one port": func(f *fixture) {
		instances := map[string]sessions.Instance{}
		for i := range 10 {
			id := fmt.Sprintf("s%d", i)
			argv, mounts := f.h.Can.Listener(f.T, 8000, id)
			spec := f.spec(id, argv)
			spec.Mounts = mounts
			instances[id] = f.start(spec)
		}
		f.reopen()
		for id, in := range f.list() {
			if in.Address != instances[id].Address {
				f.Errorf("%s had %s and has %s", id, instances[id].Address, in.Address)
			}
			if got, err := fetch(f.ctx(), net.JoinHostPort(in.Address, "8000")); got != id {
				f.Errorf("%s at %s answers %q, %v", id, in.Address, got, err)
			}
		}
	},
	"traffic is counted": func(f *fixture) {
		argv, mounts := f.h.Can.Listener(f.T, 8000, strings.Repeat("x", 100_000))
		spec := f.spec("a", argv)
		spec.Mounts = mounts
		in := f.start(spec)
		if _, err := fetch(f.ctx(), net.JoinHostPort(in.Address, "8000")); err != nil {
			f.Fatal(err)
		}
		if s, err := f.Stats(f.ctx(), "a"); err != nil || s.TxBytes < 100_000 || s.RxBytes <= 0 {
			f.Errorf("%+v, %v", s, err)
		}
	},
}

// fetch reads all that address answers, once somebody listens there.
func fetch(ctx context.Context, address string) (string, error) {
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return "", err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		return string(text), err
	}
}

var flood = map[string]func(*fixture){
	"is bounded, and blocks nothing": func(f *fixture) {
		f.start(f.script("a", "yes 'a line of a log that floods the disk if nobody bounds it' | head -c 120000000; echo; echo the end"))
		f.ends("a", sessions.ExitCompleted, 0)
		text := f.logs("a", sessions.LogOptions{})
		if int64(len(text)) > f.h.Can.LogBound {
			f.Errorf("%d bytes are kept", len(text))
		}
		if !strings.HasPrefix(text, "a line of a log") || !strings.HasSuffix(text, "\nthe end\n") {
			f.Errorf("it begins %q and ends %q", text[:min(80, len(text))], text[max(0, len(text)-80):])
		}
		if tail := f.logs("a", sessions.LogOptions{Tail: 1}); tail != "the end\n" {
			f.Errorf("the tail: %q", tail)
		}
	},
	"does not hold up who follows": func(f *fixture) {
		f.start(f.script("a", "yes 'another line' | head -c 60000000; echo; echo the end"))
		got := f.logs("a", sessions.LogOptions{Follow: true})
		if !strings.HasSuffix(got, "\nthe end\n") {
			f.Errorf("it ends %q", got[max(0, len(got)-80):])
		}
	},
}
