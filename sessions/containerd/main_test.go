package containerd_test

import (
	"testing"

	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

func TestMain(m *testing.M) { containerdtest.Main(m) }
