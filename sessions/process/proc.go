package process

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// procEntry is what /proc tells of one process.
type procEntry struct {
	group   int // process group
	cpu     time.Duration
	memory  int64 // resident, in bytes
	threads int64
	caught  uint64 // signals, bit n-1 for signal n
	ignored uint64
}

// endsBy reports whether sig does to the process what it does by default.
func (p procEntry) endsBy(sig syscall.Signal) bool {
	return (p.caught|p.ignored)>>(sig-1)&1 == 0
}

// readProc reads all processes of a PID namespace's /proc but its first.
func readProc(proc string) map[int]procEntry {
	all := map[int]procEntry{}
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil || pid == 1 {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(name, "stat"))
		if err != nil {
			continue
		}
		status, err := os.ReadFile(filepath.Join(name, "status"))
		if err != nil {
			continue
		}
		if p, ok := parseProc(string(stat), string(status)); ok {
			all[pid] = p
		}
	}
	return all
}

func parseProc(stat, status string) (procEntry, bool) {
	f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // the name before it may hold anything
	if len(f) < 22 {
		return procEntry{}, false
	}
	at := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	p := procEntry{
		group: int(at(2)), cpu: time.Duration(at(11)+at(12)) * tick,
		threads: at(17), memory: at(21) * int64(os.Getpagesize()),
	}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		switch {
		case err != nil:
		case key == "SigIgn":
			p.ignored = mask
		case key == "SigCgt":
			p.caught = mask
		}
	}
	return p, true
}

// total sums up. The time of processes that have ended is not in it.
func total(all map[int]procEntry) (cpu time.Duration, memory, threads int64) {
	for _, p := range all {
		cpu += p.cpu
		memory += p.memory
		threads += p.threads
	}
	return cpu, memory, threads
}
