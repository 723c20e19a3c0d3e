package containerd

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
	"github.com/palisade-run/palisade/sessions/pid1"
)

// Logs implements sessions.Observer. What has been rotated away is gone; the log then begins with a
// whole line. It does not need containerd.
func (r *Runtime) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	l, err := r.openLog(ctx, id, opts)
	if errors.Is(err, fs.ErrNotExist) {
		err = sessions.ErrNoInstance
	}
	if err != nil {
		return nil, fmt.Errorf("logs of %s: %w", id, err)
	}
	return l, nil
}

func (r *Runtime) openLog(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	if err := r.known(id); err != nil {
		return nil, err
	}
	// The session may have put a link in its place: it is opened as part of what the session may write.
	out, err := os.OpenRoot(filepath.Join(r.dir(id), dirOut))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	dir, err := out.OpenRoot(pid1.DirLog)
	if err != nil {
		return nil, err
	}
	var grown io.ReadCloser
	if opts.Follow {
		grown = r.growth(ctx, id)
	}
	return logs.Read(ctx, dir, opts.Tail, grown)
}

// growth tells of what is written to the log of a session that runs, until that has ended; nil for one
// that does not run.
func (r *Runtime) growth(ctx context.Context, id string) io.ReadCloser {
	t, err := r.running(id)
	if err != nil {
		return nil
	}
	w := newWatch(filepath.Join(r.dir(id), dirOut, pid1.DirLog))
	ctx, cancel := context.WithCancel(ctx)
	w.onClose = cancel
	go func() {
		_ = t.await(ctx)
		w.Close()
	}()
	return w
}
