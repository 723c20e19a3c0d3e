package cli

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// down finds what is to be done to copy a file or directory of a folder to this machine.
func (t *transfer) down(ctx context.Context, from copyPlace, target string) ([]copyJob, error) {
	clean := strings.Trim(path.Clean("/"+from.path), "/")
	contents := clean == "" || strings.HasSuffix(from.path, "/.")
	into, err := os.Stat(target)
	isDir := err == nil && into.IsDir()
	if e := t.entry(ctx, from); clean != "" && e.Type != "directory" {
		name := filepath.Base(target)
		dir := filepath.Dir(target)
		if isDir || strings.HasSuffix(target, "/") {
			dir, name = target, path.Base(clean)
		}
		root, err := t.inDir(dir)
		if err != nil {
			return nil, err
		}
		return []copyJob{t.downJob(from.folder, e, root, name)}, nil
	}
	if into != nil && !isDir {
		return nil, &usageError{message: fmt.Sprintf("%s is a file; a directory cannot be copied over it", target)}
	}
	if !contents && (isDir || strings.HasSuffix(target, "/")) {
		target = filepath.Join(target, path.Base(clean))
	}
	entries, err := t.client.Entries(ctx, from.folder, clean, true)
	if err != nil {
		return nil, err
	}
	root, err := t.inDir(target)
	if err != nil {
		return nil, err
	}
	var jobs []copyJob
	for _, e := range entries {
		name := strings.TrimPrefix(strings.TrimPrefix(e.Path, clean), "/")
		switch {
		case e.Type == "directory" && e.Link:
			t.say("left out: " + oneLine(e.Path) + " is a link to a directory")
		case e.Type == "directory":
			if err := mkdirIn(root, name); err != nil {
				return nil, err
			}
		default:
			if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && sameFile(e, info) {
				t.skip()
				continue
			}
			jobs = append(jobs, t.downJob(from.folder, e, root, name))
		}
	}
	return jobs, nil
}

// inDir opens a directory, which is made where it is missing. Nothing that the daemon says leads out of it.
func (t *transfer) inDir(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return t.openRoot(dir)
}

// openRoot opens a directory until close.
func (t *transfer) openRoot(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err == nil {
		t.roots = append(t.roots, root)
	}
	return root, err
}

func (t *transfer) close() {
	for _, root := range t.roots {
		_ = root.Close()
	}
}

func mkdirIn(root *os.Root, name string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("the folder has an entry %q, which would lead out of the target", name)
	}
	return root.MkdirAll(name, 0o755)
}
