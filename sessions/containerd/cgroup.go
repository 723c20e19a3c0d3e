package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groupPath is where a session's cgroup is in every hierarchy: not where another appliance's is.
func (r *Runtime) groupPath(id string) string { return "/palisade/" + r.owner + "." + id }

// removeGroups removes what is left of a session's cgroups: where containerd was killed while runc made
// them, nobody else does.
func (r *Runtime) removeGroups(ctx context.Context, id string) error {
	var dirs []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(pattern + r.groupPath(id))
		if err != nil {
			return err
		}
		for _, top := range found {
			err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					dirs = append(dirs, path)
				}
				return nil // what goes meanwhile is gone
			})
			if err != nil {
				return err
			}
		}
	}
	for _, dir := range slices.Backward(dirs) { // the innermost first
		if err := removeGroup(ctx, dir); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup ends what is in a cgroup and removes it.
func removeGroup(ctx context.Context, dir string) error {
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("removing a cgroup: %w", err)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing a cgroup: %w: %w", err, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}
