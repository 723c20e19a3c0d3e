package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/folders/foldertest"
)

func TestFindDefinition(t *testing.T) {
	outside := foldertest.Tree(t, map[string]string{"secret.yaml": "secret"})
	tests := []struct {
		name     string
		files    map[string]string
		explicit string
		found    string // file name and content
		kind     error
		message  string
		hint     string
	}{
		{name: "yaml", files: map[string]string{"model-definition.yaml": "a", "model-definition.yml": "b"}, found: "model-definition.yaml a"},
		{name: "yml", files: map[string]string{"model-definition.yml": "b"}, found: "model-definition.yml b"},
		{name: "explicit", files: map[string]string{"model-definition.yaml": "a", "x/y.yaml": "c"}, explicit: "./x/y.yaml", found: "x/y.yaml c"},
		{name: "inner link", files: map[string]string{"model-definition.yaml": "-> x.yaml", "x.yaml": "d"}, found: "model-definition.yaml d"},

		{name: "none", kind: folders.ErrNotFound, message: "the folder has no model-definition.yaml", hint: "write a model-definition.yaml at the folder's root, or choose a runtime variant that needs none"},
		{name: "other names", files: map[string]string{"b.yml": "", "a.yaml": "", ".hidden.yaml": ""}, kind: folders.ErrNotFound, message: "no model-definition.yaml", hint: "the folder has a.yaml, b.yml: name the right one"},
		{name: "weights", files: map[string]string{"m.gguf": ""}, kind: folders.ErrNotFound, message: "no model-definition.yaml", hint: "runtime variant llama-cpp"},
		{name: "safetensors", files: map[string]string{"model.safetensors": ""}, kind: folders.ErrNotFound, message: "no model-definition.yaml", hint: "runtime variant vllm"},
		{name: "explicit replaces both", files: map[string]string{"model-definition.yaml": "a"}, explicit: "other.yaml", kind: folders.ErrNotFound, message: "the folder has no file other.yaml", hint: "the folder has model-definition.yaml"},
		{name: "below a file", files: map[string]string{"a.yaml": ""}, explicit: "a.yaml/b.yaml", kind: folders.ErrNotFound, message: "the folder has no file a.yaml/b.yaml"},
		{name: "absolute", explicit: "/etc/passwd", kind: folders.ErrInvalid, message: `"/etc/passwd" leaves the folder`, hint: "relative to the folder's root"},
		{name: "parent", explicit: "../x.yaml", kind: folders.ErrInvalid, message: "leaves the folder"},
		{name: "hidden parent", explicit: "a/../../x.yaml", kind: folders.ErrInvalid, message: "leaves the folder"},
		{name: "link out", files: map[string]string{"model-definition.yaml": "-> " + outside + "/secret.yaml"}, kind: folders.ErrInvalid, message: "leaves the folder"},
		{name: "explicit link out", files: map[string]string{"d": "-> " + outside}, explicit: "d/secret.yaml", kind: folders.ErrInvalid, message: "leaves the folder"},
		{name: "directory", files: map[string]string{"model-definition.yaml/": ""}, kind: folders.ErrInvalid, message: "model-definition.yaml is a directory; a plain file is wanted"},
		{name: "large", files: map[string]string{"model-definition.yaml": strings.Repeat("x", MaxDocumentSize+1)}, kind: folders.ErrInvalid, message: "has 1048577 bytes; at most 1048576 are read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, err := os.OpenRoot(foldertest.Tree(t, tt.files))
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			name, src, err := FindDefinition(root, tt.explicit)
			if tt.kind == nil {
				if err != nil || name+" "+string(src) != tt.found {
					t.Errorf("found %q %q, %v", name, src, err)
				}
				return
			}
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.message) || !strings.Contains(foldertest.HintOf(err), tt.hint) {
				t.Errorf("error %v (%s)", err, foldertest.HintOf(err))
			}
		})
	}
}

// A pipe that bears the name would block a reader for ever.
func TestFindDefinitionPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "model-definition.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, _, err := FindDefinition(root, ""); !errors.Is(err, folders.ErrInvalid) || !strings.Contains(err.Error(), "is a special file") {
		t.Errorf("%v", err)
	}
}
