package accel

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Inventory finds the cores, memory and memory nodes of a box in its /proc and /sys; fsys is its root. What counts is
// what the calling process may use: cores that are online and that its affinity allows, up to the CPU quota and the
// memory limit of its control groups, so that a container is as big as it was made, not as its host. Huge pages are left
// out: they are someone's already. A box with one memory node has none listed; neither are nodes without cores.
func Inventory(fsys fs.FS) (Node, error) {
	b := boxFiles{fsys}
	cores, err := b.cores()
	if err != nil {
		return Node{}, fmt.Errorf("finding the box's cores: %w", err)
	}
	memory, err := b.memory("proc/meminfo", "")
	if err != nil {
		return Node{}, fmt.Errorf("finding the box's memory: %w", err)
	}
	memory = max(memory-b.hugePages("sys/kernel/mm/hugepages"), 0)
	cpu := Amount(len(cores)) * milliPerCore
	for _, group := range b.groups() {
		quota, limit := b.limits(group)
		cpu, memory = min(cpu, quota), min(memory, limit)
	}
	n := Node{CPU: cpu, Memory: Amount(memory)}
	if n.NUMA, err = b.numa(cores, memory); err != nil {
		return Node{}, fmt.Errorf("finding the box's memory nodes: %w", err)
	}
	return n, nil
}

// boxFiles reads a box's /proc and /sys.
type boxFiles struct{ fs.FS }

func (b boxFiles) read(name string) (string, error) {
	text, err := fs.ReadFile(b, name)
	return strings.TrimSpace(string(text)), err
}

// cores lists the cores that are online and allowed. Either list may be missing.
func (b boxFiles) cores() ([]int, error) {
	online, err := b.list("sys/devices/system/cpu/online")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	status, err := b.read("proc/self/status")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	allowed, err := parseCores(field(status, "Cpus_allowed_list:"))
	if err != nil {
		return nil, fmt.Errorf("proc/self/status: %w", err)
	}
	switch {
	case len(allowed) == 0 && len(online) == 0:
		return nil, errors.New("neither /sys/devices/system/cpu/online nor /proc/self/status lists any")
	case len(allowed) == 0:
		return online, nil
	case len(online) == 0:
		return allowed, nil
	}
	both := slices.DeleteFunc(allowed, func(core int) bool { return !slices.Contains(online, core) })
	if len(both) == 0 {
		return nil, errors.New("none of those that this process may use is online")
	}
	return both, nil
}

// list reads a file of numbers such as 0-3,8.
func (b boxFiles) list(name string) ([]int, error) {
	text, err := b.read(name)
	if err != nil {
		return nil, err
	}
	cores, err := parseCores(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cores, nil
}

// memory reads a meminfo file, whose lines begin with prefix: all of it, in bytes.
func (b boxFiles) memory(name, prefix string) (int64, error) {
	text, err := b.read(name)
	if err != nil {
		return 0, err
	}
	total, err := kibibytes(field(text, prefix+"MemTotal:"))
	if err != nil {
		return 0, fmt.Errorf("%s: MemTotal: %w", name, err)
	}
	return total, nil
}

// hugePages sums up what is set aside as huge pages of any size below a folder, in bytes.
func (b boxFiles) hugePages(dir string) int64 {
	sizes, err := fs.Glob(b, path.Join(dir, "hugepages-*kB"))
	if err != nil {
		return 0 // only of a pattern that is none
	}
	var sum int64
	for _, name := range sizes {
		text, err := b.read(path.Join(name, "nr_hugepages"))
		count, err2 := strconv.ParseInt(text, 10, 32)
		size, err3 := kibibytes(strings.TrimSuffix(strings.TrimPrefix(path.Base(name), "hugepages-"), "kB"))
		if errors.Join(err, err2, err3) == nil {
			sum += count * size
		}
	}
	return sum
}

// numa lists the memory nodes that have cores of the box; nil if there are fewer than two.
func (b boxFiles) numa(cores []int, memory int64) ([]NUMA, error) {
	const root = "sys/devices/system/node"
	entries, err := fs.ReadDir(b, root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var nodes []NUMA
	for _, entry := range entries {
		number, isNode := strings.CutPrefix(entry.Name(), "node")
		id, err := strconv.Atoi(number)
		if !isNode || err != nil {
			continue
		}
		near, err := b.list(path.Join(root, entry.Name(), "cpulist"))
		if err != nil {
			return nil, err
		}
		near = slices.DeleteFunc(near, func(core int) bool { return !slices.Contains(cores, core) })
		if len(near) == 0 {
			continue
		}
		own, err := b.memory(path.Join(root, entry.Name(), "meminfo"), fmt.Sprintf("Node %d ", id))
		if err != nil {
			return nil, err
		}
		own = max(own-b.hugePages(path.Join(root, entry.Name(), "hugepages")), 0)
		nodes = append(nodes, NUMA{ID: id, CPUs: near, Memory: min(own, memory)})
	}
	if len(nodes) < 2 {
		return nil, nil
	}
	slices.SortFunc(nodes, func(a, b NUMA) int { return a.ID - b.ID })
	return nodes, nil
}

// field returns the first word after a name at the beginning of a line; "" if there is none.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name); found {
			word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
			return word
		}
	}
	return ""
}

func kibibytes(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>10 {
		return 0, fmt.Errorf("%q is not a number of kB", text)
	}
	return n << 10, nil
}

// parseCores reads numbers as the kernel writes lists of them: "0-3,8"; "" is none.
func parseCores(text string) ([]int, error) {
	var cores []int
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || first < 0 || last < first || last > mostCores {
			return nil, fmt.Errorf("%q is not a list of numbers such as 0-3,8", text)
		}
		for core := first; core <= last; core++ {
			cores = append(cores, core)
		}
	}
	slices.Sort(cores)
	return slices.Compact(cores), nil
}
