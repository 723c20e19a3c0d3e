package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether v is a file that is a terminal.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// columns is the width of the terminal w, 80 where it is unknown.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}

// progress is one line that says what goes on now: rewritten in place on a terminal, otherwise a line for
// each change. It is used from one goroutine.
type progress struct {
	w     io.Writer
	live  bool // a terminal
	off   bool // -q
	begin time.Time
	last  string
	frame int
	drawn time.Time
	spoke time.Time // when the last line that stays was printed
}

func (a *app) newProgress() *progress {
	return &progress{w: a.Stderr, live: isTerminal(a.Stderr), off: a.quiet, begin: a.now(), spoke: a.now()}
}

const (
	spinner     = "|/-\\"
	redrawEvery = 100 * time.Millisecond
	speakEvery  = 30 * time.Second
)

// status replaces the line that is rewritten; without a terminal it is a line where nothing was said for long.
func (p *progress) status(now time.Time, text string) {
	if !p.live && now.Sub(p.spoke) >= speakEvery {
		p.last = ""
		p.line(now, text)
	}
	if p.off || !p.live || now.Sub(p.drawn) < redrawEvery {
		return
	}
	p.drawn = now
	p.frame++
	line := fmt.Sprintf("%c %s  %s", spinner[p.frame%len(spinner)], elapsed(now.Sub(p.begin)), oneLine(text))
	if runes := []rune(line); len(runes) >= columns(p.w) {
		line = string(runes[:columns(p.w)-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
}

// line prints a line that stays.
func (p *progress) line(now time.Time, text string) {
	if p.off || text == p.last {
		return
	}
	p.last, p.spoke = text, now
	p.clear()
	fmt.Fprintf(p.w, "%6s  %s\n", elapsed(now.Sub(p.begin)), oneLine(text))
}

// clear takes the line that is rewritten away.
func (p *progress) clear() {
	if p.live && !p.off && !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}

func elapsed(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	default:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
}
