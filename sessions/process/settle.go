package process

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// settle returns how id ended, and whether it has: what its supervisor left, or, where the supervisor
// was ended itself, that nobody knows. Then all that is left in the session is gone or goes now.
func (r *Runtime) settle(id string) (sessions.Exit, bool, error) {
	dir := r.dir(id)
	if exit, found, err := readJSON[sessions.Exit](dir, fileExit); found || err != nil {
		return exit, found, err
	}
	if held, err := alive(dir); err != nil || held {
		return sessions.Exit{}, false, err
	}
	r.settling.Lock()
	defer r.settling.Unlock()
	if exit, found, err := readJSON[sessions.Exit](dir, fileExit); found || err != nil {
		return exit, found, err
	}
	rec, found, err := readJSON[record](dir, fileRecord)
	if err != nil || !found {
		return sessions.Exit{}, false, cmp.Or(err, sessions.ErrNoInstance)
	}
	st, underWay, err := readJSON[state](dir, fileState)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	exit := unseen(rec, underWay, bootID(), time.Now())
	if rec.BootID == bootID() {
		awaitGone(st.Supervisor, dir)
	}
	if err := r.groups.remove(id); err != nil {
		return sessions.Exit{}, false, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	defer root.Close()
	if err := writeExit(root, exit); err != nil {
		return sessions.Exit{}, false, fmt.Errorf("keeping the exit of %s: %w", id, err)
	}
	return exit, true, nil
}

// unseen is the exit of a session that ended while no supervisor watched.
func unseen(rec record, underWay bool, boot string, now time.Time) sessions.Exit {
	x := sessions.Exit{Reason: sessions.ExitUnknown, Code: -1, FinishedAt: now}
	switch {
	case rec.BootID != boot:
		x.Message = "The box was restarted while the session ran; how the session ended is not known."
	case !underWay:
		x.Reason, x.Message = sessions.ExitStartFailed, "The appliance was stopped before the session had started."
	default:
		x.Message = "The session's supervisor was ended from outside, and the session with it; its exit code is not known."
	}
	return x
}

// awaitGone waits for a supervisor that has let go of its lock to be gone, and the session with it: the
// kernel ends the session before it lets the supervisor go.
func awaitGone(pid int, dir string) {
	if pid <= 1 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if !isSupervisor(pid, dir) && !exiting(pid) {
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
}

// isSupervisor reports whether pid is a process that was started to supervise dir.
func isSupervisor(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.HasSuffix(string(b), "\x00supervise\x00"+dir+"\x00")
}

// exiting reports whether pid is on its way out. The kernel takes a process's memory, and its command line with it, before it
// closes its files: so a supervisor that was killed has none any more when its lock is free. Should another process have
// its number by now, and end just as well, nothing is lost by waiting for that.
func exiting(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	const flags, isExiting = 6, 0x4 // of what is behind the name; PF_EXITING
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= flags {
		return false
	}
	n, err := strconv.ParseUint(fields[flags], 10, 64)
	return err == nil && n&isExiting != 0
}

// settleAll sweeps what was half removed or half made, and settles what has ended.
func (r *Runtime) settleAll() error {
	half, err := os.ReadDir(r.removing())
	if err != nil {
		return err
	}
	for _, e := range half {
		if err := os.RemoveAll(filepath.Join(r.removing(), e.Name())); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id := e.Name()
		if !validID(id) {
			continue
		}
		_, ended, err := r.settle(id)
		if ended {
			r.release(id)
		}
		if errors.Is(err, sessions.ErrNoInstance) {
			r.log.Info("sweeping a session that was half made", "session", id)
			err = r.discard(id)
			if err != nil {
				return err
			}
		} else if err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
	}
	return nil
}

// awaitUnlocked waits for the supervisor of a session that has ended to be gone itself: it has but to
// answer who asked.
func awaitUnlocked(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, afterKill)
	defer cancel()
	for {
		if held, err := alive(dir); err != nil || !held {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// discard removes all of a session that does not run. Its directory leaves in one step, so that no
// half of it is ever listed, and leaves last: as long as it is there, somebody will come back for the
// rest.
func (r *Runtime) discard(id string) error {
	if err := r.groups.remove(id); err != nil {
		return err
	}
	if r.cfg.Network != nil {
		if err := r.cfg.Network.Remove(id); err != nil {
			return err
		}
	}
	away := filepath.Join(r.removing(), id)
	if err := os.RemoveAll(away); err != nil {
		return err
	}
	if err := os.Rename(r.dir(id), away); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(away)
}
