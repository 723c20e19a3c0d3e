package containerd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// endShims ends the shims of a container of which containerd knows no task: an older one that was killed while it started a shim
// forgets it, and any one forgets those that did not end in time. bundles are the directories that they were in.
func (r *Runtime) endShims(id string) (bundles []string, err error) {
	wanted := []string{"-namespace", r.cfg.Namespace, "-id", id, "-address", strings.TrimPrefix(r.cfg.Address, "unix://")}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		args := strings.Split(string(line), "\x00")
		if filepath.Base(args[0]) != "containerd-shim-runc-v2" || !slices.Equal(args[1:min(len(args), 1+len(wanted))], wanted) {
			continue
		}
		dir := filepath.Dir(name)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		bundle, err := os.Readlink(dir + "/cwd")
		if err == nil && filepath.Base(bundle) == id && !slices.Contains(bundles, bundle) {
			bundles = append(bundles, bundle)
		}
		r.log.Info("ending a shim that containerd has forgotten", "session", id, "pid", pid)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return bundles, nil
}

// How long containerd may be about starting a shim for a daemon that has died meanwhile: it hears of that, and goes on for what
// it has begun.
const (
	lateFirst = 500 * time.Millisecond // until the first look; each next one is twice as long after it
	lateLast  = 16 * time.Second
)

// endLateShim looks for some time for a shim that containerd still starts for a session that was half made when the daemon before
// this one died, and was swept away: containerd never takes note of it, and neither ends it nor removes what it made for it.
func (r *Runtime) endLateShim(id string) {
	r.background.Go(func() {
		for pause := lateFirst; pause <= lateLast; pause *= 2 {
			select {
			case <-r.life.Done():
				return
			case <-time.After(pause):
			}
			bundles, err := r.endShims(id)
			if err == nil && len(bundles) == 0 {
				continue
			}
			ctx, cancel := context.WithTimeout(r.life, afterKill)
			if err == nil {
				err = perform(r.in(ctx), r.freeing(id)) // what the shim began
			}
			cancel()
			for _, bundle := range bundles {
				err = errors.Join(err, removeBundle(bundle))
			}
			if err != nil {
				r.log.Warn("something is left of a shim that came late", "session", id, "err", err)
			}
		}
	})
}

// removeBundle removes what containerd has made for a shim of which it knows nothing.
func removeBundle(bundle string) error {
	_ = unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // most are not mounted yet
	work, err := os.Readlink(filepath.Join(bundle, "work"))
	if err == nil && filepath.Base(work) == filepath.Base(bundle) {
		if err := removeTree(work); err != nil {
			return err
		}
	}
	return removeTree(bundle)
}
