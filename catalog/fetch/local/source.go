package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Source is files and directories of the box. They are copied, and what was copied is checked: their owner may change them
// any time, so nothing of them is shared with a model.
type Source struct{ within []string }

// New makes one that takes what is below some directories; none: what is anywhere but in the places of the system's own.
func New(within ...string) *Source { return &Source{within: within} }

// never is what is no model whoever asks.
var never = [...]string{"/proc", "/sys", "/dev"}

const mostFiles = 100_000

// left are names that are left out: they are of programs that look after a directory, not of a model.
var left = [...]string{".git", ".cache", ".palisade-uploads"}

// enter opens a place: the directory that a file is in, or the directory itself. Symbolic links on the way there are the asker's
// own doing; those below lead nowhere else.
func (s *Source) enter(where string) (root *os.Root, name string, err error) {
	real, err := filepath.EvalSymlinks(where)
	if err != nil {
		return nil, "", explain(where, err)
	}
	if err := s.allowed(where, real); err != nil {
		return nil, "", err
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return nil, "", explain(where, err)
	case info.IsDir():
		name = "."
	case info.Mode().IsRegular():
		real, name = filepath.Dir(real), filepath.Base(real)
	default:
		return nil, "", fetch.Say(fetch.ErrRefused, "", "%s is neither a file nor a directory", where)
	}
	if root, err = os.OpenRoot(real); err != nil {
		return nil, "", explain(where, err)
	}
	return root, name, nil
}

func (s *Source) allowed(where, real string) error {
	below := func(dir string) bool { return real == dir || strings.HasPrefix(real, strings.TrimSuffix(dir, "/")+"/") }
	switch {
	case slices.ContainsFunc(never[:], below):
		return fetch.Say(fetch.ErrDenied, "", "%s is of the system itself", where)
	case len(s.within) > 0 && !slices.ContainsFunc(s.within, below):
		return fetch.Say(fetch.ErrDenied, "models of the box are taken from "+strings.Join(s.within, ", "), "%s is not among what models may be made of", where)
	}
	return nil
}

// List says what there is. A file's name is the one that the Ref says, whatever that leads to.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	if ref.Scheme != "file" {
		return fetch.Listing{}, fmt.Errorf("%s: %w", ref, fetch.ErrRef)
	}
	root, name, err := s.enter(ref.Where)
	if err != nil {
		return fetch.Listing{}, err
	}
	defer root.Close()
	out := fetch.Listing{Ref: ref}
	if name != "." {
		f, err := fileOf(root, name)
		if err != nil {
			return fetch.Listing{}, explain(ref.Where, err)
		}
		f.Name = path.Base(ref.Where)
		out.Files = []fetch.File{f}
	} else if out.Files, err = walk(ctx, root); err != nil {
		return fetch.Listing{}, explain(ref.Where, err)
	}
	out.Files, err = fetch.Sorted(out.Files)
	return out, err
}

// walk lists a directory. Links to files of it are files; links to directories could go round, and are left out, as are pipes,
// sockets and devices. A link that leads out of it is refused: what it leads to was not asked for.
func walk(ctx context.Context, root *os.Root) (out []fetch.File, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case slices.Contains(left[:], e.Name()):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.Type()&fs.ModeSymlink != 0:
			info, err := root.Stat(name)
			if err != nil {
				return fetch.Say(fetch.ErrRefused, "name the directory that it leads to, or put the file itself here", "%s is a link that leads out of the directory, or nowhere", name)
			}
			if !info.Mode().IsRegular() {
				return nil
			}
		case !e.Type().IsRegular():
			return nil
		}
		f, err := fileOf(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since
		}
		if err == nil {
			out = append(out, f)
		}
		if len(out) > mostFiles { // who has named /home by mistake must not fill the memory
			return fetch.Say(fetch.ErrRefused, "name the directory of the model itself", "there are more than %d files in it", mostFiles)
		}
		return err
	})
	return out, err
}

func fileOf(root *os.Root, name string) (fetch.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return fetch.File{}, err
	}
	return fetch.File{Name: name, Bytes: info.Size(), At: name, ETag: tagOf(info), Run: info.Mode()&0o111 != 0}, nil
}

// tagOf changes whenever a file does: who writes into it cannot keep its ctime.
func tagOf(info fs.FileInfo) string {
	st, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return ""
	}
	return fmt.Sprintf(`"%x-%x-%x-%x-%x"`, st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
}

// Open reads a part of a file. fetch.ErrChanged where it is not the one that was listed.
func (s *Source) Open(_ context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	root, _, err := s.enter(in.Ref.Where)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(f.At, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe that has taken its place would wait for a writer
	if err != nil {
		return nil, explain(f.At, err)
	}
	r := &reader{file: file, tag: f.ETag, left: length}
	if err := r.same(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// reader is a part of a file that must not change meanwhile: half of it would be of another moment.
type reader struct {
	file *os.File
	tag  string
	left int64 // negative: to the end
}

func (r *reader) Close() error { return r.file.Close() }

func (r *reader) Read(p []byte) (n int, err error) {
	if r.left >= 0 {
		p = p[:min(int64(len(p)), r.left)]
	}
	if r.left != 0 {
		n, err = r.file.Read(p)
	}
	if r.left > 0 {
		r.left -= int64(n)
	}
	if r.left == 0 && err == nil {
		err = io.EOF
	}
	if errors.Is(err, io.EOF) {
		if changed := r.same(); changed != nil {
			return 0, changed
		}
	}
	return n, err
}

// same says whether the file is the one that was listed.
func (r *reader) same() error {
	info, err := r.file.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || tagOf(info) != r.tag:
		return fetch.Say(fetch.ErrChanged, "wait until nobody writes into it", "%s has changed while it was copied", path.Base(r.file.Name()))
	}
	return nil
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return fetch.Say(fetch.ErrNotFound, "paths are of the box that palisade serve runs on", "there is no %s", name)
	case errors.Is(err, fs.ErrPermission):
		return fetch.Say(fetch.ErrDenied, "", "the appliance may not read %s", name)
	}
	return err
}
