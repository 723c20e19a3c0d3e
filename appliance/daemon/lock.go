package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLocked says that another daemon works on the data directory.
var ErrLocked = errors.New("another daemon works on this data directory")

// lockData makes the data directory if it is missing, readable by its owner alone, and takes it for
// this process. The lock is the kernel's and ends with the process, however it ends.
func lockData(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, hinted{fmt.Errorf("making the data directory: %w", err), "choose another one with --data DIR"}
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, hinted{fmt.Errorf("locking the data directory: %w", err), "run as the user who owns it, or choose another one with --data DIR"}
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(file, 32))
		_ = file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		return nil, hinted{
			fmt.Errorf("%w: %s is held by process %s", ErrLocked, dir, strings.TrimSpace(string(holder))),
			"stop it first, or give this one a data directory of its own with --data DIR",
		}
	}
	// For people and for the message above; the lock itself does not need it.
	if err := errors.Join(file.Truncate(0), writeAt(file, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("writing to the data directory: %w", err)
	}
	return func() { _ = file.Close() }, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// Hint says what to do.
func (h hinted) Hint() string { return h.hint }
