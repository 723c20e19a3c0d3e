package pid1

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Entry is what /proc tells of one process.
type Entry struct {
	Group   int // process group
	CPU     time.Duration
	Memory  int64 // resident, in bytes
	Threads int64
	caught  uint64 // signals, bit n-1 for signal n
	ignored uint64
}

// endsBy reports whether sig does to the process what it does by default.
func (p Entry) endsBy(sig syscall.Signal) bool {
	return (p.caught|p.ignored)>>(sig-1)&1 == 0
}

// ReadProc reads all processes of a PID namespace's /proc but its first.
func ReadProc(proc string) map[int]Entry {
	all := map[int]Entry{}
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

func parseProc(stat, status string) (Entry, bool) {
	f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // the name before it may hold anything
	if len(f) < 22 {
		return Entry{}, false
	}
	at := func(i int) int64 { n, _ := strconv.ParseInt(f[i], 10, 64); return n }
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	p := Entry{
		Group: int(at(2)), CPU: time.Duration(at(11)+at(12)) * tick,
		Threads: at(17), Memory: at(21) * int64(os.Getpagesize()),
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

// Total sums up. The time of processes that have ended is not in it.
func Total(all map[int]Entry) (cpu time.Duration, memory, threads int64) {
	for _, p := range all {
		cpu += p.CPU
		memory += p.Memory
		threads += p.Threads
	}
	return cpu, memory, threads
}

// Traffic reads, from the text of a /proc/net/dev, what a link counted; -1 where it is not in it.
func Traffic(text, link string) (rx, tx int64) {
	for line := range strings.Lines(text) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), ":")
		f := strings.Fields(rest)
		if !found || name != link || len(f) < 9 {
			continue
		}
		rx, errRx := strconv.ParseInt(f[0], 10, 64)
		tx, errTx := strconv.ParseInt(f[8], 10, 64)
		if errRx == nil && errTx == nil {
			return rx, tx
		}
	}
	return -1, -1
}

// Disk sums up what the processes below proc have read from disks and written to them, with those of theirs that have
// ended and were waited for; -1 where none tells.
func Disk(proc string) (read, written int64) {
	read, written = -1, -1
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "io"))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		read, written = max(read, 0), max(written, 0)
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			n, _ := strconv.ParseInt(value, 10, 64)
			switch key {
			case "read_bytes":
				read += n
			case "write_bytes":
				written += n
			}
		}
	}
	return read, written
}
