package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
)

// deepestRoot is how deep below a tree each directory is opened for itself, so that a link that takes its place leads nowhere else.
const deepestRoot = 64

// inTree is one of the files, directories and links below a directory.
type inTree struct {
	root *os.Root // in which it is
	in   string   // its name there
	name string   // below the directory, in slashes; of any bytes
	info fs.FileInfo
}

// tree is a directory of which all that is in it is looked at, in order, each directory before what is in it. What goes meanwhile is
// passed over.
type tree struct {
	skip func(name string) bool             // what is not looked at, nor what is below it
	lost func(name string, err error) error // decides whether what cannot be read ends the walk
	fn   func(inTree) error
}

// walk goes over a directory; one that is not there is empty.
func (t *tree) walk(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return t.down(ctx, inTree{root: root, in: "."}, 0)
}

func (t *tree) down(ctx context.Context, at inTree, depth int) error {
	names, err := namesIn(at.root, at.in)
	if err != nil {
		return t.gone(at.name, err)
	}
	for _, base := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		one := inTree{root: at.root, in: path.Join(at.in, base), name: path.Join(at.name, base)}
		if t.skip(one.name) {
			continue
		}
		if one.info, err = at.root.Lstat(one.in); err == nil {
			err = t.fn(one)
		} else {
			err = t.gone(one.name, err)
			one.info = nil
		}
		if err == nil && one.info != nil && one.info.IsDir() {
			err = t.enter(ctx, one, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) enter(ctx context.Context, dir inTree, depth int) error {
	if depth > deepestRoot {
		return t.down(ctx, dir, depth)
	}
	root, err := dir.root.OpenRoot(dir.in)
	if err != nil {
		return t.gone(dir.name, err)
	}
	defer root.Close()
	return t.down(ctx, inTree{root: root, in: ".", name: dir.name}, depth)
}

func (t *tree) gone(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return t.lost(name, err)
}

func namesIn(root *os.Root, dir string) ([]string, error) {
	d, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
