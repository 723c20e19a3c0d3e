package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// ExecProtocol is the websocket's subprotocol: binary messages, the first byte of each a Channel.
const ExecProtocol = "palisade.exec.v1"

// Channel says what a message is.
type Channel byte

// The channels. No message of bytes is longer than ExecChunk, and of no stream more than ExecWindow is under way: who
// receives says with ChannelTaken what has been taken in. So a client that stands still holds the command up, fills
// nobody's memory, and what it types gets through all the same.
const (
	ChannelStdin   Channel = iota // from the client: bytes; none of them is the end of the input
	ChannelStdout                 // from the appliance: bytes; all of a terminal's
	ChannelStderr                 // the same, without a terminal
	ChannelResize                 // from the client: Window
	ChannelExit                   // from the appliance, its last word: Exit
	ChannelProblem                // from the appliance, its last word: Problem
	ChannelTaken                  // from both: Taken
)

// The bounds of messages and of what is under way, in bytes.
const (
	ExecChunk  = 32 << 10
	ExecWindow = 256 << 10
)

// Window is a terminal's size in characters.
type Window struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// Taken says that so many bytes more of a stream have been taken in.
type Taken struct {
	Channel Channel `json:"channel"` // 0, 1 or 2
	Bytes   int     `json:"bytes"`
}

// How a line is known to live.
const (
	linePings   = 15 * time.Second // how often it is asked
	linePatrols = 30 * time.Second // how long an answer, or a write, may take
)

var (
	errLineBroken = errors.New("broke the protocol " + ExecProtocol)
	errLineClosed = errors.New("the line was closed")
)

// line is one end of a command's streams. Its reader never waits for whoever takes them in, so that what is no stream
// always gets through.
type line struct {
	ws     *websocket.Conn
	heard  func(Channel, []byte) error // what is neither a stream nor Taken
	in     [3]*inbox                   // nil: not ours to receive
	out    [3]*allowance               // nil: not ours to send
	gone   chan struct{}               // closed when nothing more comes
	once   sync.Once
	closed sync.Once
	why    error // set before gone is closed
}

func newLine(ws *websocket.Conn, receives, sends []Channel) *line {
	l := &line{ws: ws, gone: make(chan struct{})}
	for _, c := range receives {
		l.in[c] = newInbox(func(n int) { _ = l.tell(ChannelTaken, Taken{c, n}) })
	}
	for _, c := range sends {
		l.out[c] = newAllowance()
	}
	ws.SetReadLimit(ExecChunk + 1)
	return l
}

// live reads until the line has ended.
func (l *line) live(heard func(Channel, []byte) error) {
	l.heard = heard
	go l.ping()
	for {
		kind, message, err := l.ws.Read(context.Background()) // a peer that is gone is found out by ping
		if err == nil {
			err = l.hear(kind, message)
		}
		if err == nil {
			continue
		}
		l.end(err)
		if errors.Is(err, errLineBroken) {
			l.close(websocket.StatusProtocolError, err.Error())
		}
		return
	}
}

// end is the end of all that comes.
func (l *line) end(why error) {
	l.once.Do(func() {
		l.why = why
		close(l.gone)
		for _, in := range l.in {
			if in != nil {
				in.end(fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, why))
			}
		}
	})
}

func (l *line) hear(kind websocket.MessageType, message []byte) error {
	if kind != websocket.MessageBinary || len(message) == 0 {
		return fmt.Errorf("%w: a message that is not binary, or empty", errLineBroken)
	}
	c, body := Channel(message[0]), message[1:]
	switch {
	case int(c) < len(l.in) && l.in[c] != nil:
		return l.in[c].put(body)
	case c == ChannelTaken:
		var t Taken
		if json.Unmarshal(body, &t) != nil || int(t.Channel) >= len(l.out) || l.out[t.Channel] == nil || !l.out[t.Channel].give(t.Bytes) {
			return fmt.Errorf("%w: what was taken in was never sent", errLineBroken)
		}
		return nil
	}
	return l.heard(c, body)
}

// ping finds out that nobody is there, and keeps others on the way from taking the line for dead.
func (l *line) ping() {
	tick := time.NewTicker(linePings)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.gone:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), linePatrols)
		err := l.ws.Ping(ctx)
		cancel()
		if err != nil {
			l.end(fmt.Errorf("nobody answers: %w", err))
			_ = l.ws.CloseNow()
			return
		}
	}
}

// say sends one message.
func (l *line) say(c Channel, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), linePatrols)
	defer cancel()
	return l.ws.Write(ctx, websocket.MessageBinary, append(append(make([]byte, 0, 1+len(body)), byte(c)), body...))
}

func (l *line) tell(c Channel, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.say(c, body)
}

// close says why the line ends, and ends it.
func (l *line) close(code websocket.StatusCode, why string) {
	l.closed.Do(func() {
		_ = l.ws.Close(code, why[:min(len(why), 120)])
		l.end(errLineClosed)
	})
}

// sender is a stream that goes out, as far as the other side takes it in, until ctx ends.
type sender struct {
	l   *line
	c   Channel
	ctx context.Context
}

// Write implements io.Writer.
func (s sender) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := s.l.out[s.c].take(s.ctx, s.l.gone, min(len(p)-sent, ExecChunk))
		if err == nil {
			err = s.l.say(s.c, p[sent:sent+n])
		}
		if err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// allowance is how much of a stream may be sent yet.
type allowance struct {
	mu   sync.Mutex
	free int
	more chan struct{} // of size 1
}

func newAllowance() *allowance { return &allowance{free: ExecWindow, more: make(chan struct{}, 1)} }

// take waits until something may be sent and returns how much of want. One goroutine at a time calls it.
func (a *allowance) take(ctx context.Context, gone <-chan struct{}, want int) (int, error) {
	for {
		a.mu.Lock()
		n := min(want, a.free)
		a.free -= n
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-gone:
			return 0, io.ErrClosedPipe
		default:
		}
		if n > 0 {
			return n, nil
		}
		select {
		case <-a.more:
		case <-ctx.Done():
		case <-gone:
		}
	}
}

// give allows n bytes more; false: so much was never sent.
func (a *allowance) give(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n <= 0 || n > ExecWindow-a.free {
		return false
	}
	a.free += n
	select {
	case a.more <- struct{}{}:
	default:
	}
	return true
}

// inbox is what has come of a stream and was not taken in yet.
type inbox struct {
	taken func(int) // tells the other side

	mu     sync.Mutex
	waits  []byte
	told   int // bytes taken in that the other side was not told of
	ended  error
	change chan struct{} // of size 1
}

func newInbox(taken func(int)) *inbox { return &inbox{taken: taken, change: make(chan struct{}, 1)} }

// put adds what has come; nothing is the end of the stream.
func (in *inbox) put(p []byte) error {
	if len(p) == 0 {
		in.end(io.EOF)
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.waits)+in.told+len(p) > ExecWindow {
		return fmt.Errorf("%w: more than %d bytes of a stream are under way", errLineBroken, ExecWindow)
	}
	in.waits = append(in.waits, p...)
	in.wake()
	return nil
}

func (in *inbox) end(why error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ended == nil {
		in.ended = why
	}
	in.wake()
}

func (in *inbox) wake() {
	select {
	case in.change <- struct{}{}:
	default:
	}
}

// Read implements io.Reader, for one goroutine.
func (in *inbox) Read(p []byte) (int, error) {
	for {
		in.mu.Lock()
		n := copy(p, in.waits)
		in.waits = in.waits[n:]
		if len(in.waits) == 0 {
			in.waits = nil
		}
		in.told += n
		tell, why := 0, in.ended
		if in.told >= ExecWindow/4 {
			tell, in.told = in.told, 0
		}
		in.mu.Unlock()
		if tell > 0 {
			in.taken(tell)
		}
		switch {
		case n > 0 || len(p) == 0:
			return n, nil
		case why != nil:
			return 0, why
		}
		<-in.change
	}
}
