package admintest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// Exec implements admin.Sessions. The commands there are: echo WORDS, cat, err WORDS (to stderr), exit CODE, env, pwd, size
// (of the terminal, at first and when it changes), flood (lines of "y", until Ctrl-C), wait (until the input ends), stay
// (until it is killed), and sh: what is typed is echoed; "exit CODE" leaves. An image "shell-less" has none of them. What
// holds terminals is in every session: their shell is that sh.
func (m *Manager) Exec(ctx context.Context, project, ref string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return sessions.Exit{}, err
	}
	if s.Status != sessions.StatusRunning {
		return sessions.Exit{}, sessions.NotRunning(s)
	}
	ended := make(chan struct{})
	c := &command{ExecSpec: cmd, ctx: ctx}
	m.mu.Lock()
	m.running++
	m.poke()
	m.mu.Unlock()
	code := -1
	go func() {
		defer close(ended)
		if cmd.Argv[0] == pid1.PathInit {
			code = c.terminal(m.held(s, cmd.Argv[2]))
		} else if s.Image != "shell-less" {
			code = c.run()
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.mu.Lock()
	m.running--
	m.poke()
	m.mu.Unlock()
	switch {
	case err != nil:
		return sessions.Exit{}, err
	case code < 0:
		return sessions.Exit{Reason: sessions.ExitStartFailed, Code: 127, Message: "Command " + cmd.Argv[0] + ": not found in PATH.", FinishedAt: time.Now()}, nil
	case code > 0:
		return sessions.Exit{Reason: sessions.ExitFailed, Code: code, Message: fmt.Sprintf("The command ended with exit code %d.", code), FinishedAt: time.Now()}, nil
	}
	return sessions.Exit{Reason: sessions.ExitCompleted, Message: "The command ended by itself.", FinishedAt: time.Now()}, nil
}

// Commands returns when n commands run in sessions, or ctx ends.
func (m *Manager) Commands(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		now, changed := m.running, m.changed
		m.mu.Unlock()
		if now == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d commands run, not %d: %w", now, n, context.Cause(ctx))
		}
	}
}

type command struct {
	sessions.ExecSpec
	ctx context.Context
}

// run returns the exit code; -1: there is no such program.
func (c *command) run() int {
	words := strings.Join(c.Argv[1:], " ")
	switch c.Argv[0] {
	case "echo":
		fmt.Fprintln(c.Stdout, words)
	case "err":
		fmt.Fprintln(c.Stderr, words)
	case "cat":
		if c.Stdin != nil {
			_, _ = io.Copy(c.Stdout, c.Stdin)
		}
	case "exit":
		code, _ := strconv.Atoi(words)
		return code
	case "env":
		for _, name := range slices.Sorted(maps.Keys(c.Env)) {
			fmt.Fprintf(c.Stdout, "%s=%s\n", name, c.Env[name])
		}
	case "pwd":
		fmt.Fprintln(c.Stdout, c.WorkDir)
	case "size":
		return c.sizes()
	case "flood":
		return c.flood()
	case "wait":
		_, _ = io.Copy(io.Discard, c.Stdin)
	case "stay":
		fmt.Fprintln(c.Stdout, "here")
		<-c.ctx.Done()
	case "sh":
		return c.shell()
	default:
		return -1
	}
	return 0
}

// held is the terminal of that name in a session, which is made where there is none.
func (m *Manager) held(s sessions.Session, name string) *holder.Held {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := s.ID + " " + name
	if h := m.terminals[at]; h != nil {
		return h
	}
	h := holder.New(holder.Window{})
	if m.terminals == nil {
		m.terminals = map[string]*holder.Held{}
	}
	m.terminals[at] = h
	go func() {
		code := -1
		if s.Image != "shell-less" {
			code = (&command{ExecSpec: sessions.ExecSpec{Stdin: h, Stdout: h}}).shell()
		}
		m.mu.Lock()
		delete(m.terminals, at)
		m.mu.Unlock()
		if code < 0 {
			h.Fail(holder.FailedNoShell, "sh: not found")
			return
		}
		h.Exit(syscall.WaitStatus(code << 8))
	}()
	return h
}

// terminal shows a terminal that is held.
func (c *command) terminal(h *holder.Held) int {
	near, far := net.Pipe()
	go h.Serve(far)
	go func() {
		_, _ = near.Write(holder.AppendFrame(nil, holder.KindHello, holder.Window{}.Body()))
		_, _ = io.Copy(near, c.Stdin)
		near.Close()
	}()
	_, _ = io.Copy(c.Stdout, near)
	near.Close()
	return 0
}

func (c *command) sizes() int {
	if c.Terminal == nil {
		fmt.Fprintln(c.Stdout, "no terminal")
		return 1
	}
	fmt.Fprintf(c.Stdout, "%d %d %s\r\n", c.Terminal.Size.Rows, c.Terminal.Size.Columns, c.Terminal.Type)
	select {
	case now := <-c.Terminal.Resize:
		fmt.Fprintf(c.Stdout, "%d %d\r\n", now.Rows, now.Columns)
	case <-c.ctx.Done():
	}
	return 0
}

func (c *command) flood() int {
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		for line := []byte(strings.Repeat("y\r\n", 1000)); ; {
			if _, err := c.Stdout.Write(line); err != nil {
				return
			}
		}
	}()
	interrupted := make(chan struct{})
	go func() {
		in := bufio.NewReader(c.Stdin)
		for {
			switch b, err := in.ReadByte(); {
			case err != nil:
				return
			case b == 3:
				close(interrupted)
				return
			}
		}
	}()
	select {
	case <-interrupted: // as a signal would end it, whether it can write or not
		return 130
	case <-broken:
		return 1
	}
}

func (c *command) shell() int {
	fmt.Fprint(c.Stdout, "$ ")
	in := bufio.NewReader(c.Stdin)
	line := ""
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			return 129
		case b != '\r' && b != '\n':
			line += string(b)
			_, _ = c.Stdout.Write([]byte{b})
			continue
		}
		fmt.Fprint(c.Stdout, "\r\n")
		if word, code, _ := strings.Cut(line, " "); word == "exit" {
			n, _ := strconv.Atoi(code)
			return n
		} else if word == "lines" {
			n, _ := strconv.Atoi(code)
			for i := range n {
				fmt.Fprintf(c.Stdout, "line %d\r\n", i)
			}
		}
		line = ""
		fmt.Fprint(c.Stdout, "$ ")
	}
}
