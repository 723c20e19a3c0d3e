package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/logs"
)

// Logs implements sessions.Observer. What has been rotated away is gone; the log then begins with a
// whole line.
func (r *Runtime) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	if !validID(id) || r.isStarting(id) {
		return nil, noInstance("logs of", id)
	}
	dir, err := os.OpenRoot(filepath.Join(r.dir(id), dirLog))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noInstance("logs of", id)
	}
	if err != nil {
		return nil, fmt.Errorf("logs of %s: %w", id, err)
	}
	var grown io.ReadCloser
	if opts.Follow {
		grown = growth(ctx, r.dir(id))
	}
	l, err := logs.Read(ctx, dir, opts.Tail, grown)
	if err != nil {
		return nil, fmt.Errorf("logs of %s: %w", id, err)
	}
	return l, nil
}

// growth asks the supervisor to tell of growth. That there is none means that the log is complete: nil.
func growth(ctx context.Context, dir string) io.ReadCloser {
	c, err := dial(ctx, dir)
	if err != nil {
		return nil
	}
	if _, err := c.Write([]byte(`{"op":"` + opFollow + `"}` + "\n")); err != nil {
		c.Close()
		return nil
	}
	return c
}
