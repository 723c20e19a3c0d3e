package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkIdle is what the daemon takes of a core while a hundred sessions hold parts of a simulated box's devices and
// nobody asks anything: probes every 10 s, devices sampled every 15 s. One run lasts half a minute.
func BenchmarkIdle(b *testing.B) {
	box := newBox(b)
	box.settings = []string{"--runtime", "process", "--simulate", "dgxh100"}
	box.start()
	dir := box.folder("quiet", `
models:
  - name: quiet
    service:
      start_command: [/models/badengine, ok, "{ports[0]}"]
      port: 8000
      health_check: {path: /health, initial_delay: 30}
`, map[string]string{"badengine": have.badengine})
	if _, err := os.Stat(filepath.Join(dir, "badengine")); err != nil {
		b.Fatal(err)
	}
	box.run("service", "create", "host", "quiet", "100", "--name", "quiet", "-r", "cuda.shares=0.08", "--wait", "--timeout", "3m")
	const look = 30 * time.Second
	var used time.Duration
	for range b.N {
		before := cpuTime(b, box.daemon.Process.Pid)
		<-time.After(look) // the time over which is measured
		used += cpuTime(b, box.daemon.Process.Pid) - before
	}
	b.ReportMetric(100*used.Seconds()/(look.Seconds()*float64(b.N)), "%-of-a-core")
	b.ReportMetric(rss(b, fmt.Sprintf("/proc/%d/status", box.daemon.Process.Pid)), "MiB-daemon")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what a process has used of the cores so far, to a hundredth of a second.
func cpuTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] { // user and system
		n, err := strconv.Atoi(f)
		if err != nil {
			tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
