package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/sessions"
)

func TestSearched(t *testing.T) {
	top, err := os.MkdirTemp("/tmp", "palisade-searched-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	bin, secret := filepath.Join(top, "bin"), filepath.Join(top, "data")
	for _, dir := range []string{bin, filepath.Join(secret, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := strings.Join([]string{"/usr/bin", bin, bin + "/", filepath.Join(top, "gone"), filepath.Join(secret, "bin"), top, "/tmp", "relative"}, ":")
	want := []sessions.Mount{{Source: bin, Target: bin, ReadOnly: true}}
	if diff := cmp.Diff(want, searched(path, []string{secret})); diff != "" {
		t.Error(diff)
	}
}
