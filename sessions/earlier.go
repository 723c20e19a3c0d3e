package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// EarlierLogs keep what runs have written that a session has behind it: a runtime has the log of the last one alone.
type EarlierLogs interface {
	// Keep writes the log of a run, by its number from 0; a second time it replaces the first.
	Keep(ctx context.Context, session string, run int, log io.Reader) error
	// Runs lists those that are kept, oldest first.
	Runs(session string) ([]int, error)
	Open(session string, run int) (io.ReadCloser, error)
	// Forget removes all of a session's.
	Forget(session string) error
}

// earlierLines of a log are kept of each run.
const earlierLines = 10_000

// keepLog keeps what a run has written, before its instance is removed. It is no reason not to go on.
func (r *runner) keepLog(ctx context.Context, s Session) {
	if r.earlier == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.limits.Save)
	defer cancel()
	log, err := r.observe.Logs(ctx, s.ID, LogOptions{Tail: earlierLines})
	if errors.Is(err, ErrNoInstance) {
		return // it was kept before, and its instance is gone
	}
	if err == nil {
		err = errors.Join(r.earlier.Keep(ctx, s.ID, s.Task.Restarts-1, log), log.Close())
	}
	if err != nil {
		r.log.Warn("what the session wrote in its last run is not kept", "error", err)
	}
}

// EarlierLogs are what a session's earlier runs have written, oldest first, each below a line that says which it is.
// ErrNotFound where there were none.
func (m *Manager) EarlierLogs(_ context.Context, project, ref string) (io.ReadCloser, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	var runs []int
	if m.Earlier != nil {
		if runs, err = m.Earlier.Runs(s.ID); err != nil {
			return nil, err
		}
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("session %s has no log of an earlier run: %w", s.Name, ErrNotFound)
	}
	return &runsReader{session: s.ID, logs: m.Earlier, runs: slices.Clone(runs)}, nil
}

// runsReader reads the logs of runs one after another.
type runsReader struct {
	session string
	logs    EarlierLogs
	runs    []int
	head    []byte // to be read before
	cur     io.ReadCloser
}

func (r *runsReader) Read(p []byte) (int, error) {
	for {
		switch {
		case len(r.head) > 0:
			n := copy(p, r.head)
			r.head = r.head[n:]
			return n, nil
		case r.cur != nil:
			n, err := r.cur.Read(p)
			if n > 0 || err == nil {
				return n, nil
			}
			if closing := r.Close(); !errors.Is(err, io.EOF) || closing != nil {
				return 0, errors.Join(err, closing)
			}
		case len(r.runs) == 0:
			return 0, io.EOF
		default:
			run := r.runs[0]
			r.runs = r.runs[1:]
			next, err := r.logs.Open(r.session, run)
			if err != nil {
				return 0, fmt.Errorf("the log of run %d: %w", run+1, err)
			}
			r.head, r.cur = fmt.Appendf(nil, "[palisade: run %d]\n", run+1), next
		}
	}
}

// Close implements io.Closer.
func (r *runsReader) Close() error {
	if r.cur == nil {
		return nil
	}
	err := r.cur.Close()
	r.cur = nil
	return err
}
