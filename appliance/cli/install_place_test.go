package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// Files of the directory that somebody stands in are found by the appliance, which stands elsewhere; all else is left as it is.
func TestPlaceHere(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{"small.gguf", "qwen3-8b"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for source, want := range map[string]string{
		"./qwen3-8b": filepath.Join(dir, "qwen3-8b"), "small.gguf": filepath.Join(dir, "small.gguf"), ".": dir, "./": dir,
		"qwen3-8b": "qwen3-8b", "./none": "./none", "none.gguf": "none.gguf", "hf:a/b": "hf:a/b", "/srv/x": "/srv/x", "https://h/x.gguf": "https://h/x.gguf",
	} {
		if got := placeHere(source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}
