package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// hierarchy is one mounted tree of cgroups.
type hierarchy struct {
	Mount       string
	V2          bool
	Controllers []string // of ours: memory, cpu, cpuacct, pids, name=systemd
}

// groupDir is one cgroup.
type groupDir struct {
	Path        string   `json:"path"`
	V2          bool     `json:"v2"`
	Controllers []string `json:"controllers"`
}

// ours are the controllers that a session joins. name=systemd is joined so that a service manager that
// ends the daemon's group does not end the sessions with it.
var ours = []string{"memory", "cpu", "cpuacct", "pids", "name=systemd"}

// hierarchies reads the trees from mountinfo. v2Controllers lists what a version 2 tree at a mount
// offers.
func hierarchies(mountinfo string, v2Controllers func(mount string) []string) []hierarchy {
	var all []hierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !found || len(left) < 5 || len(right) < 3 {
			continue
		}
		h := hierarchy{Mount: left[4]}
		switch right[0] {
		case "cgroup2":
			h.V2 = true
			h.Controllers = v2Controllers(h.Mount)
		case "cgroup":
			h.Controllers = strings.Split(right[2], ",")
		default:
			continue
		}
		h.Controllers = slices.DeleteFunc(h.Controllers, func(c string) bool { return !slices.Contains(ours, c) })
		seen := slices.ContainsFunc(all, func(o hierarchy) bool { return o.V2 == h.V2 && slices.Equal(o.Controllers, h.Controllers) })
		if (h.V2 || len(h.Controllers) > 0) && !seen {
			all = append(all, h)
		}
	}
	return all
}

// cgroups makes and removes the cgroups of one runtime's sessions: PARENT/ID in every hierarchy.
type cgroups struct {
	parent string // palisade/<hash of root>
	trees  []hierarchy
	faults []error // what could not be had, and why

	mu sync.Mutex // held while the parents are made or removed
}

// openCgroups finds out what this box lets us limit, by making the parent cgroups.
func openCgroups(parent string) *cgroups {
	c := &cgroups{parent: parent}
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.faults = append(c.faults, err)
		return c
	}
	for _, h := range hierarchies(string(info), readControllers) {
		if err := c.prepare(&h); err != nil {
			c.faults = append(c.faults, fmt.Errorf("cgroup %s (%s): %w", h.Mount, strings.Join(h.Controllers, ", "), err))
			continue
		}
		c.trees = append(c.trees, h)
	}
	c.tidy()
	return c
}

// tidy removes the parents where nothing is in them.
func (c *cgroups) tidy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.trees {
		parent := filepath.Join(h.Mount, c.parent)
		children, err := filepath.Glob(filepath.Join(parent, "*", "cgroup.procs"))
		if err != nil || len(children) > 1 { // more than the keepers'
			continue
		}
		for _, dir := range []string{filepath.Join(parent, keepers), parent, filepath.Dir(parent)} {
			if os.Remove(dir) != nil {
				break
			}
		}
	}
}

func readControllers(mount string) []string {
	b, _ := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	return strings.Fields(string(b))
}

// prepare makes the parent in h and, in version 2, hands it the controllers; those that it does not
// get leave h.Controllers.
func (c *cgroups) prepare(h *hierarchy) error {
	dir := h.Mount
	parts := strings.Split(c.parent, "/")
	for i := range len(parts) + 1 {
		if h.V2 {
			h.Controllers = slices.DeleteFunc(h.Controllers, func(name string) bool {
				err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0)
				if err != nil {
					c.faults = append(c.faults, fmt.Errorf("controller %s of %s: %w", name, dir, err))
				}
				return err != nil
			})
		}
		if i == len(parts) {
			break
		}
		dir = filepath.Join(dir, parts[i])
		if err := mkdirIfMissing(dir); err != nil {
			return err
		}
	}
	return mkdirIfMissing(filepath.Join(dir, keepers))
}

// keepers is the cgroup of the supervisors: not the sessions', or the kernel might end a supervisor for
// its session's memory; not the daemon's, or they might be ended with it.
const keepers = "supervisors"

func mkdirIfMissing(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// missing returns what could not be had, and why.
func (c *cgroups) missing() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.faults)
}

// has reports whether controller can be had.
func (c *cgroups) has(controller string) bool {
	return slices.ContainsFunc(c.trees, func(h hierarchy) bool { return slices.Contains(h.Controllers, controller) })
}

func (c *cgroups) dirs(id string) []groupDir {
	var dirs []groupDir
	for _, h := range c.trees {
		dirs = append(dirs, groupDir{Path: filepath.Join(h.Mount, c.parent, id), V2: h.V2, Controllers: h.Controllers})
	}
	return dirs
}

// make makes the cgroups of id with their limits. What is not there to limit is left out: see has.
func (c *cgroups) make(id string, l sessions.Limits) ([]groupDir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dirs := c.dirs(id)
	for i, d := range dirs {
		h := hierarchy{Mount: c.trees[i].Mount, V2: d.V2, Controllers: slices.Clone(d.Controllers)}
		if err := c.prepare(&h); err != nil {
			return nil, fmt.Errorf("making the cgroup: %w", err)
		}
		if err := mkdirIfMissing(d.Path); err != nil {
			return nil, fmt.Errorf("making the cgroup: %w", err)
		}
		for _, w := range limitWrites(d, l) {
			err := os.WriteFile(filepath.Join(d.Path, w.file), []byte(w.value), 0)
			if err != nil && !(w.optional && errors.Is(err, fs.ErrNotExist)) {
				return nil, fmt.Errorf("limiting the session: %w", err)
			}
		}
	}
	return dirs, nil
}

type limitWrite struct {
	file, value string
	optional    bool // a kernel without swap accounting has no such file
}

// limitWrites says what to write into a new cgroup, in order.
func limitWrites(d groupDir, l sessions.Limits) []limitWrite {
	var w []limitWrite
	has := func(c string) bool { return slices.Contains(d.Controllers, c) }
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	const period = 100_000 // µs
	quota := max(1000, l.MilliCPU*period/1000)
	switch {
	case d.V2:
		if has("memory") && l.Memory > 0 {
			w = append(w, limitWrite{"memory.max", n(l.Memory), false}, limitWrite{"memory.swap.max", "0", true})
		}
		if has("cpu") && l.MilliCPU > 0 {
			w = append(w, limitWrite{"cpu.max", n(quota) + " " + n(period), false})
		}
	default:
		if has("memory") && l.Memory > 0 {
			w = append(w, limitWrite{"memory.limit_in_bytes", n(l.Memory), false}, limitWrite{"memory.memsw.limit_in_bytes", n(l.Memory), true})
		}
		if has("cpu") && l.MilliCPU > 0 {
			w = append(w, limitWrite{"cpu.cfs_period_us", n(period), false}, limitWrite{"cpu.cfs_quota_us", n(quota), false})
		}
	}
	if has("pids") && l.Pids > 0 {
		w = append(w, limitWrite{"pids.max", n(l.Pids), false})
	}
	return w
}

// remove ends what is left in the cgroups of id and removes them. Idempotent.
func (c *cgroups) remove(id string) error {
	var errs []error
	for _, d := range c.dirs(id) {
		errs = append(errs, removeGroup(d.Path))
	}
	c.tidy()
	return errors.Join(errs...)
}

func removeGroup(dir string) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("removing cgroup: %w", err)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// describe says for people which versions are in use.
func (c *cgroups) describe() string {
	var versions []string
	for _, h := range c.trees {
		versions = append(versions, map[bool]string{true: "2", false: "1"}[h.V2])
	}
	slices.Sort(versions)
	return cmp.Or(strings.Join(slices.Compact(versions), " and "), "none")
}
