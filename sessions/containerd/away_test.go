package containerd_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// TestContainerdIsAway: what runs goes on, what ends is known, what needs containerd says that it is away,
// and the same runtime works again once it is back.
func TestContainerdIsAway(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBoxAlone(t, p)
		b.start(spec("runs", shell("echo ready; exec sleep 1000")...))
		b.start(spec("ends", shell("trap 'echo bye; exit 5' USR1; echo ready; while :; do sleep 0.05; done")...))
		stopped := b.start(spec("stopped", shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")...))
		killed := b.start(spec("killed", shell("echo ready; exec sleep 1000")...))
		for _, id := range []string{"runs", "ends", "stopped", "killed"} {
			b.awaitLine(id, "ready")
		}
		waited := make(chan sessions.Exit, 1)
		go func() {
			exit, err := b.Wait(bounded(t), "ends")
			if err != nil {
				t.Error(err)
			}
			waited <- exit
		}()
		ends, err := b.Inspect(bounded(t), "ends")
		if err != nil {
			t.Fatal(err)
		}
		b.down()
		if err := unix.Kill(ends.PID, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if exit := <-waited; exit.Code != 5 || exit.Reason != sessions.ExitFailed {
			t.Errorf("what ended meanwhile: %+v", exit)
		}
		if err := b.Stop(bounded(t), "stopped", time.Minute); err != nil {
			t.Errorf("stop: %v", err)
		}
		if unix.Kill(stopped.PID, 0) == nil {
			t.Error("it runs after a stop")
		}
		parent := parentOf(t, killed.PID)
		if err := unix.Kill(parent, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}

		_, startErr := b.Start(bounded(t), spec("new", "true"))
		_, execErr := b.Exec(bounded(t), "runs", sessions.ExecSpec{Argv: []string{"true"}})
		_, statErr := b.Stats(bounded(t), "runs")
		for doing, err := range map[string]error{"start": startErr, "exec": execErr, "stats": statErr} {
			if !errors.Is(err, sessions.ErrRuntimeDown) {
				t.Errorf("%s: %v", doing, err)
			}
		}
		if err := b.Remove(bounded(t), "ends"); !errors.Is(err, sessions.ErrRuntimeDown) {
			t.Errorf("remove: %v", err)
		}
		short, cancel := context.WithTimeout(bounded(t), time.Second)
		defer cancel()
		if exit, err := b.Wait(short, "killed"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sessions.ErrRuntimeDown) {
			t.Errorf("how a first process was killed is known without containerd: %+v, %v", exit, err)
		}
		list, err := b.List(bounded(t))
		if err != nil || len(list) != 4 {
			t.Errorf("listed: %+v, %v", list, err)
		}

		b.up()
		if exit, err := b.Wait(bounded(t), "killed"); err != nil || exit.Reason != sessions.ExitKilled && exit.Reason != sessions.ExitUnknown {
			t.Errorf("killed: %+v, %v", exit, err)
		}
		if got := b.execs("runs", "echo", "goes on"); got != "goes on\n" {
			t.Errorf("a command: %q", got)
		}
		if st, err := b.Stats(bounded(t), "runs"); err != nil || st.Memory <= 0 {
			t.Errorf("%+v, %v", st, err)
		}
		b.ends("stopped", sessions.ExitStopped, 0)
		if text := b.ends("ends", sessions.ExitFailed, 5); text != "ready\nbye\n" {
			t.Errorf("its log: %q", text)
		}
		if got := b.runs(spec("new"), "echo works"); got != "works\n" {
			t.Errorf("a new one: %q", got)
		}
	})
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	return atoi(strings.Fields(string(b)[strings.LastIndex(string(b), ")")+1:])[1])
}

// TestContainerdIsKilledUnderway: starts and ends that are under way when containerd dies come to an end,
// and nothing of them is left once it is back.
func TestContainerdIsKilledUnderway(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBoxAlone(t, p)
		var done = make(chan error)
		const n = 6
		for i := range n {
			go func() {
				id := "s" + itoa(i)
				_, err := b.Start(bounded(t), spec(id, "sleep", "1000"))
				if err == nil && i%2 == 0 {
					err = b.Stop(bounded(t), id, 0)
				}
				done <- err
			}()
		}
		pid := b.daemon.State().PID
		time.AfterFunc(50*time.Millisecond, func() { _ = unix.Kill(pid, unix.SIGKILL) })
		for range n {
			if err := <-done; err != nil && !errors.Is(err, sessions.ErrRuntimeDown) {
				t.Errorf("a start or a stop: %v", err)
			}
		}
		var fresh *containerd.Runtime
		for ctx := bounded(t); fresh == nil; { // it is started again by who supervises it
			var err error
			fresh, err = containerd.New(ctx, b.cfg)
			if err != nil && (!errors.Is(err, sessions.ErrRuntimeDown) || ctx.Err() != nil) {
				t.Fatal(err)
			}
		}
		defer fresh.Close()
		list, err := fresh.List(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range list {
			if err := errors.Join(fresh.Stop(bounded(t), in.ID, 0), fresh.Remove(bounded(t), in.ID)); err != nil {
				t.Error(err)
			}
		}
		if left := b.left(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// TestContainerdHangs: it is there and answers nobody. What needs no answer works; what does says that it is away.
func TestContainerdHangs(t *testing.T) {
	b := newBoxAlone(t, newest(t))
	b.start(spec("runs", shell("echo ready; exec sleep 1000")...))
	b.awaitLine("runs", "ready")
	var parents []int
	for i := range 4 {
		id := "killed" + itoa(i)
		in := b.start(spec(id, shell("echo ready; exec sleep 1000")...))
		b.awaitLine(id, "ready")
		parents = append(parents, parentOf(t, in.PID))
	}
	pid := b.daemon.State().PID
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, parent := range parents {
		if err := unix.Kill(parent, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	list, err := b.List(bounded(t))
	if err != nil || len(list) != 5 {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("a list took %v", took)
	}
	short, cancel := context.WithTimeout(bounded(t), time.Second)
	defer cancel()
	if exit, err := b.Wait(short, "killed0"); !errors.Is(err, sessions.ErrRuntimeDown) {
		t.Errorf("%+v, %v", exit, err)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if exit, err := b.Wait(bounded(t), "killed0"); err != nil || exit.Reason != sessions.ExitKilled {
		t.Errorf("%+v, %v", exit, err)
	}
	if got := b.execs("runs", "echo", "goes on"); got != "goes on\n" {
		t.Errorf("a command: %q", got)
	}
}

func TestTheFirstProcessIsKilled(t *testing.T) {
	b := newBox(t, newest(t))
	in := b.start(spec("a", shell("echo ready; exec sleep 1000")...))
	b.awaitLine("a", "ready")
	if err := unix.Kill(parentOf(t, in.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.ends("a", sessions.ExitKilled, 137)
}

func TestOpeningWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	cfg := containerd.Config{Address: dir + "/c.sock", Root: dir + "/root"}
	if _, err := containerd.New(t.Context(), cfg); !errors.Is(err, sessions.ErrNotSupported) || !strings.Contains(hintOf(err), "make build") {
		t.Errorf("without a first process: %v, hint %q", err, hintOf(err))
	}
	cfg.Init = executable("x")
	if _, err := containerd.New(t.Context(), cfg); !errors.Is(err, sessions.ErrRuntimeDown) || !strings.Contains(hintOf(err), "apt-get install containerd") {
		t.Errorf("no socket: %v, hint %q", err, hintOf(err))
	}
}
