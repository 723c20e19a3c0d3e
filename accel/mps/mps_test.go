package mps

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

func TestLimits(t *testing.T) {
	const gib = 1 << 30
	share := func(device string, amount accel.Amount, memory int64) accel.Share {
		return accel.Share{Device: device, Slot: "cuda.shares", Amount: amount, Memory: memory}
	}
	for name, c := range map[string]struct {
		shares []accel.Share
		want   map[string]string
	}{
		"none":           {nil, map[string]string{}},
		"half":           {[]accel.Share{share("a", 50, 40*gib)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=40G", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}},
		"a whole one":    {[]accel.Share{share("a", 100, 80*gib)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=80G"}},
		"two, unlike":    {[]accel.Share{share("b", 30, 24*gib), share("a", 20, 16*gib)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=24G,1=16G", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "20"}},
		"one twice":      {[]accel.Share{share("a", 30, 24*gib), share("a", 20, 16*gib)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=40G", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}},
		"odd sizes":      {[]accel.Share{share("a", 1, 858993459), share("b", 1, 5)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=819M,1=1M", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "1"}},
		"no memory told": {[]accel.Share{share("a", 10, 0), share("b", 10, gib)}, map[string]string{"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "1=1G", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "10"}},
	} {
		if diff := cmp.Diff(c.want, Limits(c.shares)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestWhenAServiceIsStarted(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, seen := range []sight{{own: true}, {other: true}, {own: true, other: true}} {
		if s, do := step(state{failed: 3}, seen, now); do != rest || s.failed != 0 || s.next != now.Add(lookEvery) {
			t.Errorf("%+v: %v, %+v", seen, do, s)
		}
	}
	var s state
	var waits []float64
	for range 10 {
		next, do := step(s, sight{}, now)
		if do != start {
			t.Fatal("it is not started")
		}
		waits, s = append(waits, next.next.Sub(now).Seconds()), next
	}
	want := []float64{1, 2, 4, 8, 16, 32, 64, 120, 120, 120} // seconds
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Error(diff)
	}
}

// box is a place for a service and a stand-in for NVIDIA's program: there is no GPU here.
type box struct{ dir, elsewhere string }

func newBox(t *testing.T) box {
	t.Helper()
	b := box{t.TempDir(), filepath.Join(t.TempDir(), "pipe")}
	if err := os.MkdirAll(b.elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // whatever a test left running
		for _, pipes := range []string{filepath.Join(b.dir, "pipe"), b.elsewhere} {
			if pid := pidIn(pipes); pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return b
}

func pidIn(pipes string) int {
	text, err := os.ReadFile(filepath.Join(pipes, "nvidia-cuda-mps-control.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

func (b box) daemon(t *testing.T) *Daemon {
	t.Helper()
	program, err := filepath.Abs("testdata/nvidia-cuda-mps-control")
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Dir: b.dir, Program: program, Elsewhere: b.elsewhere, Shm: "/mps-shm"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (b box) starts(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "started"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("start"))
}

var half = []accel.Share{{Device: "GPU-a", Slot: "cuda.shares", Amount: 50, Memory: 40 << 30}}

func TestTheServiceIsStartedAdoptedAndStopped(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "7") // must not reach it
	b := newBox(t)
	d := b.daemon(t)
	if grant, err := d.Grant(half); err != nil || grant.Enforced || grant.Env != nil {
		t.Fatalf("before it runs: %+v, %v", grant, err)
	}
	s := d.look(t.Context(), state{})
	if b.starts(t) != 1 || s.failed != 0 {
		t.Fatalf("started %d times, %+v", b.starts(t), s)
	}
	pipes := filepath.Join(b.dir, "pipe")
	grant, err := d.Grant(half)
	want := accel.Grant{
		Env: map[string]string{
			"CUDA_MPS_PIPE_DIRECTORY": pipes, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=40G", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50",
		},
		Mounts: map[string]string{pipes: pipes, "/mps-shm": "/dev/shm"}, Enforced: true,
	}
	if diff := cmp.Diff(want, grant); diff != "" || err != nil {
		t.Error(diff, err)
	}

	again := b.daemon(t) // the daemon was restarted: what runs is taken over
	if again.look(t.Context(), state{}); b.starts(t) != 1 {
		t.Errorf("started %d times", b.starts(t))
	}
	pid := pidIn(pipes)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for syscall.Kill(pid, 0) == nil { // until it is gone
		runtime.Gosched()
	}
	if again.look(t.Context(), s); b.starts(t) != 2 || pidIn(pipes) == pid {
		t.Errorf("it died, and was started %d times", b.starts(t))
	}
	if err := again.Stop(t.Context()); err != nil || again.Answers(t.Context()) != "" {
		t.Errorf("%v; it answers: %q", err, again.Answers(t.Context()))
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestSomebodyElsesServiceIsUsedAndLeftAlone(t *testing.T) {
	b := newBox(t)
	d := b.daemon(t)
	theirs := control{program: d.own.program, pipes: b.elsewhere, logs: t.TempDir()}
	if err := theirs.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.look(t.Context(), state{}); b.starts(t) != 0 {
		t.Error("a second one was started beside theirs")
	}
	grant, err := d.Grant(half)
	if err != nil || grant.Env["CUDA_MPS_PIPE_DIRECTORY"] != b.elsewhere || !grant.Enforced {
		t.Errorf("%+v, %v", grant, err)
	}
	if err := d.Stop(t.Context()); err != nil || !theirs.answers(t.Context()) {
		t.Errorf("theirs was stopped, %v", err)
	}
}

// A name that any user of the box may take first is not enough.
func TestADirectoryOfAnotherIsNotLookedInto(t *testing.T) {
	b := newBox(t)
	theirs := control{program: b.daemon(t).own.program, pipes: b.elsewhere, logs: t.TempDir()}
	if err := theirs.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link") // to what answers: who made the link may make it lead elsewhere
	if err := os.Symlink(b.elsewhere, link); err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Dir: b.dir, Program: theirs.program, Elsewhere: link})
	if err != nil {
		t.Fatal(err)
	}
	if at := d.Answers(t.Context()); at != "" {
		t.Errorf("%s is used", at)
	}
}

func TestAServiceThatDoesNotStart(t *testing.T) {
	b := newBox(t)
	if err := os.WriteFile(filepath.Join(b.dir, "refuse"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := b.daemon(t)
	if err := d.own.start(t.Context()); err == nil || !strings.Contains(err.Error(), "no device is capable of MPS") {
		t.Errorf("%v", err)
	}
	if s := d.look(t.Context(), state{failed: 2}); s.failed != 3 {
		t.Errorf("%+v", s)
	}
	if grant, err := d.Grant(half); err != nil || grant.Enforced {
		t.Errorf("%+v, %v", grant, err)
	}
}

func TestAServiceThatIsSilent(t *testing.T) {
	b := newBox(t)
	if err := os.WriteFile(filepath.Join(b.dir, "mute"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.daemon(t).own.say(ctx, "get_server_list"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestRunEndsWithItsContextAndLeavesTheService(t *testing.T) {
	b := newBox(t)
	d := b.daemon(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Run(ctx) }()
	for d.Answers(t.Context()) == "" { // until it runs
		runtime.Gosched()
	}
	cancel()
	<-ended
	if d.Answers(t.Context()) == "" {
		t.Error("the service ended with Run")
	}
}

func TestABoxWithoutMPS(t *testing.T) {
	if _, err := New(Config{Dir: "/x", Program: "no-such-program-here"}); !errors.Is(err, ErrNone) {
		t.Errorf("%v", err)
	}
	if _, err := New(Config{Dir: "relative", Program: "sh"}); err == nil {
		t.Error("a relative directory")
	}
}
