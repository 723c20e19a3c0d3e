package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// The files of a session's directory, in the order in which they come to be.
const (
	fileLock   = "lock"      // held, by flock, first by the daemon that starts it, then by the supervisor
	fileRecord = "spec.json" // record
	fileSpare  = "exit.new"  // room on the disk for exit.json, so that a full disk loses no exit status
	fileSocket = "sock"
	dirLog     = "log"     // 00000001, 00000002, ...
	dirScratch = "scratch" // 0, 1, ... in the order of Spec.Scratch
	dirTmp     = "tmp"     // /tmp and /var/tmp
	dirRoot    = "root"    // where the session's root is put together; empty from outside
	fileSaid   = "supervisor.log"
	fileState  = "state.json" // state; there once the first process, or a pre-start action, runs
	fileExit   = "exit.json"  // sessions.Exit; there once all of it is gone
)

// record is all that a session's supervisor must know, and all that List must know of the session
// when nobody is left to ask.
type record struct {
	Spec      sessions.Spec     `json:"spec"`
	Address   string            `json:"address"`
	Peers     []netip.Addr      `json:"peers,omitempty"` // of all containers of its session, where it has several
	Shared    bool              `json:"shared"`          // the box's network, not one of its own
	CreatedAt time.Time         `json:"created_at"`
	BootID    string            `json:"boot_id"`
	BaseEnv   map[string]string `json:"base_env"`
	Hide      []string          `json:"hide"`
	Init      string            `json:"init,omitempty"` // what is shown at pid1.PathInit
	LogFiles  int               `json:"log_files"`
	LogSize   int64             `json:"log_size"`

	Groups     []groupDir `json:"groups"`      // the session's cgroups
	Keepers    []groupDir `json:"keepers"`     // the supervisors' cgroups
	RlimitData int64      `json:"rlimit_data"` // in place of a cgroup's memory limit; 0 none
	RlimitProc int64      `json:"rlimit_proc"`
}

// state is what the supervisor tells once the session is under way. Pids are as the box sees them.
type state struct {
	PID        int       `json:"pid"`
	Supervisor int       `json:"supervisor"`
	StartedAt  time.Time `json:"started_at"`
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// writeDurable makes dir/name hold v, all of it or nothing, power cuts included.
func writeDurable(dir, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, name+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readJSON reads dir/name. The second result is false when there is no such file.
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

// reserveExit takes the room on the disk that exit.json will need.
func reserveExit(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return pid1.Reserve(root, fileSpare)
}

// writeExit puts exit into the room that reserveExit took, and gives it its name.
func writeExit(root *os.Root, exit sessions.Exit) error {
	return pid1.Fill(root, fileSpare, fileExit, exit)
}

// openLock opens the lock file of dir, made if missing.
func openLock(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, fileLock), os.O_RDWR|os.O_CREATE, 0o600)
}

// tryLock takes the lock, shared or not, if nobody holds it.
func tryLock(f *os.File, how int) (bool, error) {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// alive reports whether somebody holds the lock of dir: its supervisor, or a daemon in mid-start. Two
// that ask at once do not see each other: the lock they try is a shared one.
func alive(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, fileLock))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := tryLock(f, unix.LOCK_SH)
	return !free, err
}
