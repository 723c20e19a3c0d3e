package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// The bounds of what a client may ask to be run.
const (
	longestCommand = 128<<10 - 1 // what the kernel takes as one word
	mostVariables  = 512
	mostText       = 128 << 10 // bytes of all variables together
)

// The exit codes of what is no command's own end.
const (
	exitNotStarted = 127
	exitBroken     = 255 // as ssh itself has it
)

// goneGrace is how long a command whose client has gone may take to end by itself once its input has ended.
const goneGrace = 10 * time.Second

// desk is a channel on which something is to be run: first its circumstances are told, then what.
type desk struct {
	c        *connection
	channel  xssh.Channel
	env      map[string]string
	text     int                // bytes of env
	terminal *sessions.Terminal // nil: none was asked for
	resize   chan sessions.Window
	signals  chan int
	begun    bool
	run      *run // once it has begun
	over     sync.WaitGroup
}

// session serves one shell, command or transfer of files.
func (c *connection) session(ch xssh.NewChannel) {
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	d := &desk{c: c, channel: channel, env: map[string]string{}, resize: make(chan sessions.Window, 1), signals: make(chan int, 8)}
	maps.Copy(d.env, c.variables())
	for req := range requests {
		ok, begin := d.handle(req)
		if req.WantReply {
			_ = req.Reply(ok, nil)
		}
		if begin != nil {
			d.begun = true
			d.run = newRun(c, channel)
			d.over.Go(func() { begin(d.run) })
		}
	}
	if d.run != nil {
		d.run.gone(d.terminal != nil)
	}
	d.over.Wait()
}

// handle answers a request; begin, if not nil, is what it asks to be run.
func (d *desk) handle(req *xssh.Request) (ok bool, begin func(*run)) {
	var v struct{ Value string }
	switch req.Type {
	case "env":
		return d.setEnv(req.Payload), nil
	case "pty-req":
		return d.takeTerminal(req.Payload), nil
	case "window-change":
		return d.setSize(req.Payload), nil
	case "signal":
		return d.signal(req.Payload), nil
	case "shell":
		return !d.begun, d.unlessBegun(func(r *run) { d.shell(r, "") })
	case "exec":
		if xssh.Unmarshal(req.Payload, &v) != nil {
			return false, nil
		}
		return !d.begun, d.unlessBegun(func(r *run) { d.shell(r, v.Value) })
	case "subsystem":
		if xssh.Unmarshal(req.Payload, &v) != nil || v.Value != "sftp" {
			return false, nil
		}
		return !d.begun, d.unlessBegun(d.files)
	}
	return false, nil // agents and X11 are not forwarded: a session is no place for somebody's keys
}

func (d *desk) unlessBegun(begin func(*run)) func(*run) {
	if d.begun {
		return nil
	}
	return begin
}

func (d *desk) setEnv(payload []byte) bool {
	var v struct{ Name, Value string }
	if xssh.Unmarshal(payload, &v) != nil || d.begun || v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
		return false
	}
	if d.text += len(v.Name) + len(v.Value); d.text > mostText || len(d.env) >= mostVariables {
		return false
	}
	d.env[v.Name] = v.Value
	return true
}

// windowOf is a size as clients tell it; one that is none leaves it open.
func windowOf(columns, rows uint32) sessions.Window {
	const most = 10_000
	if columns > most || rows > most {
		return sessions.Window{}
	}
	return sessions.Window{Rows: uint16(rows), Columns: uint16(columns)}
}

func (d *desk) takeTerminal(payload []byte) bool {
	var v struct {
		Kind                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if xssh.Unmarshal(payload, &v) != nil || d.begun || strings.ContainsRune(v.Kind, 0) || len(v.Kind) > 64 {
		return false
	}
	d.terminal = &sessions.Terminal{Type: v.Kind, Size: windowOf(v.Columns, v.Rows), Resize: d.resize}
	return true
}

func (d *desk) setSize(payload []byte) bool {
	var v struct{ Columns, Rows, Width, Height uint32 }
	if xssh.Unmarshal(payload, &v) != nil || d.terminal == nil {
		return false
	}
	select { // only the last one counts
	case <-d.resize:
	default:
	}
	d.resize <- windowOf(v.Columns, v.Rows)
	return true
}

func (d *desk) signal(payload []byte) bool {
	var v struct{ Name string }
	if xssh.Unmarshal(payload, &v) != nil || !d.begun {
		return false
	}
	number, known := signalNumbers()[v.Name]
	if !known {
		return false
	}
	select {
	case d.signals <- number:
		return true
	default:
		return false // eight of them wait already
	}
}

// shell runs a line, or a shell to type to, and says how it ended. Which shell, and whether there is one, is found out in the
// session.
func (d *desk) shell(r *run, line string) {
	if len(line) > longestCommand || strings.ContainsRune(line, 0) {
		r.fail(fmt.Errorf("the command has %d bytes or a NUL in it: at most %d are taken", len(line), longestCommand))
		return
	}
	argv := []string{pid1.PathInit, "shell"}
	if line != "" {
		argv = append(argv, line)
	}
	d.program(r, sessions.ExecSpec{Argv: argv, Terminal: d.terminal})
}

// files transfers files.
func (d *desk) files(r *run) { d.program(r, sessions.ExecSpec{Argv: []string{pid1.PathInit, "sftp"}}) }

// program runs what Palisade has brought into the session, and says how it ended.
func (d *desk) program(r *run, spec sessions.ExecSpec) {
	spec.Env, spec.Stdin, spec.Stdout, spec.Stderr, spec.Signals = d.env, d.channel, d.channel, d.channel.Stderr(), d.signals
	if spec.Terminal != nil {
		spec.Stdin = &typed{r, d.channel}
	}
	exit, err := r.exec(spec)
	switch {
	case err != nil:
		r.fail(err)
	case exit.Reason == sessions.ExitStartFailed:
		r.say(&refusal{exit.Message, "a session that an earlier version started must be started again: palisade session restart " + d.c.to.Name})
		r.leave(exitNotStarted)
	default:
		r.finish(exit)
	}
}

// typed is what comes for a terminal. When a client says that it has no more, as one does that reads no keyboard, nothing is
// typed any more: the terminal is still there, and whoever works on it goes on.
type typed struct {
	r    *run
	from io.Reader
}

// Read implements io.Reader.
func (t *typed) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if n == 0 && err != nil {
		<-t.r.ctx.Done()
	}
	return n, err
}

// run is something that runs in the session for a channel.
type run struct {
	c       *connection
	channel xssh.Channel
	ctx     context.Context //nolint:containedctx // its life
	cancel  context.CancelCauseFunc
	newline string
}

func newRun(c *connection, channel xssh.Channel) *run {
	r := &run{c: c, channel: channel, newline: "\r\n"} // right on a terminal, and does no harm elsewhere
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	forget := context.AfterFunc(c.ctx, func() {
		if why := context.Cause(c.ctx); !errors.Is(why, errClientGone) { // that is seen by each channel for itself
			r.cancel(why)
		}
	})
	context.AfterFunc(r.ctx, func() { forget() }) // a connection may see thousands
	return r
}

// gone is called when the client has gone. What is on a terminal is hung up; all else has its input ended, and a while.
func (r *run) gone(terminal bool) {
	if terminal {
		r.cancel(errClientGone)
		return
	}
	late := time.AfterFunc(goneGrace, func() { r.cancel(errClientGone) })
	context.AfterFunc(r.ctx, func() { late.Stop() })
}

// exec runs a command in the session as it is now.
func (r *run) exec(spec sessions.ExecSpec) (sessions.Exit, error) {
	s, err := r.c.current()
	if err != nil {
		return sessions.Exit{}, err
	}
	exit, err := r.c.world.Sessions.Exec(r.ctx, s.Project, s.ID, spec)
	if cause := context.Cause(r.ctx); cause != nil {
		err = cause
	}
	return exit, err
}

// finish tells the client how a command ended.
func (r *run) finish(exit sessions.Exit) {
	if name, is := strings.CutPrefix(exit.Signal, "SIG"); is {
		_, _ = r.channel.SendRequest("exit-signal", false, xssh.Marshal(struct {
			Name     string
			Core     bool
			Message  string
			Language string
		}{name, false, exit.Message, ""}))
	}
	code := exitBroken
	if exit.Code >= 0 && exit.Code <= 255 {
		code = exit.Code
	}
	r.leave(code) // also after a signal: most clients show only this
}

// fail tells the client why there is no end to tell of.
func (r *run) fail(err error) {
	if !errors.Is(err, errClientGone) {
		r.say(err)
	}
	r.leave(exitBroken)
}

func (r *run) say(err error) {
	text := "palisade: " + plain(err.Error()) + r.newline
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		text += "  hint: " + plain(h.Hint()) + r.newline
	}
	_, _ = r.channel.Stderr().Write([]byte(text)) // a client that has gone needs not to know
}

// plain is a text that tells a terminal to do nothing: a reason may hold what a program in a session has written.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return unicode.ReplacementChar
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

func (r *run) leave(code int) {
	defer r.cancel(nil)
	_ = r.channel.CloseWrite()
	_, _ = r.channel.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{uint32(code)}))
	_ = r.channel.Close()
}
