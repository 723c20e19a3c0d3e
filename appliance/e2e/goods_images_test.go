package e2e_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// TestImagesGoWhereTheyRun: an image that one box has, and no registry, is brought to the box that a session is placed on.
func TestImagesGoWhereTheyRun(t *testing.T) {
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	n := newLAN(t)
	n.runtime = "containerd"
	hosts := n.hosts(server.Database(t), "containerd: {address: private}\n", "", "one", "two", "three")
	one, three := hosts[0], hosts[2]
	one.run("image", "import", engineImage(t, "engine:1"))
	one.run("cluster", "cordon", "one")
	one.run("cluster", "cordon", "two")
	one.run("session", "create", "engine:1", "--name", "far", "-c", "echo it is here", "--wait")
	if said := three.run("session", "logs", "far"); !strings.Contains(said, "it is here") {
		t.Errorf("it said %q", said)
	}
}
