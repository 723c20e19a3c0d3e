package clusterssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
)

// hangUpFor is how long what was started has, after its line has gone, until it is killed.
const hangUpFor = 2 * time.Second

// maxEnv bounds what a client may set.
const maxEnv = 256

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// command is one channel: at most one program, with what comes and goes. Only serve's goroutine touches its fields.
type command struct {
	program  string
	channel  ssh.Channel
	from, at net.Addr
	env      []string
	term     string
	window   *pty.Winsize // nil: no terminal

	process  *exec.Cmd
	terminal *os.File
	ended    chan struct{} // closed when the program has ended, and all it wrote is sent
}

// serve does what is asked on the channel, until its program has ended, or its line is gone.
func (c *command) serve(ctx context.Context, requests <-chan *ssh.Request) {
	defer c.channel.Close()
	for {
		select {
		case r, more := <-requests:
			if !more {
				c.hangUp()
				return
			}
			ok := c.do(r)
			if r.WantReply {
				_ = r.Reply(ok, nil)
			}
		case <-c.ended:
			return
		case <-ctx.Done():
			c.hangUp()
			return
		}
	}
}

// do does one request; false: it cannot be done.
func (c *command) do(r *ssh.Request) bool {
	var text struct{ Value string }
	switch r.Type {
	case "env":
		var set struct{ Name, Value string }
		if ssh.Unmarshal(r.Payload, &set) != nil || c.process != nil || len(c.env) >= maxEnv || !envName.MatchString(set.Name) {
			return false
		}
		c.env = append(c.env, set.Name+"="+set.Value)
		return true
	case "pty-req":
		var want struct {
			Term                         string
			Columns, Rows, Width, Height uint32
			Modes                        string
		}
		if ssh.Unmarshal(r.Payload, &want) != nil || c.process != nil {
			return false
		}
		c.term, c.window = want.Term, &pty.Winsize{Rows: uint16(want.Rows), Cols: uint16(want.Columns)}
		return true
	case "window-change":
		var want struct{ Columns, Rows, Width, Height uint32 }
		if ssh.Unmarshal(r.Payload, &want) != nil || c.terminal == nil {
			return false
		}
		return pty.Setsize(c.terminal, &pty.Winsize{Rows: uint16(want.Rows), Cols: uint16(want.Columns)}) == nil
	case "shell":
		return c.begin("shell")
	case "exec":
		return ssh.Unmarshal(r.Payload, &text) == nil && c.begin("shell", text.Value)
	case "subsystem":
		return ssh.Unmarshal(r.Payload, &text) == nil && text.Value == "sftp" && c.begin("sftp")
	case "signal":
		return ssh.Unmarshal(r.Payload, &text) == nil && c.signal(text.Value)
	}
	return false
}

// begin starts the channel's program, with the environment of the session's own processes.
func (c *command) begin(args ...string) bool {
	if c.process != nil {
		return false
	}
	p := exec.CommandContext(context.Background(), c.program, args...) // hangUp ends it, and what it has started
	p.Env = append(os.Environ(), c.env...)
	p.Env = append(p.Env, "SSH_CONNECTION="+connection(c.from, c.at))
	p.Dir = os.Getenv("HOME")
	if st, err := os.Stat(p.Dir); err != nil || !st.IsDir() {
		p.Dir = "/"
	}
	c.process, c.ended = p, make(chan struct{})
	start := c.startPlain
	if c.window != nil {
		start = c.startOnTerminal
	}
	if err := start(p); err != nil {
		fmt.Fprintf(c.channel.Stderr(), "palisade: %v\r\n", err)
		go c.end(127, "")
	}
	return true
}

func (c *command) startOnTerminal(p *exec.Cmd) (err error) {
	if c.term != "" {
		p.Env = append(p.Env, "TERM="+c.term)
	}
	if c.terminal, err = pty.StartWithSize(p, c.window); err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.Copy(c.channel, c.terminal)
	}()
	go func() { _, _ = io.Copy(c.terminal, c.channel) }()
	go func() {
		_ = p.Wait()
		select {
		case <-written:
		case <-time.After(hangUpFor): // what it left running holds the terminal
		}
		c.terminal.Close()
		c.finish(p.ProcessState)
	}()
	return nil
}

func (c *command) startPlain(p *exec.Cmd) error {
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := p.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := p.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(in, c.channel)
		in.Close()
	}()
	var written sync.WaitGroup
	written.Go(func() { _, _ = io.Copy(c.channel, out) })
	written.Go(func() { _, _ = io.Copy(c.channel.Stderr(), errs) })
	go func() {
		written.Wait() // as sshd does: what it left running may still write
		_ = p.Wait()
		c.finish(p.ProcessState)
	}()
	return nil
}

// finish tells how the program ended.
func (c *command) finish(state *os.ProcessState) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		c.end(0, signalName(status.Signal()))
		return
	}
	c.end(state.ExitCode(), "")
}

func (c *command) end(code int, signal string) {
	defer close(c.ended)
	_ = c.channel.CloseWrite()
	if signal != "" {
		_, _ = c.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal  string
			Core    bool
			Message string
			Tag     string
		}{Signal: signal}))
		return
	}
	_, _ = c.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

// hangUp ends a program whose line is gone: SIGHUP, and a moment later SIGKILL, to its process group.
func (c *command) hangUp() {
	if c.process == nil || c.process.Process == nil {
		return
	}
	c.channel.Close() // or what it still writes would wait for ever
	group := -c.process.Process.Pid
	_ = syscall.Kill(group, syscall.SIGHUP)
	select {
	case <-c.ended:
	case <-time.After(hangUpFor):
		_ = syscall.Kill(group, syscall.SIGKILL)
		select {
		case <-c.ended:
		case <-time.After(hangUpFor): // something that left the group holds its output
		}
	}
}

// signals are those that a client may send, by their names in SSH.
func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL,
		"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV,
		"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	}
}

func (c *command) signal(name string) bool {
	sig, known := signals()[name]
	if !known || c.process == nil || c.process.Process == nil {
		return false
	}
	return syscall.Kill(-c.process.Process.Pid, sig) == nil
}

func signalName(sig syscall.Signal) string {
	for name, s := range signals() {
		if s == sig {
			return name
		}
	}
	return "KILL"
}

// connection is SSH_CONNECTION as sshd sets it: "ADDRESS PORT ADDRESS PORT".
func connection(from, at net.Addr) string {
	var words []string
	for _, addr := range []net.Addr{from, at} {
		host, port, err := net.SplitHostPort(addr.String())
		if err != nil {
			host, port = addr.String(), "0"
		}
		words = append(words, host, port)
	}
	return strings.Join(words, " ")
}

// Main serves the containers of a session whose directory is dir, on a port, until SIGTERM. That it cannot is said, and is
// no reason for the session to end.
func Main(ctx context.Context, dir, program string, port int) {
	s, err := New(dir, program)
	if err == nil {
		err = prepareHome(dir)
	}
	var l net.Listener
	if err == nil {
		l, err = listen(ctx, port)
	}
	if err == nil {
		err = s.Serve(ctx, l)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(os.Stderr, "palisade: the other containers of this session are not let in by ssh:", err)
		<-ctx.Done()
	}
}

// listen takes the socket that was opened for this process before the session began, so that nobody was refused meanwhile, or one of
// its own.
func listen(ctx context.Context, port int) (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") != "1" {
		return new(net.ListenConfig).Listen(ctx, "tcp4", fmt.Sprintf(":%d", port))
	}
	if err := os.Unsetenv("LISTEN_FDS"); err != nil { // what is started on a connection has none
		return nil, err
	}
	given := os.NewFile(3, "listener")
	defer given.Close()
	return net.FileListener(given)
}
