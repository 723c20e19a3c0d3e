package containerd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// endShims ends the shims of containers of which containerd knows no task, with what it made for them: an older one that was killed
// while it started a shim forgets it, and any one forgets those that did not end in time. ended are the containers that had one.
func (r *Runtime) endShims(ids ...string) (ended []string, failed error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		id, ours := r.shimOf(strings.Split(string(line), "\x00"))
		if !ours || !slices.Contains(ids, id) {
			continue
		}
		dir := filepath.Dir(name)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return ended, errors.Join(failed, err)
		}
		bundle, err := os.Readlink(dir + "/cwd")
		if errors.Is(err, fs.ErrNotExist) {
			continue // the same
		}
		r.log.Info("ending a shim that containerd has forgotten", "session", id, "pid", pid)
		_ = unix.Kill(pid, unix.SIGKILL) // who has ended meanwhile is as well
		if !slices.Contains(ended, id) {
			ended = append(ended, id)
		}
		if err == nil && filepath.Base(bundle) == id {
			err = r.removeBundle(bundle)
		}
		failed = errors.Join(failed, err)
	}
	return ended, failed
}

// shimOf is the container whose shim a command line starts, where it is one of our containerd and namespace.
func (r *Runtime) shimOf(args []string) (id string, ours bool) {
	if len(args) < 7 || filepath.Base(args[0]) != "containerd-shim-runc-v2" {
		return "", false
	}
	ours = slices.Equal(args[1:7], []string{"-namespace", r.cfg.Namespace, "-id", args[4], "-address", strings.TrimPrefix(r.cfg.Address, "unix://")})
	return args[4], ours
}

// A shim that is ended may leave a runc that still writes for a moment, and no later look finds what is left.
const (
	bundleTries = 4
	bundleAgain = 100 * time.Millisecond
)

// removeBundle removes what containerd has made for a shim of which it knows nothing.
func (r *Runtime) removeBundle(bundle string) (err error) {
	for range bundleTries {
		if err = removeWithWork(bundle); err == nil {
			break
		}
		select {
		case <-r.life.Done():
			return err
		case <-time.After(bundleAgain):
		}
	}
	return err
}

// removeWithWork removes a bundle, what is mounted in it, and the directory of work that it leads to.
func removeWithWork(bundle string) error {
	err := unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // it was not mounted yet, or is not there
		return err
	}
	work, err := os.Readlink(filepath.Join(bundle, "work"))
	if err == nil && filepath.Base(work) == filepath.Base(bundle) {
		if err := removeTree(work); err != nil {
			return err
		}
	}
	return removeTree(bundle)
}

// How long containerd may be about starting a shim for a daemon that has died meanwhile: it hears of that, and goes on for what
// it has begun.
const (
	lateFirst = 500 * time.Millisecond // until the first look; each next one is twice as long after it
	lateLast  = 16 * time.Second
)

// endLateShims looks for some time for shims that containerd still starts for sessions that were half made when the daemon before
// this one died, and were swept away: containerd never takes note of them, and neither ends them nor removes what it made for them.
func (r *Runtime) endLateShims(ids []string) {
	if len(ids) == 0 {
		return
	}
	r.background.Go(func() {
		for pause := lateFirst; pause <= lateLast; pause *= 2 {
			select {
			case <-r.life.Done():
				return
			case <-time.After(pause):
			}
			if ids = r.notAgain(ids); len(ids) == 0 {
				return
			}
			ended, err := r.endShims(ids...)
			for _, id := range ended { // and what the shim began
				ctx, cancel := context.WithTimeout(r.life, afterKill)
				err = errors.Join(err, perform(r.in(ctx), r.freeing(id)))
				cancel()
			}
			if err != nil {
				r.log.Warn("something is left of shims that came late", "sessions", ended, "err", err)
			}
		}
	})
}

// notAgain are those of ids under which no session was begun again: it makes its directory long before its shim, which is its own.
func (r *Runtime) notAgain(ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool {
		_, err := os.Lstat(r.dir(id))
		return err == nil
	})
}
