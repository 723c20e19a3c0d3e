package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// box is an appliance on a data directory of its own, used as its owner would: by the binary.
type box struct {
	t        testing.TB
	dir      string // the data directory
	models   string // where model folders lie
	daemon   *exec.Cmd
	exited   chan struct{}
	log      *safeBuffer
	url      string   // http://127.0.0.1:PORT
	program  string   // whose daemon it is
	activate *os.File // a listener that the daemon is started with, as systemd does; nil: it opens one
	settings []string // flags of every start
	dial     dialer   // nil: as anybody on this machine
	env      []string
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newBox makes a box that has not been started. At the end of the test everything it runs is ended,
// and it is checked that nothing is left.
func newBox(t testing.TB) *box {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "pal-")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, dir: filepath.Join(dir, "data"), models: filepath.Join(dir, "models"), program: have.palisade}
	b.env = append(os.Environ(), "PATH="+have.engine+":"+os.Getenv("PATH"), "PALISADE_DATA="+b.dir)
	if err := os.MkdirAll(b.models, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.endAll()
		if t.Failed() || *onlyFaults != "" {
			t.Logf("the daemon said:\n%s", tail(b.log, 200))
		}
		_ = syscall.Unmount(b.dir, syscall.MNT_DETACH) // where a test gave it a disk of its own
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

func tail(log *safeBuffer, n int) string {
	if log == nil {
		return ""
	}
	lines := strings.Split(log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// start starts the daemon and returns when it is ready.
func (b *box) start(args ...string) {
	b.t.Helper()
	err := eventually(soon, func() error {
		err := b.launch(args...)
		// While it was down, a connection of some other test may have taken its port for its own end.
		if err != nil && !strings.Contains(b.log.String(), "the port is taken") {
			return stop{err}
		}
		return err
	})
	if err != nil {
		b.t.Fatalf("%v: %s", err, tail(b.log, 5))
	}
}

func (b *box) launch(args ...string) error {
	listen := "127.0.0.1:0"
	if b.url != "" { // a restart keeps its port
		listen = strings.TrimPrefix(b.url, "http://")
	}
	b.daemon = exec.Command(b.program, append([]string{"serve", "--data", b.dir, "--listen", listen}, slices.Concat(b.settings, args)...)...)
	b.daemon.Env = b.env
	if b.activate != nil { // for whom it is can be known only when it runs
		b.daemon = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, b.daemon.Args...)...)
		b.daemon.Env = slices.Concat(b.env, []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=palisade.socket"})
		b.daemon.ExtraFiles = []*os.File{b.activate}
	}
	// A session of its own, as under an init system: a signal to the tests' terminal is not for it.
	b.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	b.log = &safeBuffer{}
	b.daemon.Stdout, b.daemon.Stderr = b.log, b.log
	if err := b.daemon.Start(); err != nil {
		return err
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) { _ = cmd.Wait(); close(exited) }(b.daemon, b.exited)
	ready := eventually(soon, func() error {
		select {
		case <-b.exited:
			return stop{fmt.Errorf("the daemon ended: %s", b.daemon.ProcessState)}
		default:
		}
		if b.url == "" {
			var version struct{ Server struct{ Gateway string } }
			out, _, code := b.cli("version", "--output", "json")
			if code != 0 || json.Unmarshal([]byte(out), &version) != nil || !strings.HasPrefix(version.Server.Gateway, "http") {
				return errors.New("not on its socket yet")
			}
			b.url = strings.TrimSuffix(version.Server.Gateway, "/v1")
		}
		return b.get("/readyz")
	})
	return ready
}

func (b *box) get(path string) error {
	resp, err := b.http().Get(b.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// http is a client that reaches the box.
func (b *box) http() *http.Client {
	if b.dial == nil {
		return http.DefaultClient
	}
	return &http.Client{Transport: &http.Transport{DialContext: b.dial, DisableKeepAlives: true}}
}

// kill ends the daemon as a power failure of its process would.
func (b *box) kill() {
	b.t.Helper()
	if err := b.daemon.Process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	<-b.exited
}

// stop ends the daemon as an init system would.
func (b *box) stop() {
	b.t.Helper()
	if err := b.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	select {
	case <-b.exited:
	case <-time.After(30 * time.Second):
		b.t.Fatal("the daemon did not stop within 30 s of SIGTERM")
	}
}

// endAll removes all services, stops the daemon and looks that no process is left.
func (b *box) endAll() {
	if b.daemon == nil {
		return
	}
	select {
	case <-b.exited:
		b.t.Logf("the daemon had ended before; it said:\n%s", tail(b.log, 60))
		if err := b.launch(); err != nil {
			b.t.Errorf("starting the daemon to clean up: %v", err)
			return
		}
	default:
	}
	names, _, _ := b.cli("service", "list", "-q")
	for name := range strings.FieldsSeq(names) {
		b.cli("service", "rm", name)
	}
	ids, _, _ := b.cli("session", "list", "-q")
	for id := range strings.FieldsSeq(ids) {
		b.cli("session", "rm", "--forced", id)
	}
	if err := eventually(60*time.Second, func() error {
		for _, kind := range []string{"service", "session"} {
			if left, _, _ := b.cli(kind, "list", "-q"); strings.TrimSpace(left) != "" {
				return fmt.Errorf("left of %ss: %s", kind, left)
			}
		}
		return nil
	}); err != nil {
		b.t.Error(err)
	}
	b.stop()
	if err := eventually(soon, func() error { return noneLeft(b.dir) }); err != nil {
		b.t.Error(err)
	}
}

// noneLeft reports processes that were started for the data directory and still run.
func noneLeft(dir string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(cmdline), dir) {
			return fmt.Errorf("process %s is left: %s", e.Name(), strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return nil
}

// cli runs the command line as the owner would.
func (b *box) cli(args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, have.palisade, args...)
	cmd.Env = b.env
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return "", err.Error(), -1
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// run is cli that must succeed; it returns what was printed.
func (b *box) run(args ...string) string {
	b.t.Helper()
	out, errText, code := b.cli(args...)
	if code != 0 {
		b.t.Fatalf("palisade %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errText)
	}
	return strings.TrimSpace(out)
}

// fails is cli that must fail with the code, and say all of words.
func (b *box) fails(code int, words []string, args ...string) {
	b.t.Helper()
	out, errText, got := b.cli(args...)
	if got != code {
		b.t.Errorf("palisade %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errText)
	}
	for _, w := range words {
		if !strings.Contains(errText, w) {
			b.t.Errorf("palisade %s does not say %q:\n%s", strings.Join(args, " "), w, errText)
		}
	}
}

// into runs the command and reads its JSON.
func (b *box) into(v any, args ...string) {
	b.t.Helper()
	out := b.run(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		b.t.Fatalf("palisade %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// folder makes a model folder with a definition and files, and imports it.
func (b *box) folder(name, definition string, files map[string]string) string {
	b.t.Helper()
	dir := filepath.Join(b.models, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for file, from := range files {
		if err := copyFile(filepath.Join(dir, file), from); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "model-definition.yaml"), []byte(definition), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.run("folder", "import", dir, "--name", name)
	return dir
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// stop ends eventually early with what it wraps.
type stop struct{ error }

// soon bounds the wait for what comes within moments on a quiet box: on a busy one it comes later.
const soon = 90 * time.Second

// eventually asks until there is no error, for so long at most. A question that takes long is not asked as often: it would take from
// what it waits for.
func eventually(within time.Duration, ask func() error) error {
	for began := time.Now(); ; {
		asked := time.Now()
		err := ask()
		if err == nil {
			return nil
		}
		if s, ok := errors.AsType[stop](err); ok {
			return s.error
		}
		if time.Since(began) >= within {
			return fmt.Errorf("after %s: %w", within, err)
		}
		<-time.After(min(max(5*time.Millisecond, 2*time.Since(asked)), 250*time.Millisecond))
	}
}

// rewrite replaces words of a folder's definition.
func (b *box) rewrite(folder string, words *strings.Replacer) {
	b.t.Helper()
	file := filepath.Join(b.models, folder, "model-definition.yaml")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(words.Replace(string(text))), 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
