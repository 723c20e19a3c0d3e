package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/variants"
)

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func spec(id, script string) sessions.Spec {
	return sessions.Spec{ID: id, Image: process.HostImage, Processes: []variants.Process{{Argv: shell(script), WorkDir: "/"}}}
}

func start(t testing.TB, r *process.Runtime, s sessions.Spec) sessions.Instance {
	t.Helper()
	in, err := r.Start(bounded(t), s)
	if err != nil {
		t.Fatalf("starting %s: %v", s.ID, err)
	}
	t.Cleanup(func() {
		_ = r.Stop(context.Background(), s.ID, 0)
		if err := r.Remove(context.Background(), s.ID); err != nil {
			t.Errorf("removing %s: %v", s.ID, err)
		}
	})
	return in
}

// ended waits for id and returns its exit and its log.
func ended(t testing.TB, r *process.Runtime, id string) (sessions.Exit, string) {
	t.Helper()
	exit, err := r.Wait(bounded(t), id)
	if err != nil {
		t.Fatalf("waiting for %s: %v", id, err)
	}
	l, err := r.Logs(bounded(t), id, sessions.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text, err := io.ReadAll(l)
	if err != nil {
		t.Fatal(err)
	}
	return exit, string(text)
}

func firstLine(t testing.TB, r *process.Runtime, id string) {
	t.Helper()
	l, err := r.Logs(bounded(t), id, sessions.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the log of %s: %v", id, err)
	}
}

func listed(t testing.TB, r *process.Runtime) map[string]sessions.Instance {
	t.Helper()
	list, err := r.List(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]sessions.Instance{}
	for _, in := range list {
		byID[in.ID] = in
	}
	return byID
}

func hintOf(err error) string {
	for ; err != nil; err = unwrap(err) {
		if h, ok := err.(interface{ Hint() string }); ok {
			return h.Hint()
		}
	}
	return ""
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

func TestAnotherImageIsRefused(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t)})
	if err := r.Pull(t.Context(), "host", nil); err != nil {
		t.Error(err)
	}
	err := r.Pull(t.Context(), "vllm/vllm-openai:latest", nil)
	if err == nil || !strings.Contains(hintOf(err), "host") {
		t.Errorf("pull: %v, hint %q", err, hintOf(err))
	}
	s := spec("a", "true")
	s.Image = "busybox"
	if _, err := r.Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), "busybox") {
		t.Errorf("start: %v", err)
	}
}

func TestSpecsThatCannotStart(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t)})
	for name, change := range map[string]func(*sessions.Spec){
		"an id that leaves the root": func(s *sessions.Spec) { s.ID = "../x" },
		"an empty id":                func(s *sessions.Spec) { s.ID = "" },
		"no process":                 func(s *sessions.Spec) { s.Processes = nil },
		"no command":                 func(s *sessions.Spec) { s.Processes[0].Argv = nil },
		"a relative mount":           func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/tmp", Target: "models"}} },
		"a mount over all":           func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/tmp", Target: "/"}} },
		"a relative scratch":         func(s *sessions.Spec) { s.Scratch = []string{"cache"} },
		"a mount on a file":          func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/usr", Target: "/etc/passwd"}} },
		"a mount below a file":       func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/usr", Target: "/etc/passwd/x"}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec("a", "true")
			change(&s)
			if in, err := r.Start(bounded(t), s); err == nil {
				t.Errorf("it started: %+v", in)
			}
			if list := listed(t, r); len(list) != 0 {
				t.Errorf("left: %v", list)
			}
		})
	}
	left, err := os.ReadDir(t.TempDir())
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestHiddenIsHidden(t *testing.T) {
	data := t.TempDir()
	public := filepath.Join(data, "folders", "m")
	secret := filepath.Join(data, "secret")
	if err := os.MkdirAll(public, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{secret, filepath.Join(public, "weights")} {
		if err := os.WriteFile(f, []byte("text\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Where it can be seen through: not below /tmp, which no session shares with the box.
	visible := "/var/lib/palisade-test-" + filepath.Base(data)
	if err := os.Mkdir(visible, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(visible) })
	if err := unix.Mount(data, visible, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(visible, unix.MNT_DETACH) })

	t.Cleanup(func() { removeParents(t, filepath.Join(visible, "process")) })
	r := open(t, process.Config{Root: filepath.Join(visible, "process"), Hide: []string{visible, "/no/such/directory"}})
	s := spec("a", "ls -A "+visible+" | wc -l; cat "+secret+" 2>/dev/null || echo gone; cat /models/weights")
	s.Mounts = []sessions.Mount{{Source: filepath.Join(visible, "folders", "m"), Target: "/models", ReadOnly: true}}
	start(t, r, s)
	if _, log := ended(t, r, "a"); log != "0\ngone\ntext\n" {
		t.Errorf("the session sees\n%s", log)
	}
}

func TestTheBoxSeesNothingOfASession(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(t)
	r := open(t, process.Config{Root: root})
	s := spec("a", "hostname; ls /run | wc -l; echo ready; exec sleep 1000")
	s.Name = "a name of its own"
	start(t, r, s)
	firstLine(t, r, "a")
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("%v; mounts before\n%s\nafter\n%s", err, before, after)
	}
	inside, err := os.ReadDir(filepath.Join(root, "instances", "a", "root"))
	if err != nil || len(inside) != 0 {
		t.Errorf("the root's place holds %v, %v", inside, err)
	}
}

// TestLongPaths: a socket's address has 108 bytes, a data directory may be longer.
func TestLongPaths(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	t.Cleanup(func() { removeParents(t, root) })
	r := open(t, process.Config{Root: root})
	start(t, r, spec("a-session-with-a-name-that-is-rather-long-too", "exec sleep 1000"))
	if err := r.Stop(bounded(t), "a-session-with-a-name-that-is-rather-long-too", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestPortsOfASharedNetwork(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	s := spec("a", "exec sleep 1000")
	s.Processes[0].Port = taken
	_, err = r.Start(bounded(t), s)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(taken)) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) || hintOf(err) == "" {
		t.Errorf("a port that a program has: %v, hint %q", err, hintOf(err))
	}
	l.Close()
	if in := start(t, r, s); in.Address != "127.0.0.1" {
		t.Errorf("%+v", in)
	}
	s.ID = "b"
	if _, err = r.Start(bounded(t), s); err == nil || !strings.Contains(err.Error(), "session a") {
		t.Errorf("a port that a session has: %v", err)
	}
	if err := r.Stop(bounded(t), "a", 0); err != nil {
		t.Fatal(err)
	}
	start(t, r, s)
}

// TestTheDaemonIsKilled is the real thing: a daemon, another process, starts two sessions, is killed
// with all that is in its process group, and another adopts them.
func TestTheDaemonIsKilled(t *testing.T) {
	root := newRoot(t)
	daemon := exec.Command(executable(t), "daemon", root)
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	daemon.Stderr = os.Stderr
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Fscan(out, &a, &b); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = daemon.Wait()

	r := open(t, process.Config{Root: root})
	list := listed(t, r)
	if len(list) != 2 || !list["a"].Running || list["a"].PID != a || !list["b"].Running || list["b"].PID != b {
		t.Fatalf("of processes %d and %d this is left: %+v", a, b, list)
	}
	if err := r.Stop(bounded(t), "a", time.Minute); err != nil {
		t.Error(err)
	}
	if exit, log := ended(t, r, "a"); exit.Reason != sessions.ExitStopped || log != "ready\nbye\n" {
		t.Errorf("a: %+v\n%s", exit, log)
	}
	if err := syscall.Kill(b, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit, _ := ended(t, r, "b"); exit.Reason != sessions.ExitKilled {
		t.Errorf("b: %+v", exit)
	}
	for _, id := range []string{"a", "b"} {
		if err := r.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// daemonForever starts two sessions, tells their pids and waits to be killed.
func daemonForever(root string) {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	r, err := process.New(process.Config{Root: root, Executable: exe})
	if err != nil {
		panic(err)
	}
	var pids []int
	for _, id := range []string{"a", "b"} {
		in, err := r.Start(context.Background(), spec(id, "trap 'echo bye; exit 0' TERM; sleep 1000 & echo ready; wait"))
		if err != nil {
			panic(err)
		}
		l, err := r.Logs(context.Background(), id, sessions.LogOptions{Follow: true})
		if err != nil {
			panic(err)
		}
		_, _ = l.Read(make([]byte, 1))
		pids = append(pids, in.PID)
	}
	fmt.Println(pids[0], pids[1])
	select {}
}

func TestTheSupervisorIsKilled(t *testing.T) {
	root := newRoot(t)
	cfg := process.Config{Root: root}
	r := open(t, cfg)
	in := start(t, r, spec("a", "(setsid sleep 1000 &); echo ready; exec sleep 1000"))
	firstLine(t, r, "a")
	waited := make(chan sessions.Exit, 1)
	go func() {
		exit, err := r.Wait(context.Background(), "a")
		if err != nil {
			t.Error(err)
		}
		waited <- exit
	}()
	process, err := unix.PidfdOpen(in.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(process)
	if err := syscall.Kill(parentOf(t, in.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit := <-waited; exit.Reason != sessions.ExitUnknown || !strings.Contains(exit.Message, "supervisor") {
		t.Errorf("%+v", exit)
	}
	ended, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		ended, err = unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, 30_000)
	}
	if ended != 1 || err != nil {
		t.Errorf("the session's process outlived its supervisor: %v", err)
	}
	if got := listed(t, open(t, cfg))["a"]; got.Running || got.Exit == nil || got.Exit.Reason != sessions.ExitUnknown {
		t.Errorf("%+v", got)
	}
	if err := r.Stop(t.Context(), "a", 0); err != nil {
		t.Error(err)
	}
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var state string
	var parent int
	if _, err := fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &state, &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}

// TestSupervisorThatHangs: a stop ends even what does not answer.
func TestSupervisorThatHangs(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t)})
	in := start(t, r, spec("a", "echo ready; exec sleep 1000"))
	firstLine(t, r, "a")
	if err := syscall.Kill(parentOf(t, in.PID), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(bounded(t), "a", 0); err != nil {
		t.Error(err)
	}
	if syscall.Kill(in.PID, 0) == nil {
		t.Error("the process is still there")
	}
	if exit, _ := ended(t, r, "a"); exit.Reason != sessions.ExitUnknown {
		t.Errorf("%+v", exit)
	}
}

// TestHalfMade: a daemon may be killed between any two steps of a start or a remove.
func TestHalfMade(t *testing.T) {
	root := newRoot(t)
	cfg := process.Config{Root: root}
	r := open(t, cfg)
	start(t, r, spec("good", "exit 3"))
	_, _ = ended(t, r, "good")
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	record, err := os.ReadFile(at("instances", "good", "spec.json"))
	if err != nil {
		t.Fatal(err)
	}
	for id, files := range map[string][]string{
		"directory-only": nil,
		"locked":         {"lock"},
		"half-record":    {"lock", "spec.json.tmp"},
		"recorded":       {"lock", "spec.json", "exit.new"},
		"listening":      {"lock", "spec.json", "exit.new", "sock"},
	} {
		if err := os.MkdirAll(at("instances", id, "log"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if err := os.WriteFile(at("instances", id, name), bytes.ReplaceAll(record, []byte(`"good"`), []byte(`"`+id+`"`)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(at("removing", "gone", "scratch"), 0o700); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	var ids []string
	for id, in := range listed(t, r) {
		ids = append(ids, id)
		if in.Running || in.Exit == nil {
			t.Errorf("%s: %+v", id, in)
		} else if id != "good" && in.Exit.Reason != sessions.ExitStartFailed {
			t.Errorf("%s: %+v", id, in.Exit)
		}
	}
	slices.Sort(ids)
	if want := []string{"good", "listening", "recorded"}; !slices.Equal(ids, want) {
		t.Errorf("listed are %v, want %v", ids, want)
	}
	for _, id := range ids {
		if id != "good" {
			if err := r.Remove(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	}
	for dir, want := range map[string]int{"instances": 1, "removing": 0} {
		if left, err := os.ReadDir(at(dir)); err != nil || len(left) != want {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}

func TestTheBoxWasRestarted(t *testing.T) {
	root := newRoot(t)
	r := open(t, process.Config{Root: root})
	start(t, r, spec("a", "exit 0"))
	_, _ = ended(t, r, "a")
	lock, err := os.Open(filepath.Join(root, "instances", "a", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, how := range []int{unix.LOCK_SH, unix.LOCK_UN} { // the supervisor is gone
		if err := unix.Flock(int(lock.Fd()), how); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(root, "instances", "a", "spec.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, bytes.TrimSpace(boot), []byte("another-boot"))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, "instances", "a", "exit.json")); err != nil {
		t.Fatal(err)
	}
	in := listed(t, r)["a"]
	if in.Exit == nil || in.Exit.Reason != sessions.ExitUnknown || !strings.Contains(in.Exit.Message, "restarted") {
		t.Errorf("%+v", in)
	}
}

// TestFullDisk: the session runs on, its log says what it lost, and its exit is kept.
func TestFullDisk(t *testing.T) {
	root := newRoot(t)
	if err := unix.Mount("small", root, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	r := open(t, process.Config{Root: root, LogSize: 64 << 20})
	start(t, r, spec("a", "yes 'a line' | head -c 8000000; echo the end; exit 5"))
	exit, log := ended(t, r, "a")
	if exit.Reason != sessions.ExitFailed || exit.Code != 5 || !strings.Contains(exit.Message, "the end") {
		t.Errorf("%+v", exit)
	}
	if len(log) < 1<<20 || len(log) > 2<<20 {
		t.Errorf("%d bytes of the log are kept", len(log))
	}
	if in := listed(t, open(t, process.Config{Root: root}))["a"]; in.Exit == nil || in.Exit.Code != 5 {
		t.Errorf("%+v", in)
	}
	if _, err := r.Start(bounded(t), spec("b", "true")); err == nil {
		t.Cleanup(func() { _ = r.Remove(context.Background(), "b") })
	}
}

func TestCgroupsAreGoneInTheEnd(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t)})
	can := r.Capabilities()
	s := spec("only-this-one", "echo ready; exec sleep 1000")
	s.Limits = sessions.Limits{MilliCPU: 500, Memory: 64 << 20, Pids: 50}
	start(t, r, s)
	firstLine(t, r, s.ID)
	find := func() []string {
		found, _ := filepath.Glob("/sys/fs/cgroup/*/palisade/*/only-this-one")
		unified, _ := filepath.Glob("/sys/fs/cgroup/palisade/*/only-this-one")
		return append(found, unified...)
	}
	if found := find(); (len(found) > 0) != (can.MemoryLimit || can.CPULimit || can.PidsLimit) {
		t.Errorf("with %+v these were made: %v", can, found)
	}
	if err := r.Stop(bounded(t), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	if left := find(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDiagnose(t *testing.T) {
	r := open(t, process.Config{Root: newRoot(t), Network: openNetwork(t)})
	can := r.Capabilities()
	if !can.OwnNetwork {
		t.Errorf("%+v", can)
	}
	limits := 0
	for _, f := range r.Diagnose(bounded(t)) {
		t.Logf("%-10s %t %s", f.Subject, f.OK, f.Text)
		if f.Text == "" || !f.OK && (f.Hint == "" || f.Subject != "limits") {
			t.Errorf("%+v", f)
		}
		if f.Subject == "limits" && f.OK {
			limits++
		}
	}
	if want := count(can.MemoryLimit, can.CPULimit, can.PidsLimit); limits != want {
		t.Errorf("it says that %d limits can be set, and can set %d", limits, want)
	}
	bad, err := process.New(process.Config{Root: newRoot(t), Executable: "/bin/false"})
	if err != nil {
		t.Fatal(err)
	}
	var faults int
	for _, f := range bad.Diagnose(bounded(t)) {
		if !f.OK {
			faults++
			if f.Hint == "" {
				t.Errorf("%+v has no hint", f)
			}
		}
	}
	if want := 2 + 3 - limits; faults != want { // namespaces, network, limits
		t.Errorf("%d faults, want %d", faults, want)
	}
	if _, err := bad.Start(bounded(t), spec("a", "true")); err == nil || len(listed(t, bad)) != 0 {
		t.Errorf("a supervisor that ends at once: %v", err)
	}
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}
