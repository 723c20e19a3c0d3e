package admin

import (
	"context"
	"fmt"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/sessions"
)

// ownsBox reports whether who asks may do everything on this box: what they name by hand may be at places that nobody else may
// name.
func (s *server) ownsBox(ctx context.Context) bool {
	return s.permit(ctx, admin, DefaultProject) == nil
}

// imageFrom refuses an image whose registry is an address of this box, or beside it, to who does not own the box.
func (s *server) imageFrom(ctx context.Context, image string) error {
	if image == "" || s.Registry == nil || s.ownsBox(ctx) {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil //nolint:nilerr // who runs it says what is wrong
	}
	if err := s.Registry(reference.Domain(named)); err != nil {
		return fmt.Errorf("image %s: %w: %w", image, sessions.ErrInvalid, err)
	}
	return nil
}
