package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	keptRuns  = 10      // of one session
	keptBytes = 4 << 20 // of one run
)

// Kept holds the logs of runs that sessions have behind them: a directory for each session, in it a file for each run,
// named by its number from 0. Only the newest runs are kept, and a bounded part of each.
type Kept struct{ dir string }

// NewKept keeps logs below dir, which is made when there is one to keep.
func NewKept(dir string) *Kept { return &Kept{dir: dir} }

// Keep writes the log of a session's run. Doing it twice is doing it once.
func (k *Kept) Keep(ctx context.Context, session string, run int, log io.Reader) (err error) {
	root, err := k.open(session, true)
	if err != nil {
		return fmt.Errorf("keeping the log of %s: %w", session, err)
	}
	defer root.Close()
	const half = "new"
	if err = write(root, half, readerOf(ctx, log)); err == nil {
		err = root.Rename(half, fileName(run+1))
	}
	if err != nil {
		return fmt.Errorf("keeping the log of %s: %w", session, err)
	}
	if old := run + 1 - keptRuns; old > 0 {
		_ = root.Remove(fileName(old))
	}
	return nil
}

// write writes the last keptBytes of a log, for they say why a run ended. No more than a part of it is in memory, however
// many runs end at once.
func write(root *os.Root, name string, log io.Reader) (err error) {
	const all = "all"
	whole, err := root.Create(all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, whole.Close(), root.Remove(all)) }()
	size, err := io.Copy(whole, io.LimitReader(log, maxTail))
	if err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	from := max(0, size-keptBytes)
	_, err = io.Copy(f, io.NewSectionReader(whole, from, size-from))
	return errors.Join(err, f.Close())
}

// readerOf is a reader that ends with ctx.
func readerOf(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Runs are the numbers of a session's runs whose logs are kept, oldest first.
func (k *Kept) Runs(session string) ([]int, error) {
	root, err := k.open(session, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("reading the kept logs of %s: %w", session, err)
	}
	var runs []int
	for _, e := range entries {
		if n, ok := parseName(e.Name()); ok {
			runs = append(runs, n-1)
		}
	}
	slices.Sort(runs)
	return runs, nil
}

// Open returns the log of one run.
func (k *Kept) Open(session string, run int) (io.ReadCloser, error) {
	root, err := k.open(session, false)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(fileName(run + 1))
}

// Forget removes all that is kept of a session. What is not there is no error.
func (k *Kept) Forget(session string) error {
	if !filepath.IsLocal(session) || session == "." {
		return fmt.Errorf("%q is no session: %w", session, fs.ErrInvalid)
	}
	return os.RemoveAll(filepath.Join(k.dir, session))
}

func (k *Kept) open(session string, create bool) (*os.Root, error) {
	if !filepath.IsLocal(session) || session == "." || filepath.Base(session) != session {
		return nil, fmt.Errorf("%q is no session: %w", session, fs.ErrInvalid)
	}
	dir := filepath.Join(k.dir, session)
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return os.OpenRoot(dir)
}
