package runtimetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

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
	"a socket is there before anything runs, and is handed to one": func(f *fixture) {
		free, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			f.Fatal(err)
		}
		port := free.Addr().(*net.TCPAddr).Port
		free.Close()
		spec := f.script("a", fmt.Sprintf(`grep -q ":%04X 00000000:0000 0A" /proc/net/tcp && echo listens; exec sleep 1000`, port))
		spec.Env = map[string]string{"LISTEN_FDS": "1"} // is of no other socket
		given := `[ -S /proc/self/fd/3 ] && echo "$0 has one, $LISTEN_FDS" || echo "$0 has none, $LISTEN_FDS"; exec sleep 1000`
		for _, name := range []string{"first", "second"} { // the second comes too late
			spec.Processes = append(spec.Processes, variants.Process{Name: name, Argv: append(f.h.Can.Shell(given), name), WorkDir: "/", Socket: port})
		}
		f.start(spec)
		for _, line := range []string{"listens", "first has one, 1", "second has none, "} {
			f.awaitLine("a", line)
		}
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
