package fit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	maxEntries = 10_000    // of a directory
	maxShards  = 4_096     // of one model
	maxConfig  = 4 << 20   // bytes of a JSON document
	maxHeader  = 32 << 20  // bytes of a safetensors header: the largest real ones have a few
	maxKeys    = 256 << 20 // bytes of GGUF metadata: vocabularies are tens of megabytes
)

func damaged(name, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, name, fmt.Sprintf(format, args...))
}

// open opens a plain file. Anything else (a FIFO would hold us for ever) is refused before it is opened.
func open(files fs.FS, name string) (fs.File, int64, error) {
	info, err := fs.Stat(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("reading the model: there is no file %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the model: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("reading the model: %s is not a plain file", name)
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the model: %w", err)
	}
	return f, info.Size(), nil
}

// document reads a small file whole. A file that is not there is nil.
func document(files fs.FS, name string) ([]byte, error) {
	f, _, err := open(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(src) > maxConfig {
		return nil, damaged(name, "is larger than %d MiB", maxConfig>>20)
	}
	return src, nil
}

// directory is what lies in one directory of the folder.
type directory struct {
	at    string
	files []File   // plain ones, by name
	dirs  []string // by name
}

// list reads a directory. Hidden entries and those that lead nowhere are left out.
func list(files fs.FS, at string) (directory, error) {
	d := directory{at: at}
	f, err := files.Open(at)
	if err != nil {
		return d, fmt.Errorf("reading the model: %w", err)
	}
	defer f.Close()
	reader, ok := f.(fs.ReadDirFile)
	if !ok {
		return d, fmt.Errorf("reading the model: %s is not a directory", at)
	}
	entries, err := reader.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return d, fmt.Errorf("reading the model: %w", err)
	}
	for _, e := range entries {
		name := path.Join(at, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := fs.Stat(files, name)
		switch {
		case err != nil:
		case info.IsDir():
			d.dirs = append(d.dirs, name)
		case info.Mode().IsRegular():
			d.files = append(d.files, File{Name: name, Bytes: info.Size()})
		}
	}
	slices.SortFunc(d.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(d.dirs)
	return d, nil
}

// ending returns the files whose names end so, in any case of letters.
func (d directory) ending(suffix string) []File {
	var out []File
	for _, f := range d.files {
		if strings.HasSuffix(strings.ToLower(f.Name), suffix) {
			out = append(out, f)
		}
	}
	return out
}

func (d directory) has(name string) bool {
	return slices.ContainsFunc(d.files, func(f File) bool { return path.Base(f.Name) == name })
}
