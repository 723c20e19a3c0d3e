package sessions

import (
	"context"
	"errors"
	"fmt"
)

// Exec runs a command in a running session, of whichever type, and returns how it ended.
func (m *Manager) Exec(ctx context.Context, project, ref string, cmd ExecSpec) (Exit, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return Exit{}, err
	}
	exit, err := m.Observer.Exec(ctx, s.ID, cmd)
	if errors.Is(err, ErrNoInstance) {
		if now, gone := m.Session(project, s.ID); gone == nil {
			s = now
		}
		return Exit{}, NotRunning(s)
	}
	return exit, err
}

// NotRunning says that nothing can be done in a session, and why.
func NotRunning(s Session) error {
	return fmt.Errorf("session %s does not run: %w: it is %s, %s", s.Name, ErrForbidden, s.Status, s.Reason)
}
