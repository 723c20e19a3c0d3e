package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheAccessLogIsLookedAtBefore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "old.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "", file: "", filepath.Join(dir, "new.log"): "",
		dir:                               "is a directory",
		filepath.Join(dir, "none", "log"): "there is no directory " + filepath.Join(dir, "none"),
		filepath.Join(file, "log"):        "not a directory",
	} {
		err := checkAccessLog(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || adviceOf(err) == "") {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new.log")); err == nil {
		t.Error("looking made the file")
	}
}
