package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// chatTerminal is a terminal on which a person types lines, with a history. What it was before comes back with close.
type chatTerminal struct {
	ctx     context.Context // of all reads: the library that edits lines knows none
	in, out *os.File
	before  *term.State
	line    *term.Terminal
	again   bool // Ctrl-C came just before
}

// The prompts.
const (
	promptFirst = "> "
	promptMore  = ". "
)

func openChatTerminal(ctx context.Context, in, out *os.File) (*chatTerminal, error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("taking the terminal: %w", err)
	}
	c := &chatTerminal{ctx: ctx, in: in, out: out, before: before}
	c.line = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{readerFunc(c.keys), out}, promptFirst)
	c.line.SetBracketedPasteMode(true)
	return c, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (c *chatTerminal) close() {
	c.line.SetBracketedPasteMode(false)
	// Whoever hung up needs it no more.
	_ = term.Restore(int(c.in.Fd()), c.before)
}

// Write implements io.Writer: lines begin at the left though the terminal is raw.
func (c *chatTerminal) Write(p []byte) (int, error) { return c.line.Write(p) }

// wait returns when something was typed, or ctx has ended.
func (c *chatTerminal) wait(ctx context.Context) error {
	for ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(c.in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, pollEvery)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for keys: %w", err)
		}
		if n > 0 {
			return nil
		}
	}
	return context.Cause(ctx)
}

// What keys send to who edits a line.
const (
	lineEnd   = 0x05 // Ctrl-E
	lineClear = 0x15 // Ctrl-U
	lineLeave = 0x04 // Ctrl-D
)

// keys reads what is typed. Ctrl-C empties the line, and leaves where it comes twice.
func (c *chatTerminal) keys(p []byte) (int, error) {
	if err := c.wait(c.ctx); err != nil {
		return 0, err
	}
	n, err := unix.Read(int(c.in.Fd()), p[:max(len(p)/2, 1)])
	switch {
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		return 0, nil
	case err != nil || n == 0:
		return 0, io.EOF
	}
	typed := bytes.Clone(p[:n])
	if len(typed) == 1 && typed[0] == interruptKey && c.again {
		p[0] = lineLeave
		return 1, nil
	}
	c.again = typed[n-1] == interruptKey
	return copy(p, bytes.ReplaceAll(typed, []byte{interruptKey}, []byte{lineEnd, lineClear})), nil
}

// read reads a message: a line; several where a line ends in a backslash, between """ and """, or that are pasted. io.EOF where the
// person leaves.
func (c *chatTerminal) read() (string, error) {
	if size, err := unix.IoctlGetWinsize(int(c.out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		_ = c.line.SetSize(int(size.Col), int(size.Row)) // a size that it does not like changes nothing
	}
	c.line.SetPrompt(promptFirst)
	var m multiline
	for {
		text, err := c.line.ReadLine()
		pasted := errors.Is(err, term.ErrPasteIndicator)
		if err != nil && !pasted {
			return "", err
		}
		if m.add(text, pasted) {
			return m.text(), nil
		}
		c.line.SetPrompt(promptMore)
	}
}

// multiline puts lines together to a message.
type multiline struct {
	lines  []string
	quoted bool
}

// quote begins and ends a message of several lines.
const quote = `"""`

// add takes a line, and says whether the message is whole.
func (m *multiline) add(text string, pasted bool) bool {
	if m.quoted {
		before, closed := strings.CutSuffix(strings.TrimRight(text, " \t"), quote)
		if closed {
			text = before
		}
		m.lines = append(m.lines, text)
		return closed
	}
	if rest, opens := strings.CutPrefix(strings.TrimSpace(text), quote); opens && len(m.lines) == 0 {
		if inner, closed := strings.CutSuffix(rest, quote); closed && rest != "" {
			m.lines = append(m.lines, inner)
			return true
		}
		m.quoted = true
		if rest != "" {
			m.lines = append(m.lines, rest)
		}
		return false
	}
	before, goesOn := strings.CutSuffix(text, `\`)
	m.lines = append(m.lines, before)
	return !goesOn && !pasted
}

func (m *multiline) text() string { return strings.TrimSpace(strings.Join(m.lines, "\n")) }

// watchKeys calls stop when Ctrl-C is typed, until the answer is called, which waits for it to end. What else is typed is lost.
func (c *chatTerminal) watchKeys(ctx context.Context, stop func()) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		buffer := make([]byte, 64)
		for c.wait(ctx) == nil {
			n, err := unix.Read(int(c.in.Fd()), buffer)
			if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) || err == nil && n == 0 {
				stop() // the terminal is gone
				return
			}
			if n > 0 && strings.ContainsRune(string(buffer[:n]), interruptKey) {
				stop()
			}
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// nowAndThen does something every tenth of a second until the answer is called.
func (a *app) nowAndThen(do func()) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				do()
			}
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

// printer prints an answer as it comes.
type printer struct {
	w        io.Writer
	terminal bool
	colors   bool
	thinks   bool   // the last piece was a thought
	last     string // what was printed last; "" nothing
}

func (a *app) newPrinter(w io.Writer, terminal bool) *printer {
	return &printer{w: w, terminal: terminal, colors: terminal && a.colors()}
}

// print prints a piece. Thoughts are for people alone: what reads the output wants the answer.
func (p *printer) print(one piece) {
	text := one.text
	if p.terminal {
		text = tame(text)
	} else if one.thought {
		return
	}
	if text == "" {
		return
	}
	if p.thinks && !one.thought {
		fmt.Fprint(p.w, "\n\n")
		text = strings.TrimLeft(text, "\n")
	}
	p.thinks = one.thought
	if one.thought {
		fmt.Fprint(p.w, p.dim(text))
	} else {
		fmt.Fprint(p.w, text)
	}
	p.last = text
}

// end ends the line.
func (p *printer) end() {
	if p.last != "" && !strings.HasSuffix(p.last, "\n") {
		fmt.Fprintln(p.w)
	}
}

func (p *printer) dim(text string) string {
	if !p.colors {
		return text
	}
	return "\x1b[2m" + text + "\x1b[22m"
}
