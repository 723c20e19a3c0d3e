package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUnpackSupervisor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	first, err := unpackSupervisor([]byte("#!/bin/sh\necho one\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := unpackSupervisor([]byte("#!/bin/sh\necho one\n"), dir); err != nil || again != first {
		t.Errorf("the second time it is %s, %v", again, err)
	}
	if err := os.WriteFile(first, []byte("half"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again, err := unpackSupervisor([]byte("#!/bin/sh\necho one\n"), dir); err != nil || again != first {
		t.Errorf("a damaged one stays: %s, %v", again, err)
	}
	second, err := unpackSupervisor([]byte("#!/bin/sh\necho two\n"), dir)
	if err != nil || second == first {
		t.Fatalf("%s, %v", second, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || filepath.Join(dir, left[0].Name()) != second {
		t.Errorf("left: %v, %v", left, err)
	}
	if info, err := os.Stat(second); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("it is no program: %v", err)
	}
}
