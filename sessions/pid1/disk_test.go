package pid1_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/palisade-run/palisade/sessions/pid1"
)

func TestDisk(t *testing.T) {
	proc := t.TempDir()
	if read, written := pid1.Disk(proc); read != -1 || written != -1 {
		t.Errorf("%d and %d where nobody tells", read, written)
	}
	for name, text := range map[string]string{
		"1/io":    "rchar: 9\nwchar: 9\nread_bytes: 4096\nwrite_bytes: 100\ncancelled_write_bytes: 7\n",
		"22/io":   "read_bytes: 1\nwrite_bytes: 11\n",
		"self/io": "read_bytes: 1000\n",
		"33/stat": "33 (x) S\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(proc, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if read, written := pid1.Disk(proc); read != 4097 || written != 111 {
		t.Errorf("%d read and %d written, want 4097 and 111", read, written)
	}
}
