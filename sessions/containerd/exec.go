package containerd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// Exec implements sessions.Observer. A command that cannot be started has ended with ExitStartFailed.
// When ctx ends, the command is killed, with all of its process group; one on a terminal is hung up first, and may take
// a moment.
func (r *Runtime) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	if len(cmd.Argv) == 0 {
		return sessions.Exit{}, errors.New("running a command: no command given")
	}
	exit, err := r.exec(r.in(ctx), id, cmd)
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("running a command in %s: %w", id, down(err))
	}
	return exit, nil
}

func (r *Runtime) exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	if _, err := r.running(id); err != nil {
		return sessions.Exit{}, err
	}
	process, err := r.processOf(id, cmd)
	if err != nil {
		return sessions.Exit{}, err
	}
	t, err := r.load(ctx, id)
	if err != nil {
		return sessions.Exit{}, err
	}
	c := &command{ended: make(chan struct{})}
	stdout, stderr := outputs(cmd)
	streams := []cio.Opt{cio.WithFIFODir(r.fifos()), cio.WithStreams(c.input(cmd.Stdin), stdout, stderr)}
	if cmd.Terminal != nil {
		streams = append(streams, cio.WithTerminal)
	}
	name := "exec-" + rand.Text()
	if err := r.noteCommand(id, name, cmd.Terminal != nil); err != nil {
		return sessions.Exit{}, err
	}
	begin, cancel := starting(ctx)
	defer cancel()
	p, err := t.Exec(begin, name, process, cio.NewCreator(streams...))
	if err != nil {
		r.forgetCommand(id, name)
		return sessions.Exit{}, gone(err)
	}
	defer func() {
		if c.forget(context.WithoutCancel(ctx), p) {
			r.forgetCommand(id, name)
		}
	}()
	return c.run(ctx, p, cmd)
}

// starting is for what must not be given up half way: a start that is no longer waited for goes on, and the command that
// comes of it would be nobody's.
func starting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
}

// processOf says what the command is: of the session's user, with what its first process sees.
func (r *Runtime) processOf(id string, cmd sessions.ExecSpec) (*specs.Process, error) {
	rec, err := r.record(id)
	if err != nil {
		return nil, err
	}
	st, _ := readState(r.dir(id), rec)
	first := rec.Spec.Processes[0]
	env := maps.Clone(rec.Env)
	if env["HOME"] == "" {
		env["HOME"] = cmp.Or(st.User.Home, "/")
	}
	if cmd.Terminal != nil {
		env["TERM"] = cmp.Or(cmd.Terminal.Type, "xterm-256color")
	}
	maps.Copy(env, first.Env)
	maps.Copy(env, cmd.Env)
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	p := &specs.Process{
		Args: cmd.Argv, Env: list, Cwd: cmp.Or(cmd.WorkDir, first.WorkDir, rec.WorkDir), NoNewPrivileges: true,
		User:    specs.User{UID: st.User.UID, GID: st.User.GID, AdditionalGids: append([]uint32{st.User.GID}, st.User.Groups...)},
		Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: r.openFiles, Hard: r.openFiles}},
		Capabilities: &specs.LinuxCapabilities{
			Bounding: capabilities[:], Effective: capabilities[:], Permitted: capabilities[:],
		},
	}
	if st.User.UID != 0 { // as a process is left that was root and becomes another
		p.Capabilities.Effective, p.Capabilities.Permitted = nil, nil
	}
	if cmd.Terminal != nil {
		p.Terminal = true
		p.ConsoleSize = &specs.Box{Height: uint(cmd.Terminal.Size.Rows), Width: uint(cmd.Terminal.Size.Columns)}
	}
	return p, nil
}

// command is one command under way.
type command struct {
	mu      sync.Mutex
	process client.Process // once it has been started
	eof     bool           // there is no more input
	ended   chan struct{}
}

// afterHangUp is how long a command may take to end once its terminal is gone: editors save what was written.
const afterHangUp = 2 * time.Second

// run starts p and waits for its end.
func (c *command) run(ctx context.Context, p client.Process, cmd sessions.ExecSpec) (sessions.Exit, error) {
	exited, err := p.Wait(context.WithoutCancel(ctx)) // before the start, or its end could be missed
	if err != nil {
		return sessions.Exit{}, gone(err)
	}
	begin, cancel := starting(ctx)
	defer cancel()
	if err := p.Start(begin); err != nil {
		if failed, why := startFailure(err, cmd); failed {
			return outcome.Of(pid1.Ending{Failed: why}, time.Now()), nil
		}
		if strings.Contains(err.Error(), "error executing setns process") {
			return sessions.Exit{}, &Error{
				Err:  fmt.Errorf("runc cannot enter a session with a user namespace of its own: %w", sessions.ErrNotSupported),
				What: "install runc 1.2 or newer, or do without user namespaces for sessions",
			}
		}
		return sessions.Exit{}, gone(err)
	}
	defer close(c.ended)
	c.started(ctx, p)
	if cmd.Terminal != nil {
		go c.follow(ctx, p, *cmd.Terminal)
	}
	go c.signal(p, cmd.Signals)
	select {
	case st := <-exited:
		if err := st.Error(); err != nil {
			return sessions.Exit{}, gone(err)
		}
		c.takeIn(p)
		return outcome.OfCommand(waitStatus(st.ExitCode()), time.Now()), nil
	case <-ctx.Done():
		end(int(p.Pid()), cmd.Terminal != nil, exited)
		return sessions.Exit{}, ctx.Err()
	}
}

// end ends a command: one on a terminal is hung up first.
func end(pid int, terminal bool, exited <-chan client.ExitStatus) {
	gone := make(chan struct{})
	go func() {
		<-exited
		close(gone)
	}()
	if pid <= 1 || terminal && pid1.HangUp("/proc", pid, gone, afterHangUp) {
		return
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	select {
	case <-gone:
	case <-time.After(afterKill):
	}
}

// takeIn waits for what the command has written before it ended. What it left running in the background
// may hold on to its output: that is waited for no longer than a moment.
func (c *command) takeIn(p client.Process) {
	done := make(chan struct{})
	go func() {
		p.IO().Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(500 * time.Millisecond):
	}
}

// forget has containerd forget a command that has ended; false where it was not there to do so.
func (c *command) forget(ctx context.Context, p client.Process) bool {
	ctx, cancel := context.WithTimeout(ctx, afterKill)
	defer cancel()
	p.IO().Cancel()
	_, err := p.Delete(ctx)
	p.IO().Close() // whether it was deleted or not
	return absent(err) == nil
}

// started lets the input be closed, which containerd must be told once it has come to its end.
func (c *command) started(ctx context.Context, p client.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process = p
	if c.eof {
		_ = p.CloseIO(ctx, client.WithStdinCloser)
	}
}

// input is stdin as containerd is to read it: nil for none.
func (c *command) input(stdin io.Reader) io.Reader {
	if stdin == nil {
		return nil
	}
	return &input{c: c, from: stdin}
}

type input struct {
	c    *command
	from io.Reader
}

// Read implements io.Reader.
func (i *input) Read(b []byte) (int, error) {
	n, err := i.from.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	i.c.mu.Lock()
	defer i.c.mu.Unlock()
	i.c.eof = true
	if i.c.process != nil {
		_ = i.c.process.CloseIO(context.Background(), client.WithStdinCloser)
	}
	return 0, err
}

// signal passes signals on until the command has ended.
func (c *command) signal(p client.Process, signals <-chan int) {
	for {
		select {
		case n, open := <-signals:
			if !open {
				return
			}
			_ = unix.Kill(-int(p.Pid()), unix.Signal(n)) // one that has ended needs none
		case <-c.ended:
			return
		}
	}
}

// follow keeps the terminal as large as the caller's.
func (c *command) follow(ctx context.Context, p client.Process, t sessions.Terminal) {
	size := t.Size
	for {
		if size != (sessions.Window{}) {
			_ = p.Resize(ctx, uint32(size.Columns), uint32(size.Rows))
		}
		var open bool
		select {
		case size, open = <-t.Resize:
			if !open {
				return
			}
		case <-c.ended:
			return
		}
	}
}

// outputs are what stdout and stderr are written to, by a goroutine each.
func outputs(cmd sessions.ExecSpec) (stdout, stderr io.Writer) {
	stdout, stderr = cmd.Stdout, cmd.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	if cmd.Stdout != nil && cmd.Stdout == cmd.Stderr {
		one := &sharedWriter{w: stdout}
		return one, one
	}
	return stdout, stderr
}

type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// startFailure tells whether err says that the command itself cannot be started, and why, in the words of
// a process that is started with the session. The error comes as runc's text.
func startFailure(err error, cmd sessions.ExecSpec) (bool, string) {
	text := err.Error()
	if !strings.Contains(text, "OCI runtime exec failed") {
		return false, ""
	}
	program := cmd.Argv[0]
	switch {
	case strings.Contains(text, "executable file not found"):
		return true, fmt.Sprintf("command %s: not found in PATH", program)
	case strings.Contains(text, "chdir to cwd"):
		return true, fmt.Sprintf("working directory %s: no such directory in the session, or not one that its user may enter", cmd.WorkDir)
	case strings.Contains(text, "no such file or directory"):
		return true, fmt.Sprintf("command %s: not found in the session", program)
	case strings.Contains(text, "permission denied"):
		return true, fmt.Sprintf("command %s: the file is not executable", program)
	case strings.Contains(text, "exec format error"):
		return true, fmt.Sprintf("command %s: it is not a program of this machine, nor a script with a #! line", program)
	case strings.Contains(text, "is a directory"):
		return true, fmt.Sprintf("command %s: it is a directory", program)
	}
	return false, ""
}
