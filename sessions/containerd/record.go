package containerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// The files of a session's directory, in the order in which they come to be. What the session sees of them
// it sees below /.palisade and in /etc.
const (
	fileSpare    = "exit.new"  // room on the disk for exit.json
	fileRecord   = "spec.json" // record
	filePlan     = "plan"      // pid1.Plan
	dirScratch   = "scratch"   // 0, 1, ... in the order of Spec.Scratch
	dirOut       = "out"       // what the first process keeps; the session may write there
	fileSaid     = "init.log"  // what the first process itself has to complain about
	fileTask     = "task.json" // task; there as soon as it runs, gone once containerd has let go of it
	fileStopping = "stopping"  // Stop was asked for
	fileExit     = "exit.json" // sessions.Exit; there once it is known
	dirCommands  = "commands"  // underWay, of each command that somebody runs in the session
)

// record is all that must be known of a session beside what containerd knows.
type record struct {
	Spec      sessions.Spec     `json:"spec"`
	Env       map[string]string `json:"env"` // of all its processes, the image's in it
	WorkDir   string            `json:"work_dir"`
	Address   string            `json:"address"`
	CreatedAt time.Time         `json:"created_at"`
	// ImageLabels are those of the image that it was made of, whatever becomes of the image's name.
	ImageLabels map[string]string `json:"image_labels,omitempty"`
	// Image is what the session was made of: its name may be another's later.
	Image ocispec.Descriptor `json:"image"`
}

// task is the container's first process, as the box sees it. A process id alone says nothing once the
// process has ended: it is given out again.
type task struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks since the boot
	BootID  string `json:"boot_id"`
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// writeJSON makes dir/name hold v, all of it or nothing. It is not synced: what a power cut loses of a
// session that runs, it has ended as well.
func writeJSON(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".tmp"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, name+".tmp"), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// readJSON reads dir/name, a file of our own. The second result is false when there is none.
func readJSON[T any](dir, name string) (T, bool, error) {
	var v T
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return v, true, nil
}

func (r *Runtime) record(id string) (record, error) {
	rec, found, err := readJSON[record](r.dir(id), fileRecord)
	if err == nil && !found {
		err = sessions.ErrNoInstance
	}
	return rec, err
}

func readTask(dir string) (task, bool, error) { return readJSON[task](dir, fileTask) }

// readLeft reads what the first process, or somebody in the session, has left in the session's own
// directory: a plain file of bounded size, or nothing.
func readLeft[T any](dir, name string) (T, bool) {
	var v T
	root, err := os.OpenRoot(filepath.Join(dir, dirOut))
	if err != nil {
		return v, false
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return v, false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return v, false
	}
	b, err := io.ReadAll(io.LimitReader(f, 2*pid1.MaxFile))
	if err != nil || json.Unmarshal(b, &v) != nil {
		var none T
		return none, false
	}
	return v, true
}

// readState reads how far a session has got. The second result is false where nothing of it runs yet.
func readState(dir string, rec record) (pid1.State, bool) {
	st, found := readLeft[pid1.State](dir, pid1.FileState)
	if st.StartedAt.Before(rec.CreatedAt) || st.StartedAt.After(time.Now()) {
		st.StartedAt = rec.CreatedAt
	}
	return st, found
}
