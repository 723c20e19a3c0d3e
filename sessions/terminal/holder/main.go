package holder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The words by which Main is called.
const (
	ModeTerminal = "terminal"
	ModeTell     = "tell-terminals"
	modeHold     = "hold-terminal"
)

// Argv is the command that shows the terminal name, where program calls Main.
func Argv(program, name string, size Window) []string {
	return []string{program, ModeTerminal, name, strconv.Itoa(int(size.Rows)), strconv.Itoa(int(size.Columns))}
}

// Main is the program's part inside a session; args begin with a mode. It returns the exit code, and false where the mode
// is none of its own.
func Main(args []string) (code int, known bool) {
	if len(args) == 0 {
		return 0, false
	}
	mode, args := args[0], args[1:]
	switch {
	case mode == ModeTell && len(args) == 0:
		return tell(), true
	case (mode == ModeTerminal || mode == modeHold) && len(args) == 3:
		rows, err := strconv.ParseUint(args[1], 10, 16)
		columns, err2 := strconv.ParseUint(args[2], 10, 16)
		if err != nil || err2 != nil || args[0] == "" {
			return 2, true
		}
		runtime.GOMAXPROCS(1) // it waits for most of its time
		size := Window{uint16(rows), uint16(columns)}
		if mode == modeHold {
			return hold(args[0], size), true
		}
		return watch(args[0], size), true
	}
	return 2, mode == ModeTerminal || mode == modeHold || mode == ModeTell
}

// watch is the near end of one who watches. It ends when its input does, or the terminal.
func watch(name string, size Window) int {
	conn, hello, err := meet(name, size)
	if err != nil {
		kind := FailedElse
		if errors.Is(err, errTooMany) {
			kind = FailedTooMany
		}
		_, _ = os.Stdout.Write(failure(kind, err.Error()))
		return 1
	}
	go func() {
		if _, err := io.Copy(conn, struct{ io.Reader }{os.Stdin}); err == nil {
			os.Exit(0) // nobody watches any more
		} // else the terminal is over, and what it has shown last is on its way
	}()
	if _, err := os.Stdout.Write(hello); err != nil {
		return 1
	}
	_, _ = io.Copy(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{conn})
	return 0
}

// meet connects to a holder that has said hello, which one that was just ending does not.
func meet(name string, size Window) (conn *net.UnixConn, hello []byte, err error) {
	p, err := findPlace()
	if err != nil {
		return nil, nil, err
	}
	start := func(listener *os.File) error { return startHolder(name, size, listener) }
	for range 5 {
		if conn, err = p.connect(name, start); err != nil {
			return nil, nil, fmt.Errorf("connecting to the terminal: %w", err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Write(AppendFrame(nil, KindHello, size.Body()))
		hello = make([]byte, head+1)
		if err == nil {
			_, err = io.ReadFull(conn, hello)
		}
		if err == nil {
			return conn, hello, conn.SetDeadline(time.Time{})
		}
		conn.Close()
	}
	return nil, nil, fmt.Errorf("the terminal's holder does not answer: %w", err)
}

// startHolder starts this program once more, in a session of its own that nobody ends with whoever watches.
func startHolder(name string, size Window, listener *os.File) error {
	c := exec.Command(os.Args[0], modeHold, name, strconv.Itoa(int(size.Rows)), strconv.Itoa(int(size.Columns))) //nolint:gosec,noctx // its own program, as the user who runs it; it outlives whoever waits
	c.ExtraFiles = []*os.File{listener}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c.Start() // the session's first process waits for it
}

// lastWords is how long those who watch may take to see the end.
const lastWords = 10 * time.Second

// hold holds a terminal. Its socket is descriptor 3.
func hold(name string, size Window) int {
	syscall.CloseOnExec(3)
	listener, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return 2
	}
	hang := make(chan os.Signal, 1)
	signal.Notify(hang, unix.SIGTERM)
	// Caught, not ignored: what is ignored stays so in the shell.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE)
	h := New(size)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			own, ok := c.(*net.UnixConn)
			if !ok || ownPeer(own) != nil {
				c.Close()
				continue
			}
			_ = own.SetWriteBuffer(Ahead)
			go h.Serve(own)
		}
	}()
	tell := run(h, size, hang)
	makeWay(name, listener) // before anybody knows: who comes then gets another one
	tell()
	h.outlast(lastWords)
	return 0
}

// makeWay makes way for another terminal of that name.
func makeWay(name string, listener net.Listener) {
	if p, err := findPlace(); err == nil {
		if done, err := p.alone(); err == nil {
			_ = os.Remove(p.socket(name).Name)
			done()
		}
	}
	listener.Close()
}

// outlast waits until all have seen the end, or for as long as that may take.
func (h *Held) outlast(most time.Duration) {
	late := time.After(most)
	for {
		left, change := h.watched()
		if left == 0 {
			return
		}
		select {
		case <-change:
		case <-late:
			return
		}
	}
}

// tell shows what it reads on all terminals of the session.
func tell() int {
	words, err := io.ReadAll(io.LimitReader(os.Stdin, MostSaid))
	if err != nil || len(words) == 0 {
		return 1
	}
	p, err := findPlace()
	if err != nil {
		return 1
	}
	names, err := p.names()
	if err != nil {
		return 1
	}
	for _, name := range names {
		if c, err := p.dial(name); err == nil {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = c.Write(AppendFrame(nil, KindSay, words))
			c.Close()
		}
	}
	return 0
}
