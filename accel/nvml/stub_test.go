//go:build !cgo || !linux

package nvml

import (
	"errors"
	"testing"
)

func TestABuildWithoutTheLibrarySaysSo(t *testing.T) {
	_, err := Open(Options{})
	var hinted interface{ Hint() string }
	if !errors.Is(err, ErrNotBuilt) || err.Error() != "this build of palisade has no NVML (CGO_ENABLED=0)" || !errors.As(err, &hinted) {
		t.Errorf("%v", err)
	}
	if _, err := Simulate("dgxh100", SimulateOptions{}); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("%v", err)
	}
	if _, err := Simulate("dgx1", SimulateOptions{}); !errors.Is(err, ErrUnknownBox) {
		t.Errorf("%v", err)
	}
}
