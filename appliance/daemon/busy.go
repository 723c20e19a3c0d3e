package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// busyBox tells how busy the box is as a whole, whoever keeps it so. It is safe for concurrent use.
type busyBox struct {
	files fs.FS // /proc
	now   func() time.Time

	mu     sync.Mutex
	before cpuTicks
	at     time.Time
	cores  float64
}

func newBusyBox(files fs.FS, now func() time.Time) *busyBox {
	return &busyBox{files: files, now: now, cores: -1}
}

// busyApart is the least time between two counts: over less, one tick of a clock would be a tenth of a core.
const busyApart = 250 * time.Millisecond

// use returns the cores that were busy since the call before, and the bytes of memory that are in use and could not be
// dropped. What is not known is -1: the cores, for the first call.
func (b *busyBox) use() (cores float64, memory int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	memory = -1
	if text, err := fs.ReadFile(b.files, "meminfo"); err == nil {
		if used, err := usedMemory(string(text)); err == nil {
			memory = used
		}
	}
	now := b.now()
	if !b.at.IsZero() && now.Sub(b.at) < busyApart {
		return b.cores, memory
	}
	text, err := fs.ReadFile(b.files, "stat")
	if err != nil {
		return -1, memory
	}
	ticks, err := readTicks(string(text))
	if err != nil {
		return -1, memory
	}
	if !b.at.IsZero() {
		b.cores = ticks.since(b.before)
	}
	b.before, b.at = ticks, now
	return b.cores, memory
}

// cpuTicks is what the kernel has counted since the box started, over all cores.
type cpuTicks struct{ busy, idle, cores int64 }

// since is how many cores were busy between two counts; -1 where the time between them was none.
func (t cpuTicks) since(before cpuTicks) float64 {
	busy, idle := t.busy-before.busy, max(t.idle-before.idle, 0) // a core's idle time may run backwards
	if busy < 0 || busy+idle <= 0 {
		return -1
	}
	return float64(busy) / float64(busy+idle) * float64(t.cores)
}

// readTicks reads /proc/stat: the first line sums all cores up, one more for each of them follows.
func readTicks(text string) (cpuTicks, error) {
	var t cpuTicks
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		if words[0] != "cpu" {
			t.cores++
			continue
		}
		if len(words) < 5 {
			return t, errors.New("/proc/stat: its first line is too short")
		}
		// user nice system idle iowait irq softirq steal; guest time is part of user's already.
		for i, word := range words[1:min(len(words), 9)] {
			n, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return t, fmt.Errorf("/proc/stat: %w", err)
			}
			if slices.Contains([]int{3, 4}, i) {
				t.idle += n
			} else {
				t.busy += n
			}
		}
	}
	if t.cores == 0 {
		return t, errors.New("/proc/stat: it lists no core")
	}
	return t, nil
}

// usedMemory reads /proc/meminfo: all of it without what is available, in bytes.
func usedMemory(text string) (int64, error) {
	var total, available int64 = -1, -1
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if len(words) == 0 || name != "MemTotal" && name != "MemAvailable" {
			continue
		}
		n, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return -1, fmt.Errorf("/proc/meminfo: %w", err)
		}
		if name == "MemTotal" {
			total = n << 10
		} else {
			available = n << 10
		}
	}
	if total < 0 || available < 0 {
		return -1, errors.New("/proc/meminfo: it does not say how much is available")
	}
	return max(total-available, 0), nil
}
