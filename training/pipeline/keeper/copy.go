package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/palisade-run/palisade/catalog/folders"
)

// copyModel copies a directory of a pipeline's folder into a folder of its own. Nothing outside either is read or written;
// a link is followed where it leads to a file of the same folder.
func copyModel(ctx context.Context, from *os.Root, output, dir string, to folders.Folder) error {
	if output == "" {
		return errors.New("the task that it comes from left no outputs")
	}
	outputs, err := from.OpenRoot(output)
	if err != nil {
		return fmt.Errorf("the outputs of the task are gone: %w", err)
	}
	defer outputs.Close()
	if dir = path.Clean("./" + dir); dir != "." {
		info, err := outputs.Stat(dir)
		if err == nil && !info.IsDir() {
			err = errors.New("it is no directory")
		}
		if err != nil {
			return fmt.Errorf("%s in the outputs: %w", dir, err)
		}
	}
	into, err := to.OpenRoot()
	if err != nil {
		return err
	}
	defer into.Close()
	files := 0
	err = fs.WalkDir(outputs.FS(), dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		at := "."
		if dir == "." {
			at = name
		} else if len(name) > len(dir) {
			at = name[len(dir)+1:]
		}
		if entry.IsDir() {
			if at == "." {
				return nil
			}
			return into.Mkdir(at, 0o755)
		}
		files++
		return copyFile(ctx, outputs, name, into, at)
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("%s of the outputs is empty", path.Join("/", dir))
	}
	return err
}

func copyFile(ctx context.Context, from *os.Root, name string, into *os.Root, at string) (err error) {
	info, err := from.Stat(name) // before it is opened: a pipe would wait for a writer
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory, and cannot be served", name)
	}
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := into.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o444)
	if err != nil {
		return err
	}
	for err == nil { // in pieces, so that a cancelled job does not wait for a hundred gigabytes; the kernel copies, or shares, them
		if _, err = io.CopyN(out, in, 64<<20); err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, out.Sync(), out.Close())
}
