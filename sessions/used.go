package sessions

import (
	"context"
	"time"
)

// Used writes down when a session of a person was used last. Of a time before the one that is written, nothing is; one that cannot
// be written is not in force, so that who asks again is not taken for late.
func (m *Manager) Used(ctx context.Context, project, ref string, at time.Time) error {
	r, err := m.personal(project, ref)
	if err != nil {
		return err
	}
	at = at.UTC()
	r.mu.Lock()
	before := r.session.Task.UsedAt
	newer := at.After(before)
	if newer {
		r.session.Task.UsedAt = at
	}
	r.mu.Unlock()
	if !newer {
		return nil
	}
	err = r.save(ctx)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.session.Task.UsedAt.Equal(at) {
			r.session.Task.UsedAt = before
		}
	}
	return err
}
