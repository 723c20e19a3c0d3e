package sessions

import (
	"context"
	"time"
)

// Used writes down when a session of a person was used last. Of a time before the one that is written, nothing is.
func (m *Manager) Used(ctx context.Context, project, ref string, at time.Time) error {
	r, err := m.personal(project, ref)
	if err != nil {
		return err
	}
	r.mu.Lock()
	newer := at.After(r.session.Task.UsedAt)
	if newer {
		r.session.Task.UsedAt = at.UTC()
	}
	r.mu.Unlock()
	if !newer {
		return nil
	}
	return r.save(ctx)
}
