package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/folders"
)

// definitionNames are where a definition is looked for, in this order, at the root of a folder.
var definitionNames = []string{"model-definition.yaml", "model-definition.yml"}

// fault is an error with a kind to test for and a hint for the person who caused it.
type fault struct {
	kind    error
	message string
	hint    string
}

func (f *fault) Error() string { return f.message }

// Hint says what to do about it.
func (f *fault) Hint() string { return f.hint }

func (f *fault) Unwrap() error { return f.kind }

// FindDefinition reads the model definition of a folder: explicit, relative to the folder's root, or
// model-definition.yaml, then model-definition.yml. It returns the file's name in the folder.
// folders.ErrNotFound when there is none; folders.ErrInvalid when the path leaves the folder, is no plain file, or is
// too large to be a definition.
func FindDefinition(root *os.Root, explicit string) (name string, src []byte, err error) {
	if explicit != "" {
		if err := folders.CheckPath(explicit); err != nil {
			return "", nil, err
		}
		name = filepath.Clean(explicit)
		src, err = readDefinition(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil, &fault{kind: folders.ErrNotFound, message: fmt.Sprintf("the folder has no file %s", name), hint: hintDefinitions(root)}
		}
		return name, src, err
	}
	for _, name := range definitionNames {
		src, err := readDefinition(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return name, src, err
	}
	return "", nil, &fault{
		kind:    folders.ErrNotFound,
		message: "the folder has no model-definition.yaml",
		hint:    hintDefinitions(root),
	}
}

// readDefinition reads one file, no more of it than can be parsed. An error that is fs.ErrNotExist
// is returned as it is.
func readDefinition(root *os.Root, name string) ([]byte, error) {
	f, info, err := folders.OpenPlain(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > MaxDocumentSize {
		return nil, &fault{
			kind:    folders.ErrInvalid,
			message: fmt.Sprintf("%s has %d bytes; at most %d are read", name, info.Size(), MaxDocumentSize),
			hint:    "a definition holds no data, only how to serve it",
		}
	}
	src, err := io.ReadAll(io.LimitReader(f, MaxDocumentSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return src, nil
}

// hintDefinitions says which files could have been meant, and what else can be done.
func hintDefinitions(root *os.Root) string {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return "write a model-definition.yaml at the folder's root"
	}
	var found []string
	engine := ""
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		switch {
		case strings.HasPrefix(name, "."):
		case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"):
			found = append(found, e.Name())
		case strings.HasSuffix(name, ".gguf"):
			engine = "llama-cpp"
		case strings.HasSuffix(name, ".safetensors") && engine == "":
			engine = "vllm"
		}
	}
	switch {
	case engine != "":
		return fmt.Sprintf("the folder's files look like the runtime variant %s: choose it, or write a model-definition.yaml at the folder's root", engine)
	case len(found) > 0:
		slices.Sort(found)
		found = found[:min(len(found), 5)]
		return "the folder has " + strings.Join(found, ", ") + ": name the right one as the model definition path"
	default:
		return "write a model-definition.yaml at the folder's root, or choose a runtime variant that needs none"
	}
}
