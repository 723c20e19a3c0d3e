package accel

import (
	"math"
	"path"
	"strconv"
	"strings"
)

// group is one control group of this process, by the directory where its files are, from the root of the box.
type group struct {
	dir     string
	unified bool // version 2
}

// groups lists the control groups that hold this process, those above it too, in both versions. What cannot be read
// limits nothing.
func (b boxFiles) groups() []group {
	own, err := b.read("proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := b.read("proc/self/mountinfo")
	if err != nil {
		return nil
	}
	in := map[string]string{} // the process's group by controller; "" for version 2
	for line := range strings.Lines(own) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			in[controller] = parts[2]
		}
	}
	var found []group
	for line := range strings.Lines(mounts) {
		root, point, controllers, unified := cgroupMount(line)
		for _, controller := range controllers {
			if within, member := in[controller]; member {
				for _, dir := range above(root, point, within) {
					found = append(found, group{strings.TrimPrefix(dir, "/"), unified})
				}
			}
		}
	}
	return found
}

// cgroupMount reads a line of mountinfo: which group is mounted where, for which controllers that matter here. None: it
// is not of control groups.
func cgroupMount(line string) (root, point string, controllers []string, unified bool) {
	before, after, _ := strings.Cut(line, " - ")
	mount, system := strings.Fields(before), strings.Fields(after)
	if len(mount) < 5 || len(system) < 3 {
		return "", "", nil, false
	}
	switch system[0] {
	case "cgroup2":
		return mount[3], mount[4], []string{""}, true
	case "cgroup":
		for option := range strings.SplitSeq(system[2], ",") {
			if option == "cpu" || option == "memory" {
				controllers = append(controllers, option)
			}
		}
	}
	return mount[3], mount[4], controllers, false
}

// above lists the directories of a group and of those above it, as far as they are mounted. In a container the mount is
// often of the container's own group, while the process's is written as the host sees it.
func above(root, point, within string) []string {
	rest, inside := within, true
	if root != "/" {
		rest, inside = strings.CutPrefix(within, root)
	}
	if !inside || strings.Contains(rest, "..") {
		rest = ""
	}
	dirs := []string{point}
	for part := range strings.SplitSeq(strings.Trim(rest, "/"), "/") {
		if part != "" {
			dirs = append(dirs, path.Join(dirs[len(dirs)-1], part))
		}
	}
	return dirs
}

// limits reads a group's CPU quota, in thousandths of a core, and its memory limit.
func (b boxFiles) limits(g group) (cpu Amount, memory int64) {
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n <= 0 { // "max", or -1
			return math.MaxInt64
		}
		return n
	}
	files := []string{"cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes"}
	if g.unified {
		files = []string{"cpu.max", "", "memory.max"}
	}
	text := make([]string, len(files))
	for i, name := range files {
		if read, err := b.read(path.Join(g.dir, name)); err == nil && name != "" {
			text[i] = read
		}
	}
	if g.unified {
		text[0], text[1], _ = strings.Cut(text[0], " ")
	}
	quota, period := number(text[0]), number(text[1])
	cpu, memory = math.MaxInt64, number(text[2])
	if quota < math.MaxInt64/milliPerCore && period < math.MaxInt64 {
		cpu = max(Amount(quota*milliPerCore/period), 1)
	}
	return cpu, memory
}
