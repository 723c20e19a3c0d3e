// Package checkpoints keeps a directory for each session of a person that is there in all of its runs: what a job writes
// there before it gives way, or fails, it finds again when it is started again. It knows nothing of sessions but their
// ids, and nothing of what is in the directories.
package checkpoints

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Keep has the directories, one below another by sessions' ids.
type Keep struct{ dir string }

// New keeps directories below dir, which is made with the first of them.
func New(dir string) *Keep { return &Keep{dir: dir} }

// Make returns the directory of a session, made where it is missing. Whoever the session runs as may write there: it is
// the way to it that is shut, to everybody but the appliance.
func (k *Keep) Make(session string) (string, error) {
	at, err := k.path(session)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return "", fmt.Errorf("making the checkpoints' directory: %w", err)
	}
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("making the checkpoint directory: %w", err)
	}
	// Not by Mkdir, which leaves out what the umask says.
	if err := os.Chmod(at, 0o777); err != nil {
		return "", fmt.Errorf("opening the checkpoint directory to its session: %w", err)
	}
	return at, nil
}

// Path is where the directory of a session is, or would be.
func (k *Keep) Path(session string) (string, error) { return k.path(session) }

// Forget removes the directory of a session with all that is in it. What is not there is no error.
func (k *Keep) Forget(session string) error {
	at, err := k.path(session)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(at); err != nil {
		return fmt.Errorf("removing the checkpoint directory: %w", err)
	}
	return nil
}

// Use is how much a directory holds.
type Use struct {
	Bytes int64 // that files take on the disk
	Files int
	More  bool // there is more than was counted
}

// most entries are looked at to find out how much a directory holds.
const most = 20_000

// Use counts what the directory of a session holds; nothing where there is none.
func (k *Keep) Use(session string) (u Use, err error) {
	at, err := k.path(session)
	if err != nil {
		return u, err
	}
	root, err := os.OpenRoot(at)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("looking into the checkpoint directory: %w", err)
	}
	defer root.Close()
	seen := 0
	// What goes while it is counted is left out, and what cannot be read as well: the session may do as it likes.
	err = fs.WalkDir(root.FS(), ".", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if seen++; seen > most {
			u.More = true
			return fs.SkipAll
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			u.Files++
			u.Bytes += onDisk(info)
		}
		return nil
	})
	return u, err
}

func (k *Keep) path(session string) (string, error) {
	if !filepath.IsLocal(session) || session == "." || filepath.Base(session) != session {
		return "", fmt.Errorf("%q is no session: %w", session, fs.ErrInvalid)
	}
	return filepath.Join(k.dir, session), nil
}
