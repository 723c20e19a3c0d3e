package containerd

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// mostPatience is how seldom at most it is tried again.
const mostPatience = 30 * time.Second

// later tries again, until it is done or the runtime is closed, what failed for id because containerd was
// away, most likely. There is one such thing for an id at a time.
func (r *Runtime) later(id string, do func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[id] || r.life.Err() != nil {
		return
	}
	r.pending[id] = true
	r.background.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.pending, id)
		}()
		for pause := askAgain; ; pause = min(2*pause, mostPatience) {
			select {
			case <-r.life.Done():
				return
			case <-time.After(pause):
			}
			ctx, cancel := context.WithTimeout(r.life, afterKill)
			err := do(ctx)
			cancel()
			if err == nil {
				r.log.Info("what containerd was not there for is done", "session", id)
				return
			}
			r.log.Debug("trying again later", "session", id, "err", err)
		}
	})
}

// undo removes what a start that failed has made. It goes on where the caller has given up, or containerd
// has.
func (m *making) undo(ctx context.Context) {
	if m.first.PID > 0 {
		_ = m.first.signal(unix.SIGKILL)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterKill)
	defer cancel()
	if err := m.r.discard(ctx, m.spec.ID); err != nil {
		m.r.log.Warn("a session that did not start is left half made for now", "session", m.spec.ID, "err", err)
		m.r.later(m.spec.ID, func(ctx context.Context) error { return m.r.discard(ctx, m.spec.ID) })
	}
}
