package runtimetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// fakeInstance is guarded by its Fake's mutex, but for its log, which has its own.
type fakeInstance struct {
	sessions.Instance
	b        Behaviour
	starting bool
	termed   bool
	done     chan struct{} // closed once Exit is set
	log      *fakeLog
	stats    sessions.Stats
}

// begin turns a reserved instance into one that runs.
func (in *fakeInstance) begin(f *Fake, b Behaviour) {
	in.starting, in.Running, in.StartedAt = false, true, time.Now()
	for _, line := range b.Log {
		in.log.write(line + "\n")
	}
	if b.ExitAfter <= 0 && b.Exit == nil {
		return
	}
	exit := sessions.Exit{Reason: sessions.ExitCompleted, Message: "It has ended by itself."}
	if b.Exit != nil {
		exit = *b.Exit
	}
	in.endAfter(f, b.ExitAfter, exit)
}

// term is SIGTERM.
func (in *fakeInstance) term(f *Fake) {
	in.termed = true
	if in.b.IgnoreTerm {
		return
	}
	for _, line := range in.b.TermLog {
		in.log.write(line + "\n")
	}
	exit := sessions.Exit{Reason: sessions.ExitStopped, Code: 143, Signal: "SIGTERM", Message: "It was stopped."}
	if in.b.TermExit != nil {
		exit = *in.b.TermExit
	}
	in.endAfter(f, in.b.TermDelay, exit)
}

func (in *fakeInstance) endAfter(f *Fake, d time.Duration, exit sessions.Exit) {
	if d <= 0 {
		in.end(exit)
		return
	}
	time.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		in.end(exit)
	})
}

// end sets how the instance ended. The first end counts.
func (in *fakeInstance) end(exit sessions.Exit) {
	if !in.Running {
		return
	}
	exit.FinishedAt = cmp.Or(exit.FinishedAt, time.Now())
	in.Running, in.PID, in.Exit = false, 0, &exit
	in.log.close()
	close(in.done)
}

func (in *fakeInstance) view() sessions.Instance {
	v := in.Instance
	v.Labels = maps.Clone(in.Labels)
	if in.Exit != nil {
		v.Exit = new(*in.Exit)
	}
	return v
}

// Inspect implements sessions.Observer.
func (f *Fake) Inspect(_ context.Context, id string) (sessions.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, err := f.instance(id)
	if err != nil {
		return sessions.Instance{}, fmt.Errorf("looking at %w", err)
	}
	return in.view(), nil
}

// Logs implements sessions.Observer.
func (f *Fake) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, err := f.instance(id)
	if err != nil {
		return nil, fmt.Errorf("logs of %w", err)
	}
	return in.log.reader(ctx, opts), nil
}

// Stats implements sessions.Observer.
func (f *Fake) Stats(_ context.Context, id string) (sessions.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, err := f.instance(id)
	if err != nil {
		return sessions.Stats{}, fmt.Errorf("stats of %w", err)
	}
	if !in.Running {
		return sessions.Stats{}, fmt.Errorf("stats of %s: it does not run: %w", id, sessions.ErrNoInstance)
	}
	s := in.stats
	s.At = cmp.Or(s.At, time.Now())
	return s, nil
}

// Exec implements sessions.Observer.
func (f *Fake) Exec(_ context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	f.mu.Lock()
	in, err := f.instance(id)
	if err == nil && !in.Running {
		err = fmt.Errorf("%s does not run: %w", id, sessions.ErrNoInstance)
	}
	onExec := f.onExec
	f.mu.Unlock()
	switch {
	case err != nil:
		return sessions.Exit{}, fmt.Errorf("running a command in %w", err)
	case len(cmd.Argv) == 0:
		return sessions.Exit{}, errors.New("running a command: no command given")
	case onExec != nil:
		return onExec(id, cmd)
	}
	return sessions.Exit{Reason: sessions.ExitCompleted, FinishedAt: time.Now()}, nil
}

// Dial implements sessions.Dialer.
func (f *Fake) Dial(_ context.Context, id string, port int) (net.Conn, error) {
	f.mu.Lock()
	in, err := f.instance(id)
	if err == nil && !in.Running {
		err = fmt.Errorf("%s does not run: %w", id, sessions.ErrNoInstance)
	}
	onDial := f.onDial
	f.mu.Unlock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("port %d of %w", port, err)
	case onDial != nil:
		return onDial(id, port)
	}
	return nil, fmt.Errorf("port %d of %s: %w", port, id, syscall.ECONNREFUSED)
}

// fakeLog is what an instance has written. A reader waits on the channel that it saw under the same
// lock as the end of the text.
type fakeLog struct {
	mu     sync.Mutex
	text   string
	closed bool
	more   chan struct{} // closed, and replaced, by a write
}

func newFakeLog() *fakeLog { return &fakeLog{more: make(chan struct{})} }

func (l *fakeLog) write(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += s
	close(l.more)
	l.more = make(chan struct{})
}

func (l *fakeLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.more)
	l.more = make(chan struct{})
}

func (l *fakeLog) reader(ctx context.Context, opts sessions.LogOptions) io.ReadCloser {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &fakeLogReader{ctx: ctx, log: l, follow: opts.Follow, stop: make(chan struct{})}
	if opts.Tail > 0 {
		lines := strings.SplitAfter(strings.TrimSuffix(l.text, "\n"), "\n")
		kept := lines[max(0, len(lines)-opts.Tail):]
		r.at = max(0, len(strings.TrimSuffix(l.text, "\n"))-len(strings.Join(kept, "")))
	}
	return r
}

type fakeLogReader struct {
	ctx    context.Context
	log    *fakeLog
	at     int
	follow bool
	once   sync.Once
	stop   chan struct{}
}

func (r *fakeLogReader) Read(p []byte) (int, error) {
	for {
		r.log.mu.Lock()
		if r.at < len(r.log.text) {
			n := copy(p, r.log.text[r.at:])
			r.at += n
			r.log.mu.Unlock()
			return n, nil
		}
		ended, more := r.log.closed || !r.follow, r.log.more
		r.log.mu.Unlock()
		if ended {
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-r.stop:
			return 0, io.ErrClosedPipe
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

func (r *fakeLogReader) Close() error {
	r.once.Do(func() { close(r.stop) })
	return nil
}
