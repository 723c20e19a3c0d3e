package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/sessions"
)

func newKey(t *testing.T) xssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rig is a server with a box behind it.
type rig struct {
	t      *testing.T
	server *Server
	box    *box
	addr   string
	key    xssh.Signer
	log    *safeBuffer
	opened chan string // sessions that somebody is connected with, "-" in front when they go
}

type safeBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{} // of size 1
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.b.Write(p)
}

// await returns when words are there.
func (s *safeBuffer) await(t *testing.T, words ...string) {
	t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s.String(), w) }) {
		select {
		case <-s.more:
		case <-late.C:
			t.Fatalf("%q is not all in: %s", words, s.String())
		}
	}
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, key: newKey(t), log: &safeBuffer{more: make(chan struct{}, 1)}, opened: make(chan string, 100)}
	r.box = &box{
		all: []sessions.Session{
			{ID: "ses-1", Name: "desk", Project: "default", Status: sessions.StatusRunning, Type: sessions.TypeInteractive},
			{ID: "ses-2", Name: "late", Project: "default", Status: sessions.StatusPending, Reason: "waits for 2 cuda.device", Type: sessions.TypeInteractive},
		},
		keys: map[string]authorized.Key{xssh.FingerprintSHA256(r.key.PublicKey()): {ID: "sshkey-1", Name: "laptop", Owner: "ada"}},
	}
	r.server = New(newKey(t), slog.New(slog.NewTextHandler(r.log, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = r.server.Serve(l) }()
	r.enter()
	t.Cleanup(func() {
		l.Close()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r.server.End(ctx, errors.New("the test is over"))
		if n := r.server.Count(); n > 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return r
}

func (r *rig) enter() {
	r.server.Enter(World{Sessions: r.box, Keys: r.box, Accessed: func(session string) func() {
		r.opened <- session
		return func() { r.opened <- "-" + session }
	}})
}

func (r *rig) dial(user string, key xssh.Signer) (*xssh.Client, error) {
	return xssh.Dial("tcp", r.addr, &xssh.ClientConfig{
		User: user, Auth: []xssh.AuthMethod{xssh.PublicKeys(key)}, HostKeyCallback: xssh.FixedHostKey(r.server.HostKey()), Timeout: 10 * time.Second,
	})
}

func (r *rig) client(user string) *xssh.Client {
	r.t.Helper()
	c, err := r.dial(user, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// ran is how a command ended for its client.
type ran struct {
	out, said, signal string
	code              int
}

func (r *rig) run(c *xssh.Client, line string, stdin io.Reader) (out ran) {
	r.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	var stdout, stderr bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = stdin, &stdout, &stderr
	err = s.Run(line)
	out.out, out.said = stdout.String(), stderr.String()
	if exit, ok := errors.AsType[*xssh.ExitError](err); ok {
		out.code, out.signal = exit.ExitStatus(), exit.Signal()
	} else if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestCommands(t *testing.T) {
	r := newRig(t)
	r.box.exec = func(_ context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
		if cmd.Argv[0] != "/.palisade/init" || cmd.Argv[1] != "shell" || cmd.Terminal != nil {
			t.Errorf("%q runs", cmd.Argv)
		}
		switch cmd.Argv[2] {
		case "cat":
			n, err := io.Copy(cmd.Stdout, cmd.Stdin)
			if err != nil {
				t.Error(n, err)
			}
			_, _ = io.WriteString(cmd.Stderr, cmd.Env["SSH_CONNECTION"])
			return sessions.Exit{Reason: sessions.ExitCompleted}, nil
		case "killed":
			return sessions.Exit{Reason: sessions.ExitKilled, Code: 137, Signal: "SIGKILL"}, nil
		case "absent":
			return sessions.Exit{Reason: sessions.ExitStartFailed, Code: 127, Message: "command /.palisade/init: not found"}, nil
		case "broken":
			return sessions.Exit{}, errors.New("runc has crashed\x1b[2J")
		}
		return sessions.Exit{Reason: sessions.ExitFailed, Code: 3}, nil
	}
	c := r.client("desk")
	big := make([]byte, 5<<20)
	_, _ = rand.Read(big)
	if got := r.run(c, "cat", bytes.NewReader(big)); got.out != string(big) || got.code != 0 || !strings.HasPrefix(got.said, "127.0.0.1 ") {
		t.Errorf("%d bytes came back, %q, %d", len(got.out), got.said, got.code)
	}
	if got := r.run(c, "fail", nil); got.code != 3 || got.out+got.said != "" {
		t.Errorf("%+v", got)
	}
	if got := r.run(c, "killed", nil); got.code != 137 || got.signal != "KILL" {
		t.Errorf("%+v", got)
	}
	if got := r.run(c, "absent", nil); got.code != 127 || !strings.Contains(got.said, "palisade session restart desk") {
		t.Errorf("%+v", got)
	}
	if got := r.run(c, "broken", nil); got.code != 255 || got.said != "palisade: runc has crashed\uFFFD[2J\r\n" {
		t.Errorf("%+v", got)
	}
	if got := r.run(c, strings.Repeat("x", longestCommand+1), nil); got.code != 255 || !strings.Contains(got.said, "the command has 131072 bytes") {
		t.Errorf("%d %q", got.code, got.said)
	}
	if s := <-r.opened; s != "ses-1" {
		t.Errorf("connected with %s", s)
	}
	c.Close()
	if s := <-r.opened; s != "-ses-1" {
		t.Errorf("left %s", s)
	}
	if log := r.log.String(); !strings.Contains(log, "key=laptop owner=ada") || !strings.Contains(log, "could not be kept") {
		t.Error(log)
	}
}

func TestWhoHasNoSession(t *testing.T) {
	r := newRig(t)
	if got := r.run(r.client("late"), "ls", nil); got.code != 255 || !strings.Contains(got.said, "session late does not run: it is PENDING, waits for 2 cuda.device") {
		t.Errorf("%+v", got)
	}
	nobody := r.client("nobody")
	if got := r.run(nobody, "ls", nil); got.code != 255 || !strings.Contains(got.said, `no session "nobody"`) || !strings.Contains(got.said, "desk, late") {
		t.Errorf("%+v", got)
	}
	if _, err := nobody.Dial("tcp", "localhost:80"); err == nil || !strings.Contains(err.Error(), "no session") {
		t.Errorf("a port of nothing: %v", err)
	}
	if _, err := r.dial("desk", newKey(t)); err == nil || strings.Contains(err.Error(), "session") {
		t.Errorf("a wrong key: %v", err)
	}
	r.log.await(t, "somebody was not let in by SSH", "user=desk")
	if _, err := xssh.Dial("tcp", r.addr, &xssh.ClientConfig{
		User: "desk", Auth: []xssh.AuthMethod{xssh.Password("secret")}, HostKeyCallback: xssh.InsecureIgnoreHostKey(),
	}); err == nil || !strings.Contains(err.Error(), "no supported methods remain") {
		t.Errorf("a password: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	r := newRig(t)
	signals := make(chan int, 1)
	r.box.exec = func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
		if len(cmd.Argv) != 2 || cmd.Env["LANG"] != "de_DE.UTF-8" || cmd.Terminal == nil || cmd.Terminal.Type != "xterm" {
			t.Errorf("%+v", cmd)
			return sessions.Exit{}, errors.New("not what was asked for")
		}
		if cmd.Terminal.Size != (sessions.Window{Rows: 31, Columns: 117}) {
			t.Errorf("%+v", cmd.Terminal.Size)
		}
		_, _ = io.WriteString(cmd.Stdout, "> ")
		if size := <-cmd.Terminal.Resize; size != (sessions.Window{Rows: 50, Columns: 132}) {
			t.Errorf("%+v", size)
		}
		signals <- <-cmd.Signals
		<-ctx.Done()
		return sessions.Exit{}, ctx.Err()
	}
	c := r.client("desk")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Setenv("LANG", "de_DE.UTF-8"), s.RequestPty("xterm", 31, 117, xssh.TerminalModes{}), s.Shell()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.WindowChange(50, 132), s.Signal(xssh.SIGINT)); err != nil {
		t.Fatal(err)
	}
	if n := <-signals; n != 2 {
		t.Errorf("signal %d", n)
	}
	if err := s.Setenv("LATE", "x"); err == nil {
		t.Error("a variable after the start")
	}
	if ok, err := s.SendRequest("auth-agent-req@openssh.com", true, nil); ok || err != nil {
		t.Errorf("an agent is forwarded: %v %v", ok, err)
	}
	s.Close() // hangs it up, or the test would not end
}

func TestForwarding(t *testing.T) {
	r := newRig(t)
	r.box.dial = func(port int) (net.Conn, error) {
		if port != 8888 {
			return nil, sessions.ErrRefused
		}
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(theirs, theirs); theirs.Close() }()
		return ours, nil
	}
	r.box.exec = func(_ context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
		_, err := io.Copy(cmd.Stdout, io.MultiReader(strings.NewReader(strings.Join(cmd.Argv[1:], " ")+"\n"), cmd.Stdin))
		return sessions.Exit{}, err
	}
	c := r.client("desk")
	for _, host := range []string{"localhost", "127.0.0.1"} {
		conn, err := c.Dial("tcp", net.JoinHostPort(host, "8888"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
		conn.Close()
	}
	for address, want := range map[string]string{
		"localhost:1": "nobody listens there", "10.0.0.1:8888": "write localhost in place of 10.0.0.1", "example.com:8888": "only the session's own ports",
	} {
		if _, err := c.Dial("tcp", address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("a listener in the session")
	}
	conn, err := c.Dial("unix", "/run/x.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := make([]byte, len("connect /run/x.sock\n"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "connect /run/x.sock\n" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := c.Dial("unix", "relative"); err == nil {
		t.Error("a socket without a path")
	}
}

// stuck is a command that only ends when it is ended.
func stuck(started chan<- struct{}) func(context.Context, sessions.ExecSpec) (sessions.Exit, error) {
	return func(ctx context.Context, _ sessions.ExecSpec) (sessions.Exit, error) {
		started <- struct{}{}
		<-ctx.Done()
		return sessions.Exit{}, ctx.Err()
	}
}

func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(r *rig)
		want string
	}{
		"the key is removed":    {func(r *rig) { r.server.Drop("sshkey-1") }, "the key with which you came was removed"},
		"the appliance stops":   {func(r *rig) { r.server.End(t.Context(), errors.New("the appliance was stopped")) }, "the appliance was stopped"},
		"another key's removal": {func(r *rig) { r.server.Drop("sshkey-2"); r.server.Drop("sshkey-1") }, "removed"},
	} {
		t.Run(name, func(t *testing.T) {
			r, started := newRig(t), make(chan struct{})
			r.box.exec = stuck(started)
			c := r.client("desk")
			ended := make(chan ran, 1)
			go func() { ended <- r.run(c, "sleep 1000", nil) }()
			<-started
			tt.end(r)
			if got := <-ended; got.code != 255 || !strings.Contains(got.said, tt.want) {
				t.Errorf("%+v", got)
			}
			if err := c.Wait(); err == nil {
				t.Error("the connection ends well")
			}
		})
	}
}

// Whoever hands over waits for what runs, and for nothing else.
func TestDrain(t *testing.T) {
	r, started := newRig(t), make(chan struct{})
	release := make(chan struct{})
	r.box.exec = func(context.Context, sessions.ExecSpec) (sessions.Exit, error) {
		started <- struct{}{}
		<-release
		return sessions.Exit{Reason: sessions.ExitCompleted}, nil
	}
	idle, busy := r.client("desk"), r.client("desk")
	ended := make(chan ran, 1)
	go func() { ended <- r.run(busy, "work", nil) }()
	<-started
	r.server.Leave()
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(t.Context()) }()
	if err := idle.Wait(); err == nil {
		t.Error("an idle connection ends well")
	}
	select {
	case err := <-drained:
		t.Fatalf("it does not wait: %v", err)
	default:
	}
	close(release)
	if got := <-ended; got.code != 0 {
		t.Errorf("%+v", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	r.enter() // another life
	r.client("desk")
}

// A command whose client has gone has its input ended, and is left a while; one on a terminal is not.
func TestGone(t *testing.T) {
	for terminal, want := range map[bool]time.Duration{true: 0, false: goneGrace} {
		synctest.Test(t, func(t *testing.T) {
			c := &connection{}
			c.ctx, c.cancel = context.WithCancelCause(context.Background())
			r, begun := newRun(c, nil), time.Now()
			c.cancel(errClientGone)
			r.gone(terminal)
			<-r.ctx.Done()
			if took := time.Since(begun); took != want || !errors.Is(context.Cause(r.ctx), errClientGone) {
				t.Errorf("after %v: %v", took, context.Cause(r.ctx))
			}
		})
	}
}

func TestHostKey(t *testing.T) {
	dir := t.TempDir() + "/ssh"
	first, err := HostKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := HostKey(dir)
	if err != nil || !bytes.Equal(first.PublicKey().Marshal(), again.PublicKey().Marshal()) {
		t.Errorf("another key the second time, %v", err)
	}
}

// A key that is removed between the log-in and the first channel opens nothing.
func TestRemovedWhileComingIn(t *testing.T) {
	r := newRig(t)
	r.box.came = func() { r.server.Drop("sshkey-1") }
	c, err := r.dial("desk", r.key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "was removed") {
		t.Errorf("a channel: %v", err)
	}
	if err := c.Wait(); err == nil {
		t.Error("the connection ends well")
	}
}

// Who reads nothing cannot keep a connection that is to end.
func TestEndsForWhoReadsNothing(t *testing.T) {
	t.Parallel()
	r, started := newRig(t), make(chan struct{})
	r.box.exec = func(_ context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
		close(started)
		_, err := io.Copy(cmd.Stdout, rand.Reader) // until nobody takes it
		return sessions.Exit{}, err
	}
	c := r.client("desk")
	channel, told, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go xssh.DiscardRequests(told)
	if _, err := channel.SendRequest("exec", true, xssh.Marshal(struct{ Line string }{"yes"})); err != nil {
		t.Fatal(err)
	}
	<-started
	r.server.Drop("sshkey-1")
	if err := c.Wait(); err == nil {
		t.Error("the connection ends well")
	}
}

// What has ended is forgotten, however long its connection goes on.
func TestRunIsForgotten(t *testing.T) {
	c := &connection{}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	defer c.cancel(nil)
	var left weak.Pointer[run]
	func() {
		r := newRun(c, nil)
		left = weak.Make(r)
		r.cancel(nil)
	}()
	for late := time.Now().Add(10 * time.Second); left.Value() != nil; runtime.GC() {
		if time.Now().After(late) {
			t.Fatal("the connection holds what ran on it")
		}
	}
}
