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
	"syscall"
)

// definitionNames are where a definition is looked for, in this order, at the root of a folder.
var definitionNames = []string{"model-definition.yaml", "model-definition.yml"}

// fault is an error with a kind to test for and a hint for the person who caused it.
type fault struct {
	kind    error
	message string
	hint    string
	cause   error // or nil
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.message + ": " + f.cause.Error()
	}
	return f.message
}

// Hint says what to do about it.
func (f *fault) Hint() string { return f.hint }

func (f *fault) Unwrap() []error {
	if f.cause != nil {
		return []error{f.kind, f.cause}
	}
	return []error{f.kind}
}

// FindDefinition reads the model definition of a folder: explicit, relative to the folder's root, or
// model-definition.yaml, then model-definition.yml. It returns the file's name in the folder.
// ErrNotFound when there is none; ErrInvalid when the path leaves the folder, is no plain file, or is
// too large to be a definition.
func FindDefinition(root *os.Root, explicit string) (name string, src []byte, err error) {
	if explicit != "" {
		if err := checkInside(explicit); err != nil {
			return "", nil, err
		}
		name = filepath.Clean(explicit)
		src, err = readDefinition(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil, &fault{kind: ErrNotFound, message: fmt.Sprintf("the folder has no file %s", name), hint: hintDefinitions(root)}
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
		kind:    ErrNotFound,
		message: "the folder has no model-definition.yaml",
		hint:    hintDefinitions(root),
	}
}

// readDefinition reads one file, no more of it than can be parsed. An error that is fs.ErrNotExist
// is returned as it is.
func readDefinition(root *os.Root, name string) ([]byte, error) {
	f, info, err := openPlain(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > MaxDocumentSize {
		return nil, &fault{
			kind:    ErrInvalid,
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

// openPlain opens a plain file below root. It never blocks on a pipe or a device that bears the name.
func openPlain(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, explainPath(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		what := "special file"
		if info.IsDir() {
			what = "directory"
		}
		err = &fault{kind: ErrInvalid, message: fmt.Sprintf("%s is a %s; a plain file is wanted", name, what)}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Bounds of a path in a folder: each directory on the way is opened for each file, so a path of thousands costs minutes.
const (
	longestPath = 4095 // bytes, as the kernel has it
	longestName = 255  // bytes of a file or a directory
	deepestPath = 128  // directories on the way
)

// checkInside refuses paths that are not below the folder's root as they are written, and those that nobody means. Symbolic links
// are os.Root's business.
func checkInside(name string) error {
	switch {
	case !filepath.IsLocal(name) || strings.ContainsRune(name, 0):
		return outside(name)
	case len(name) > longestPath || strings.Count(name, "/") > deepestPath || slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return len(part) > longestName }):
		return &fault{
			kind: ErrInvalid, message: fmt.Sprintf("%q is too long a path", shorten(name)),
			hint: fmt.Sprintf("at most %d bytes, %d of a name, and %d directories in one another", longestPath, longestName, deepestPath),
		}
	}
	return nil
}

func outside(name string) error {
	return &fault{
		kind:    ErrInvalid,
		message: fmt.Sprintf("%q leaves the folder", shorten(name)),
		hint:    "give a path relative to the folder's root, for example configs/model-definition.yaml",
	}
}

// explainPath puts what os.Root says about a path into our kinds of errors.
func explainPath(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &fault{kind: ErrNotFound, message: fmt.Sprintf("%s is not in the folder", name), cause: fs.ErrNotExist}
	case strings.Contains(err.Error(), "escapes from parent"):
		// os.Root has no sentinel for it.
		return outside(name)
	default:
		return fmt.Errorf("opening %s: %w", name, err)
	}
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
