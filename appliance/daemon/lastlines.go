package daemon

import (
	"bytes"
	"slices"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
)

// What is kept of the log for whoever asks for help.
const (
	keptLines  = 1000
	keptOfLine = 2 << 10 // bytes
)

// lastLines keeps the newest lines of the log in memory: where the rest of it goes is the owner's affair, and may be nowhere.
// It is safe for concurrent use.
type lastLines struct {
	mu    sync.Mutex
	lines [][]byte
	next  int // the oldest, once there are as many as are kept
}

func newLastLines() *lastLines { return &lastLines{} }

// Write keeps one line, as log handlers write them.
func (l *lastLines) Write(line []byte) (int, error) {
	kept := bytes.Clone(line[:min(len(line), keptOfLine)])
	if len(line) > keptOfLine {
		kept = append(kept, "...\n"...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < keptLines {
		l.lines = append(l.lines, kept)
		return len(line), nil
	}
	l.lines[l.next] = kept
	l.next = (l.next + 1) % keptLines
	return len(line), nil
}

// text is what is kept, oldest first.
func (l *lastLines) text() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Join(slices.Concat(l.lines[l.next:], l.lines[:l.next]), nil)
}

// settings are those that this daemon was started with.
func (d *daemon) settings() []api.Setting {
	out := []api.Setting{}
	for _, s := range config.Effective(d.Config, d.Flags) {
		out = append(out, api.Setting{Name: s.Name, Value: s.Value, From: s.From, Hidden: s.Hidden})
	}
	return out
}
