package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// group is a session's open cgroups: they can be read, joined and removed from a root in which their
// paths mean nothing.
type group struct {
	dirs  []groupDir
	roots []*os.Root // of each
	above []*os.Root // the directories that hold them
}

func openGroup(dirs []groupDir) (*group, error) {
	g := &group{dirs: dirs}
	for _, d := range dirs {
		root, err := os.OpenRoot(d.Path)
		if err != nil {
			return nil, err
		}
		above, err := os.OpenRoot(filepath.Dir(d.Path))
		if err != nil {
			return nil, err
		}
		g.roots, g.above = append(g.roots, root), append(g.above, above)
	}
	return g, nil
}

// joinThread moves the calling thread into them. A version 2 group takes whole processes only: who is
// to be in it is born in it.
func (g *group) joinThread() error {
	for i, d := range g.dirs {
		if d.V2 {
			continue
		}
		if err := g.roots[i].WriteFile("tasks", []byte("0"), 0); err != nil {
			return fmt.Errorf("joining the cgroup %s: %w", d.Path, err)
		}
	}
	return nil
}

// joinProcess moves this process into them.
func (g *group) joinProcess() error {
	for i, d := range g.dirs {
		if err := g.roots[i].WriteFile("cgroup.procs", []byte("0"), 0); err != nil {
			return fmt.Errorf("joining the cgroup %s: %w", d.Path, err)
		}
	}
	return nil
}

// remove removes them; they must be empty. What fails, the daemon does again.
func (g *group) remove() {
	for i, d := range g.dirs {
		_ = g.above[i].Remove(filepath.Base(d.Path))
	}
}

// read returns the number behind key in file, or the file's whole content as a number where key is
// "", of the tree with controller; -1 where there is none.
func (g *group) read(controller string, v2 bool, file, key string) int64 {
	for i, d := range g.dirs {
		if d.V2 != v2 || !slices.Contains(d.Controllers, controller) {
			continue
		}
		b, err := g.roots[i].ReadFile(file)
		if err != nil {
			return -1
		}
		return number(string(b), key)
	}
	return -1
}

func number(text, key string) int64 {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if key != "" && (len(f) != 2 || f[0] != key) || len(f) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(f[len(f)-1], 10, 64); err == nil {
			return n
		}
	}
	return -1
}

// oomKills counts the processes that the kernel ended for the session's memory limit.
func (g *group) oomKills() int64 {
	n := g.read("memory", false, "memory.oom_control", "oom_kill")
	return max(n, g.read("memory", true, "memory.events", "oom_kill"), 0)
}

// usage is what the cgroups tell of Stats; -1 for what they do not.
func (g *group) usage() sessions.Stats {
	s := sessions.Stats{CPUTime: -1, Memory: -1, Pids: -1, RxBytes: -1, TxBytes: -1, ReadBytes: -1, WriteBytes: -1}
	if ns := g.read("cpuacct", false, "cpuacct.usage", ""); ns >= 0 {
		s.CPUTime = time.Duration(ns)
	} else if us := g.read("cpu", true, "cpu.stat", "usage_usec"); us >= 0 {
		s.CPUTime = time.Duration(us) * time.Microsecond
	}
	if n := g.read("memory", false, "memory.usage_in_bytes", ""); n >= 0 {
		s.Memory = max(0, n-max(0, g.read("memory", false, "memory.stat", "total_inactive_file")))
	} else if n := g.read("memory", true, "memory.current", ""); n >= 0 {
		s.Memory = max(0, n-max(0, g.read("memory", true, "memory.stat", "inactive_file")))
	}
	s.Pids = max(g.read("pids", false, "pids.current", ""), g.read("pids", true, "pids.current", ""))
	return s
}
