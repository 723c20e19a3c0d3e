package containerd_test

import (
	"os"
	"testing"

	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// onSystem names the socket of a containerd of the box, on which the suite is run by hand.
const onSystem = "PALISADE_CONTAINERD"

func TestMain(m *testing.M) {
	os.Setenv("DOCKER_CONFIG", "/nowhere") // no log-in of whoever runs the tests may decide how they end
	if os.Getenv(onSystem) != "" {         // what that containerd can see is not in namespaces of ours
		os.Exit(m.Run())
	}
	containerdtest.Main(m)
}
