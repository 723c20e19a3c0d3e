package admin_test

import (
	"errors"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// TestTooManyLines: one command too many is refused, and begins nothing.
func TestTooManyLines(t *testing.T) {
	o := newOnline(t, "host")
	const most = 256
	for range most {
		o.exec(api.ExecOptions{Command: []string{"stay"}})
	}
	o.running(most)
	if _, err := o.client.Exec(t.Context(), o.session, api.ExecOptions{Command: []string{"stay"}}); !errors.Is(err, api.KindError(api.KindState)) {
		t.Errorf("one more: %v", err)
	}
	if _, err := o.client.Terminal(t.Context(), o.session, "main", api.Window{}, ""); !errors.Is(err, api.KindError(api.KindState)) {
		t.Errorf("one more terminal: %v", err)
	}
	o.running(most)
}
