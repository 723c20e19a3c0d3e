package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
)

// ErrLocked says that another daemon works on the data directory.
var ErrLocked = errors.New("another daemon works on this data directory")

// dataLock holds the data directory for one daemon. The lock is the kernel's and ends with the last process that has
// its file open: a successor gets that one, so that nobody else comes between.
type dataLock struct {
	file *os.File
	dir  string
}

// stopping is written beside a process number by one that is about to end: it is waited for, not refused.
const stopping = "stopping"

// lockData makes the data directory if it is missing, readable by its owner alone, and takes it for
// this process. A restore that was cut off is ended.
func lockData(ctx context.Context, c config.Config) (*dataLock, error) {
	dir := c.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, hinted{fmt.Errorf("making the data directory: %w", err), "choose another one with --data DIR"}
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, hinted{fmt.Errorf("locking the data directory: %w", err), "run as the user who owns it, or choose another one with --data DIR"}
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 64))
		_ = file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		return nil, lockedError{dir, strings.TrimSpace(string(holder))}
	}
	l := &dataLock{file: file, dir: dir}
	if uid, gid, ok := otherOwner(dir); ok {
		_ = file.Chown(uid, gid) // whose daemon is to open it
	}
	err = l.sign("")
	if err == nil {
		err = finishRestore(ctx, c)
	}
	if err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// inheritLock takes over the lock that file holds.
func inheritLock(dir string, file *os.File) (*dataLock, error) {
	l := &dataLock{file: file, dir: dir}
	ours, err := file.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(filepath.Join(dir, "lock")); err == nil && !os.SameFile(ours, there) {
			err = errors.New("it is another data directory's")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("taking over the lock of %s: %w", dir, err)
	}
	return l, nil
}

// lockedError is ErrLocked with who it is.
type lockedError struct{ dir, holder string }

func (e lockedError) Error() string {
	return fmt.Sprintf("%v: %s is held by process %s", ErrLocked, e.dir, e.holder)
}

func (e lockedError) Unwrap() error { return ErrLocked }

// Hint says what to do.
func (e lockedError) Hint() string {
	return "stop it first, or give this one a data directory of its own with --data DIR; `palisade restart` replaces a daemon by a new one"
}

// ending tells whether who holds it is about to end.
func (e lockedError) ending() bool { return strings.HasSuffix(e.holder, " "+stopping) }

// waitLock locks the directory of a daemon that is about to end, when it has.
func waitLock(ctx context.Context, c config.Config, patience time.Duration) (*dataLock, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := lockData(ctx, c)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// sign writes who holds the lock, for people and for lockedError; the lock itself does not need it.
func (l *dataLock) sign(word string) error {
	text := fmt.Sprintf("%d", os.Getpid())
	if word != "" {
		text += " " + word
	}
	_, err := l.file.WriteAt([]byte(text+"\n"), 0)
	if err = errors.Join(err, l.file.Truncate(int64(len(text)+1))); err != nil {
		return fmt.Errorf("writing to the data directory: %w", err)
	}
	return nil
}

// release lets go of it. A successor that has the file goes on holding it.
func (l *dataLock) release() { _ = l.file.Close() }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// Hint says what to do.
func (h hinted) Hint() string { return h.hint }
