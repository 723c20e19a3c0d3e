package process

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// openTerminal makes a terminal of the session's own: it has a name there. The supervisor calls it.
func openTerminal(size sessions.Window) (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = setSize(fd, size)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	return ours, theirs, nil
}

func setSize(fd int, size sessions.Window) error {
	if size == (sessions.Window{}) {
		return nil
	}
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
}

// handOver gives the terminal's other end to the client. A client that has gone is seen elsewhere.
func handOver(c *net.UnixConn, ours *os.File) {
	if b, err := json.Marshal(reply{Terminal: true}); err == nil {
		_, _, _ = c.WriteMsgUnix(append(b, '\n'), unix.UnixRights(int(ours.Fd())), nil)
	}
}

// onTerminal runs a command on a terminal. The daemon calls it.
func onTerminal(ctx context.Context, dir string, cmd sessions.ExecSpec) (reply, error) {
	env := map[string]string{"TERM": cmp.Or(cmd.Terminal.Type, "xterm-256color")}
	maps.Copy(env, cmd.Env)
	c, err := send(ctx, dir, request{Op: opExec, Argv: cmd.Argv, Env: env, WorkDir: cmd.WorkDir, Terminal: &cmd.Terminal.Size, Signals: cmd.Signals != nil})
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	first := &handed{c: c}
	from := bufio.NewReader(first)
	rep, err := hear(ctx, from)
	if err != nil || !rep.Terminal {
		return rep, err
	}
	if first.file == nil {
		return rep, errors.New("the supervisor handed over no terminal")
	}
	defer first.file.Close()
	read := show(first.file, cmd)
	done := make(chan struct{})
	defer close(done)
	go follow(first.file, *cmd.Terminal, done)
	go tell(c, cmd.Signals, done)
	rep, err = hear(ctx, from)
	// What the command left running in the background may hold on to the terminal: that is waited for no longer
	// than a moment.
	_ = first.file.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	<-read
	return rep, err
}

// handed reads a connection, and keeps the descriptor that comes with what it reads.
type handed struct {
	c    *net.UnixConn
	file *os.File
}

// Read implements io.Reader.
func (h *handed) Read(p []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := h.c.ReadMsgUnix(p, oob)
	if err != nil || n == 0 {
		return max(0, n), cmp.Or(err, io.EOF)
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			_ = unix.SetNonblock(fd, true) // so that a read of it can be ended
			h.file = os.NewFile(uintptr(fd), "terminal")
		}
	}
	return n, nil
}

// show connects the terminal with what an ExecSpec gives for it. The channel is closed once all that the
// terminal has shown has been taken in.
func show(terminal *os.File, cmd sessions.ExecSpec) <-chan struct{} {
	if cmd.Stdin != nil {
		go func() { _, _ = io.Copy(terminal, cmd.Stdin) }() // ends with stdin, or with the terminal
	}
	out := cmd.Stdout
	if out == nil {
		out = io.Discard
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(out, struct{ io.Reader }{terminal}) // fails with EIO once nobody has it open inside
	}()
	return read
}

// follow keeps the terminal as large as the caller's.
func follow(terminal *os.File, t sessions.Terminal, done <-chan struct{}) {
	for {
		select {
		case size, open := <-t.Resize:
			if !open {
				return
			}
			if c, err := terminal.SyscallConn(); err == nil {
				_ = c.Control(func(fd uintptr) { _ = setSize(int(fd), size) })
			}
		case <-done:
			return
		}
	}
}
