package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestDiskCheck(t *testing.T) {
	for free, want := range map[int64]string{
		0: api.CheckFailed, diskCritical - 1: api.CheckFailed, diskCritical: api.CheckWarning, diskLow - 1: api.CheckWarning, diskLow: api.CheckOK,
	} {
		got := diskCheck(free, "/data")
		if got.Status != want {
			t.Errorf("%d bytes free: %s, want %s", free, got.Status, want)
		}
		if (got.Hint == "") != (want == api.CheckOK) {
			t.Errorf("%d bytes free: hint %q", free, got.Hint)
		}
	}
	if got := checkDisk(t.TempDir()); got.Status == api.CheckFailed && !strings.Contains(got.Detail, "GiB free") {
		t.Errorf("a directory that is there: %+v", got)
	}
	if got := checkDisk(filepath.Join(t.TempDir(), "none")); got.Status != api.CheckFailed {
		t.Errorf("a directory that is not there: %+v", got)
	}
}
