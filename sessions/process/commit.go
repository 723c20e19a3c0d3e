package process

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/sessions"
)

var _ sessions.Committer = (*Runtime)(nil)

// Commit implements sessions.Committer: what runs here has no image.
func (r *Runtime) Commit(_ context.Context, id string, _ sessions.Commit, _ func(sessions.Progress)) (sessions.Image, error) {
	return sessions.Image{}, fmt.Errorf("making an image of %s: %w", id, sessions.ErrNotSupported)
}
