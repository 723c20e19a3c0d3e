package private_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/containerd/private"
)

func each(t *testing.T, test func(t *testing.T, p containerdtest.Program)) {
	for _, p := range containerdtest.Programs(t) {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

// start starts or takes over the containerd in dir; whatever is left of it when the test ends is stopped.
func start(t *testing.T, p containerdtest.Program, dir string) *private.Daemon {
	t.Helper()
	return containerdtest.StartIn(t, p, dir)
}

func answers(t *testing.T, address string) {
	t.Helper()
	c, err := client.New(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Version(t.Context()); err != nil {
		t.Fatalf("containerd does not answer: %v", err)
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func TestStartAndStop(t *testing.T) {
	each(t, func(t *testing.T, p containerdtest.Program) {
		d := start(t, p, containerdtest.Dir(t))
		answers(t, d.Address())
		s := d.State()
		if !s.Running || !running(s.PID) || s.Version == "" || s.Restarts != 0 {
			t.Errorf("%+v", s)
		}
		if sid, err := unix.Getsid(s.PID); err != nil || sid != s.PID {
			t.Errorf("it runs in session %d, not one of its own: %v", sid, err)
		}
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if running(s.PID) {
			t.Error("it still runs")
		}
		if _, err := os.Stat(d.Address()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
		if err := d.Stop(t.Context()); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
	})
}

// TestOutlivesItsStarter: what runs is taken over, not started a second time.
func TestOutlivesItsStarter(t *testing.T) {
	each(t, func(t *testing.T, p containerdtest.Program) {
		dir := containerdtest.Dir(t)
		one := start(t, p, dir)
		pid := one.State().PID
		one.Close()
		answers(t, one.Address())
		two := start(t, p, dir)
		if s := two.State(); s.PID != pid || !s.Running {
			t.Errorf("%+v, want the one that ran: %d", s, pid)
		}
		two.Close()

		// A starter that died before it could note which process it was.
		if err := os.Remove(filepath.Join(dir, "containerd.json")); err != nil {
			t.Fatal(err)
		}
		three := start(t, p, dir)
		if s := three.State(); s.PID == pid || running(pid) || !s.Running {
			t.Errorf("%+v: what nobody knows how it was started is to be restarted (%d)", s, pid)
		}
		answers(t, three.Address())
	})
}

func TestDiesWhileNobodyWatches(t *testing.T) {
	p := containerdtest.Programs(t)[1]
	dir := containerdtest.Dir(t)
	one := start(t, p, dir)
	pid := one.State().PID
	one.Close()
	kill(t, pid, unix.SIGKILL)
	eventually(t, "it ends", func() bool { return !running(pid) })

	// Its number goes to another: that one must be left alone.
	file := filepath.Join(dir, "containerd.json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	r["pid"] = os.Getpid()
	if raw, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	two := start(t, p, dir)
	if s := two.State(); s.PID == os.Getpid() || !s.Running {
		t.Errorf("%+v", s)
	}
	answers(t, two.Address())
}

// TestRestartsWhatDies is also one that was taken over, which is no child of ours.
func TestRestartsWhatDies(t *testing.T) {
	each(t, func(t *testing.T, p containerdtest.Program) {
		dir := containerdtest.Dir(t)
		start(t, p, dir).Close()
		d := start(t, p, dir)
		for i := 1; i <= 2; i++ {
			pid := d.State().PID
			kill(t, pid, unix.SIGKILL)
			eventually(t, "it is started again", func() bool {
				s := d.State()
				return s.Running && s.PID != pid && s.Restarts == i
			})
			answers(t, d.Address())
		}
	})
}

// TestReplacesAnother: after an update of containerd, and one that hangs.
func TestReplacesAnother(t *testing.T) {
	programs := containerdtest.Programs(t)
	dir := containerdtest.Dir(t)
	one := start(t, programs[0], dir)
	pid := one.State().PID
	one.Close()
	two := start(t, programs[1], dir)
	if s := two.State(); s.PID == pid || running(pid) || s.Version == one.State().Version {
		t.Errorf("%+v after %+v", s, one.State())
	}
	answers(t, two.Address())
}

func TestStopsOneThatDoesNotListen(t *testing.T) {
	d := start(t, containerdtest.Programs(t)[1], containerdtest.Dir(t))
	pid := d.State().PID
	kill(t, pid, unix.SIGSTOP)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no grace
	if err := d.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if running(pid) {
		t.Error("it still runs")
	}
}

// TestReplacesOneThatHangs: it lives, and answers nobody.
func TestReplacesOneThatHangs(t *testing.T) {
	dir := containerdtest.Dir(t)
	d, err := private.Start(t.Context(), private.Config{Dir: dir, Program: containerdtest.Programs(t)[1].Path, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	pid := d.State().PID
	kill(t, pid, unix.SIGSTOP)
	eventually(t, "another runs", func() bool {
		s := d.State()
		return s.Running && s.PID != pid && s.Restarts == 1
	})
	if running(pid) {
		t.Error("the one that hung still runs")
	}
	answers(t, d.Address())
}

func TestTwoOfThem(t *testing.T) {
	p := containerdtest.Programs(t)[1]
	dir := containerdtest.Dir(t)
	start(t, p, dir)
	_, err := private.Start(t.Context(), private.Config{Dir: dir, Program: p.Path})
	wantHint(t, err, "another palisade")
}

// TestStartThatFails: it says what containerd says, and leaves nothing running.
func TestStartThatFails(t *testing.T) {
	each(t, func(t *testing.T, p containerdtest.Program) {
		dir := containerdtest.Dir(t)
		if err := os.WriteFile(filepath.Join(dir, "root"), nil, 0o600); err != nil { // where a directory must be
			t.Fatal(err)
		}
		_, err := private.Start(t.Context(), private.Config{Dir: dir, Program: p.Path})
		wantHint(t, err, "not a directory")
	})
}

func TestStartThatIsGivenUp(t *testing.T) {
	dir, bin := containerdtest.Dir(t), t.TempDir()
	program := filepath.Join(bin, "containerd")
	script := "#!/bin/sh\n[ \"$1\" = --version ] && { echo containerd x v2.4.2 y; exit; }\necho $$ > " + bin + "/pid\nexec sleep 1000\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var pid int
	go func() {
		for pid == 0 && ctx.Err() == nil {
			raw, _ := os.ReadFile(filepath.Join(bin, "pid"))
			_ = json.Unmarshal(raw, &pid)
		}
		cancel(errors.New("changed my mind"))
	}()
	_, err := private.Start(ctx, private.Config{Dir: dir, Program: program, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "changed my mind") {
		t.Errorf("%v", err)
	}
	if running(pid) {
		t.Error("what was started still runs")
	}
}

func TestLongDirectoryIsRefused(t *testing.T) {
	_, err := private.Start(t.Context(), private.Config{Dir: "/run/" + strings.Repeat("d", 100), Program: containerdtest.Programs(t)[1].Path})
	wantHint(t, err, "sockets take 104 at most")
}

func wantHint(t *testing.T, err error, text string) {
	t.Helper()
	e, ok := errors.AsType[*private.Error](err)
	if !ok || !strings.Contains(err.Error(), text) || e.Hint() == "" {
		t.Errorf("%v, want one that has %q, and a hint", err, text)
	}
}

func kill(t *testing.T, pid int, sig unix.Signal) {
	t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// running reports whether a process lives: what its parent has not asked for yet does not count.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	state := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
	return state != "Z" && state != "X"
}
