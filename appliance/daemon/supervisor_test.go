package daemon

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func carriedProgram(text string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(text), 0, int64(len(text)))
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	first, err := unpack(carriedProgram("#!/bin/sh\necho one\n"), dir, supervisorName)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := unpack(carriedProgram("#!/bin/sh\necho one\n"), dir, supervisorName); err != nil || again != first {
		t.Errorf("the second time it is %s, %v", again, err)
	}
	if err := os.WriteFile(first, []byte("half"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again, err := unpack(carriedProgram("#!/bin/sh\necho one\n"), dir, supervisorName); err != nil || again != first {
		t.Errorf("a damaged one stays: %s, %v", again, err)
	}
	if text, err := os.ReadFile(first); err != nil || string(text) != "#!/bin/sh\necho one\n" {
		t.Errorf("it is %q, %v", text, err)
	}
	second, err := unpack(carriedProgram("#!/bin/sh\necho two\n"), dir, supervisorName)
	if err != nil || second == first {
		t.Fatalf("%s, %v", second, err)
	}
	other, err := unpack(carriedProgram("#!/bin/sh\necho other\n"), dir, initName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(other); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || filepath.Join(dir, left[0].Name()) != second {
		t.Errorf("left: %v, %v", left, err)
	}
	if info, err := os.Stat(second); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("it is no program: %v", err)
	}
}
