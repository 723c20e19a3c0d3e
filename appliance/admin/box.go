package admin

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/sessions"
)

// ownsBox reports whether who asks may do everything on this box: what they name by hand may be at places that nobody else may
// name.
func (s *server) ownsBox(ctx context.Context) bool {
	return s.permit(ctx, admin, DefaultProject) == nil
}

// imageFrom refuses an image whose registry may not be named by who asks.
func (s *server) imageFrom(ctx context.Context, image string) error {
	refuse := s.named(ctx)
	if image == "" || refuse == nil {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil //nolint:nilerr // who runs it says what is wrong
	}
	if err := refuse(reference.Domain(named)); err != nil {
		return fmt.Errorf("image %s: %w: %w", image, sessions.ErrInvalid, err)
	}
	return nil
}

// named says why a host may not be named by who asks; nil where any may be. Who sits at the box reaches all that it reaches anyway.
func (s *server) named(ctx context.Context) func(host string) error {
	switch {
	case !s.ownsBox(ctx):
		return s.Registry
	case IsLocal(ctx):
		return nil
	}
	return s.ByHand
}

// placeFrom refuses a place of files that may not be named by who asks. Where a name leads is seen when it is asked.
func (s *server) placeFrom(ctx context.Context, ref fetch.Ref) error {
	refuse := s.named(ctx)
	if refuse == nil || ref.Scheme != "http" && ref.Scheme != "git" && ref.Scheme != "oci" {
		return nil
	}
	if err := refuse(hostIn(ref.Where)); err != nil {
		return fmt.Errorf("%s: %w: %w", ref, sessions.ErrInvalid, err)
	}
	return nil
}

// catalogFrom refuses a place of a catalog that may not be named by hand.
func (s *server) catalogFrom(ctx context.Context, at, dir string) error {
	p, err := index.ParsePlace(at, dir)
	if err != nil {
		return nil //nolint:nilerr // who adds it says what is wrong
	}
	return s.placeFrom(ctx, p.Ref)
}

// hostIn is the host of an address, or of what begins with one.
func hostIn(where string) string {
	if u, err := url.Parse(where); err == nil && u.Host != "" {
		return u.Host
	}
	host, _, _ := strings.Cut(where, "/")
	return host
}
