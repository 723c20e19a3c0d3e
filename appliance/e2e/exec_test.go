package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// person is somebody at a terminal on which palisade runs.
type person struct {
	t      testing.TB
	master *os.File
	cmd    *exec.Cmd

	mu      sync.Mutex
	shown   bytes.Buffer
	changed chan struct{}
}

// sit runs palisade on a terminal of 117 columns and 31 lines.
func (b *box) sit(args ...string) *person {
	b.t.Helper()
	p := &person{t: b.t, changed: make(chan struct{}), cmd: exec.CommandContext(b.t.Context(), have.palisade, args...)}
	p.cmd.Env = append(slices.Clone(b.env), "TERM=xterm")
	var err error
	if p.master, err = pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 31, Cols: 117}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = p.master.Close() })
	go p.watch()
	return p
}

func (p *person) watch() {
	buffer := make([]byte, 32<<10)
	for {
		n, err := p.master.Read(buffer)
		p.mu.Lock()
		p.shown.Write(buffer[:n])
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sees waits until words were shown, and forgets all up to them.
func (p *person) sees(words string) string {
	p.t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	for {
		p.mu.Lock()
		text, changed := p.shown.String(), p.changed
		if i := strings.Index(text, words); i >= 0 {
			p.shown.Next(i + len(words))
			p.mu.Unlock()
			return text[:i+len(words)]
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			p.t.Fatalf("%q was not shown, but %q", words, text[max(0, len(text)-2000):])
		}
	}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.master, keys); err != nil {
		p.t.Fatal(err)
	}
}

// leaves waits for the program's end.
func (p *person) leaves(code int) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		if exit, _ := errors.AsType[*exec.ExitError](err); p.cmd.ProcessState.ExitCode() != code || err != nil && exit == nil {
			p.t.Errorf("it ended with %v, want %d", err, code)
		}
	case <-time.After(20 * time.Second):
		p.t.Fatal("it does not end")
	}
}

// aRoute starts the appliance and a service, and returns the id of its route.
func (b *box) aRoute(args ...string) string {
	b.t.Helper()
	b.start(args...)
	b.steadyService(1)
	return strings.TrimSpace(b.run("session", "list", "--service", "steady", "-q"))
}

// TestExec runs commands in a service's route, as a person and as a script would.
func TestExec(t *testing.T) {
	b := newBox(t)
	id := b.aRoute("--runtime", "process")
	t.Run("words and exit code", func(t *testing.T) {
		if got := b.run("session", "exec", id, "--", "echo", "a word", "-n"); got != "a word -n" {
			t.Errorf("%q", got)
		}
		out, said, code := b.cli("session", "exec", "-e", "A=b", "-w", "/tmp", id, "sh", "-c", `echo "$A"; pwd >&2; exit 42`)
		if out != "b\n" || said != "/tmp\n" || code != 42 {
			t.Errorf("%q %q %d", out, said, code)
		}
		if _, said, code := b.cli("session", "exec", id, "no-such-tool"); code != 127 || !strings.Contains(said, "no-such-tool") {
			t.Errorf("%q %d", said, code)
		}
		if _, said, code := b.cli("session", "exec", id, "sh", "-c", "kill -9 $$"); code != 137 || !strings.Contains(said, "SIGKILL") {
			t.Errorf("%q %d", said, code)
		}
		b.fails(1, []string{"there is a service of that name", id}, "session", "exec", "steady", "ls")
	})
	t.Run("input to its end", func(t *testing.T) {
		text := make([]byte, 1<<20)
		_, _ = rand.Read(text)
		sum := sha256.Sum256(text)
		for _, script := range []string{"sha256sum", "cat"} {
			cmd := exec.CommandContext(t.Context(), have.palisade, "session", "exec", "-i", id, "--", script)
			cmd.Env, cmd.Stdin = b.env, bytes.NewReader(text)
			out, err := cmd.Output()
			if err != nil || !bytes.Equal(out, text) && !bytes.HasPrefix(out, []byte(hex.EncodeToString(sum[:]))) {
				t.Errorf("%s: %d bytes, %v", script, len(out), err)
			}
		}
	})
	t.Run("a terminal", func(t *testing.T) {
		p := b.sit("session", "exec", "-it", id, "--", "sh", "-c", `tty; stty size; echo $TERM; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done`)
		p.sees("/dev/pts/")
		p.sees("31 117")
		p.sees("xterm\r\nready")
		if err := pty.Setsize(p.master, &pty.Winsize{Rows: 50, Cols: 132}); err != nil {
			t.Fatal(err)
		}
		p.sees("50 132")
		p.leaves(3)
	})
	t.Run("a flood, and Ctrl-C", func(t *testing.T) {
		p := b.sit("session", "exec", "-it", id, "--", "sh", "-c", "trap : INT; yes; echo it is over; exit 4")
		p.sees("y\r\ny\r\n")
		p.types("\x03")
		p.sees("it is over")
		p.leaves(4)
	})
	t.Run("whoever goes takes the command along", func(t *testing.T) {
		p := b.sit("session", "exec", "-it", id, "--", "sh", "-c", "trap '' HUP; echo up; while :; do sleep 98765; done")
		p.sees("up\r\n")
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := eventually(soon, func() error {
			if out, _, code := b.cli("session", "exec", id, "--", "sh", "-c", "grep -l '9876[5]' /proc/[0-9]*/cmdline"); code == 0 {
				return fmt.Errorf("it is still there: %s", out)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a terminal to come back to", func(t *testing.T) { b.comesBack(t, id) })
	t.Run("a terminal outlives the appliance", func(t *testing.T) { b.outlives(t, id) })
	t.Run("the appliance stops", func(t *testing.T) {
		p := b.sit("session", "exec", "-it", id, "--", "sh", "-c", "echo up; sleep 1000")
		p.sees("up\r\n")
		b.stop()
		p.sees("the appliance was stopped")
		p.leaves(1)
		b.start()
		if got := b.run("session", "exec", id, "--", "echo", "here"); got != "here" {
			t.Errorf("%q", got)
		}
	})
}

func (b *box) comesBack(t *testing.T, id string) {
	t.Helper()
	p := b.sit("session", "attach", id)
	p.sees("Ctrl-P Ctrl-Q")
	p.types("PS1='> '; echo mar''ked\r")
	p.sees("marked\r\n")
	watcher := b.sit("session", "attach", id)
	watcher.sees("marked\r\n")
	p.types("echo se''en\r")
	watcher.sees("seen\r\n")
	watcher.types("\x10\x11")
	watcher.sees("to come back: palisade session attach " + id)
	watcher.leaves(0)
	p.types("seq 100000\r")
	p.sees("99999\r\n")
	if err := p.cmd.Process.Kill(); err != nil { // the browser is closed
		t.Fatal(err)
	}
	again := b.sit("session", "attach", id)
	again.sees("100000\r\n")
	again.types("exit 6\r")
	again.leaves(6)
}

// outlives looks at a terminal through appliances that are killed, stopped and restarted: it is the same shell all along, and
// what it had shown is shown again.
func (b *box) outlives(t *testing.T, id string) {
	t.Helper()
	p := b.sit("session", "attach", id, "--name", "long")
	p.sees("Ctrl-P Ctrl-Q")
	p.types("PS1='> '; kept=$$; echo mar''ked\r")
	p.sees("marked\r\n")
	p.types("(sleep 1; echo la''ter) & echo be''gun\r")
	p.sees("begun\r\n")
	b.kill()
	p.leaves(1)
	b.start()
	for _, end := range []func(){func() { b.stop(); b.start() }, func() { b.restart() }, nil} {
		again := b.sit("session", "attach", id, "--name", "long")
		again.sees("marked\r\n")
		again.sees("later\r\n")
		again.types("[ $kept = $$ ] && echo sa''me\r")
		again.sees("same\r\n")
		if end == nil {
			again.types("exit 6\r")
			again.leaves(6)
			break
		}
		again.types("\x10\x11")
		again.leaves(0)
		end()
	}
}

// TestExecGoesOnOverARestart: commands of before are finished by the process that began them.
func TestExecGoesOnOverARestart(t *testing.T) {
	b := newBox(t)
	id := b.aRoute("--runtime", "process")
	p := b.sit("session", "exec", "-it", id, "--", "sh", "-c", `PS1='> ' exec sh -i`)
	p.sees("> ")
	b.restart()
	p.types("echo still he''re\r")
	p.sees("still here\r\n")
	if got := b.run("session", "exec", id, "--", "echo", "new"); got != "new" {
		t.Errorf("%q", got)
	}
	p.types("exit 5\r")
	p.leaves(5)
	if err := eventually(soon, func() error {
		if all := b.daemons(); len(all) != 1 {
			return fmt.Errorf("processes %v are left", all)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// BenchmarkKeystroke measures the echo of one key, from a person's terminal through the command line, the appliance and
// the session's shell, and back; and, in turns with it, of a terminal of the box itself.
func BenchmarkKeystroke(b *testing.B) {
	box := newBox(b)
	id := box.aRoute("--runtime", "process")
	through := box.sit("session", "exec", "-it", id, "--", "sh", "-c", "stty -icanon -echo; echo ready; exec cat")
	through.sees("ready\r\n")
	master, slave, err := pty.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer master.Close()
	plain := exec.CommandContext(b.Context(), "sh", "-c", "stty -icanon -echo; echo ready; exec cat")
	plain.Stdin, plain.Stdout, plain.Stderr = slave, slave, slave
	plain.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := plain.Start(); err != nil {
		b.Fatal(err)
	}
	_ = slave.Close()
	defer func() { _ = plain.Process.Signal(syscall.SIGKILL); _ = plain.Wait() }()
	direct := &person{t: b, master: master, changed: make(chan struct{})}
	go direct.watch()
	direct.sees("ready\r\n")
	took := map[string][]time.Duration{}
	for b.Loop() {
		for name, p := range map[string]*person{"appliance": through, "box": direct} {
			begun := time.Now()
			p.types("x")
			p.sees("x")
			took[name] = append(took[name], time.Since(begun))
		}
	}
	for name, all := range took {
		slices.Sort(all)
		for _, q := range []int{50, 99} {
			b.ReportMetric(float64(all[len(all)*q/100].Microseconds())/1000, fmt.Sprintf("ms-%s-p%d", name, q))
		}
	}
	b.ReportMetric(0, "ns/op")
}
