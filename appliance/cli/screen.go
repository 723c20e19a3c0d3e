package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// screen is a terminal that is drawn on as a whole. What it was before comes back with close.
type screen struct {
	in, out *os.File
	before  *term.State
}

// What a terminal is told: its other screen, without a cursor; and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[0m\x1b[?25h\x1b[?1049l"
)

// open takes the terminal: keys come as they are typed, and nothing is echoed.
func (s *screen) open() error {
	before, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return fmt.Errorf("taking the terminal: %w", err)
	}
	s.before = before
	if _, err := s.out.WriteString(enterScreen); err != nil {
		s.close()
		return fmt.Errorf("taking the terminal: %w", err)
	}
	return nil
}

// close gives the terminal back as it was. It is idempotent.
func (s *screen) close() {
	if s.before == nil {
		return
	}
	// Whoever hung up needs neither.
	_, _ = s.out.WriteString(leaveScreen)
	_ = term.Restore(int(s.in.Fd()), s.before)
	s.before = nil
}

// suspend gives the terminal back, stops the program as Ctrl-Z does, and takes the terminal again when it goes on.
func (s *screen) suspend(ctx context.Context) error {
	s.close()
	// The kernel stops a program a little after it was told to: what tells that it goes on again is SIGCONT alone.
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, unix.SIGCONT)
	defer signal.Stop(goesOn)
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	select {
	case <-goesOn:
		return s.open()
	case <-ctx.Done():
		return nil
	}
}

// draw shows a frame of the window's size in one write: every line over the one before it, to its end, so that nothing
// flickers.
func (s *screen) draw(frame func(width, height int) string) error {
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	if _, err := s.out.WriteString(redraw(frame(width, height), height)); err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	return nil
}

// redraw is what draws a frame over another.
func redraw(frame string, height int) string {
	lines := strings.Split(frame, "\n")
	lines = lines[:min(len(lines), height)]
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J"
}

// pollEvery is how long a read of the keys waits, in ms, before it looks whether it is still wanted.
const pollEvery = 100

// read sends the keys that are typed until ctx ends. It returns an error when the terminal is gone.
func (s *screen) read(ctx context.Context, keys chan<- byte) error {
	buffer := make([]byte, 64)
	for ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(s.in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, pollEvery)
		switch {
		case errors.Is(err, unix.EINTR) || err == nil && n == 0:
			continue
		case err != nil:
			return fmt.Errorf("waiting for keys: %w", err)
		}
		n, err = unix.Read(int(s.in.Fd()), buffer)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("reading keys: %w", err)
		case n == 0:
			return errors.New("the terminal was closed")
		}
		for _, key := range withoutEscapes(buffer[:n]) {
			select {
			case keys <- key:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// withoutEscapes leaves out what arrow and function keys send: the letters in it are nobody's wish.
func withoutEscapes(typed []byte) []byte {
	var out []byte
	const (
		letters  = iota
		escape   // after ESC
		sequence // after ESC [ or ESC O, up to a letter or ~
	)
	state := letters
	for _, key := range typed {
		switch {
		case key == 0x1b:
			state = escape
		case state == escape && (key == '[' || key == 'O'):
			state = sequence
		case state == sequence:
			if key >= 0x40 && key <= 0x7e {
				state = letters
			}
		default:
			state = letters
			out = append(out, key)
		}
	}
	return out
}
