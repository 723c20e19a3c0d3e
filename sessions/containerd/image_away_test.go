package containerd

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/palisade-run/palisade/sessions"
)

// TestContainerdGoesAwayInAPull: whoever pulls is told that containerd is away, not that the registry is at fault.
func TestContainerdGoesAwayInAPull(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("failed to copy: %w", fmt.Errorf("failed to send write: %w", io.EOF)),
		fmt.Errorf("failed to copy: failed to send write: error reading from server: EOF: %w", errdefs.ErrUnavailable),
		fmt.Errorf("listing: %w", errdefs.ErrUnavailable),
	} {
		got := (&fetching{}).explain(err)
		hinted, ok := errors.AsType[*Error](got)
		if !errors.Is(got, sessions.ErrRuntimeDown) || !ok || hinted.Hint() == "" {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got := (&fetching{}).explain(io.ErrUnexpectedEOF); errors.Is(got, sessions.ErrRuntimeDown) {
		t.Errorf("a registry that breaks off is taken for containerd: %v", got)
	}
}
