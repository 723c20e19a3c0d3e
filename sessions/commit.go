package sessions

import (
	"context"
	"errors"
	"fmt"
)

// Committer is a Runtime that makes images of instances.
type Committer interface {
	// Commit makes an image of what a running instance has changed of its own: what is mounted into it is not in it.
	// ErrExists where there is an image of that name and it is not to be replaced; ErrNotSupported where the instance has
	// no image. It calls progress, which may be nil, from one goroutine.
	Commit(ctx context.Context, id string, c Commit, progress func(Progress)) (Image, error)
}

// Commit says what image is to be made.
type Commit struct {
	Image string // its name: mine:1
	// Replace takes the name from the image that has it.
	Replace bool
	// Running leaves the instance running meanwhile: what it writes then may be in the image or not.
	Running bool
	By      string // who asks
}

// Commit makes an image of a running session.
func (m *Manager) Commit(ctx context.Context, project, ref string, c Commit, progress func(Progress)) (Image, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return Image{}, err
	}
	if s.Status != StatusRunning {
		return Image{}, NotRunning(s)
	}
	committer, ok := m.Runtime.(Committer)
	if !ok {
		return Image{}, noImageOf(s)
	}
	img, err := committer.Commit(ctx, s.ID, c, progress)
	switch {
	case errors.Is(err, ErrNoInstance):
		if now, gone := m.Session(project, s.ID); gone == nil {
			s = now
		}
		return Image{}, NotRunning(s)
	case errors.Is(err, ErrNotSupported):
		return Image{}, noImageOf(s)
	case err != nil:
		return Image{}, fmt.Errorf("making image %s of session %s: %w", c.Image, s.Name, err)
	}
	return img, nil
}

func noImageOf(s Session) error {
	return fmt.Errorf("session %s runs the box's own programs, not an image: there is nothing of its own that could be kept as one: %w", s.Name, ErrNotSupported)
}
