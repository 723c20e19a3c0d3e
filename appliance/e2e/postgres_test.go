package e2e_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// TestOnPostgreSQL runs the appliance on the owner's own database: the daemon is killed, the database restarted, and
// nothing is lost.
func TestOnPostgreSQL(t *testing.T) {
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	b := newBox(t)
	b.settings = []string{"--database", server.Database(t)}
	b.start()
	token := b.serve("voices", "recite", 2)
	before := pids(b.routes("voices"))
	b.kill()
	b.start()
	if _, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil {
		t.Error(err)
	}
	if after := pids(b.routes("voices")); !slices.Equal(before, after) {
		t.Errorf("pids were %v and are %v", before, after)
	}

	server.Stop(t)
	if _, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil {
		t.Errorf("without its database the appliance does not answer: %v", err)
	}
	b.fails(1, []string{"database"}, "service", "scale", "voices", "1")
	server.Start(t)
	if err := eventually(soon, func() error {
		if _, stderr, code := b.cli("service", "scale", "voices", "1"); code != 0 {
			return errors.New(stderr)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
