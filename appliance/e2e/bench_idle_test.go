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
	b.ReportMetric(resident(b, fmt.Sprintf("/proc/%d/status", box.daemon.Process.Pid), "VmRSS"), "MiB-daemon")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdleSessions is what the daemon, and all that holds sessions beside it, take of a core for 200 sessions of people
// that do nothing. One run lasts half a minute.
func BenchmarkIdleSessions(b *testing.B) {
	box := newBox(b)
	box.settings = []string{"--runtime", "process"}
	box.start()
	box.run("session", "create", "host", "--array", "1-200", "--name", "idle", "-r", "cpu=0.01", "-r", "mem=16m", "-c", "exec sleep 100000")
	if err := eventually(2*time.Minute, func() error {
		if n := strings.Count(box.run("session", "list", "-o", "json"), `"RUNNING"`); n < 200 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	holders := supervisorsOf(b, box.dir)
	const look = 30 * time.Second
	var own, all time.Duration
	for range b.N {
		before, beside := cpuTime(b, box.daemon.Process.Pid), time.Duration(0)
		for _, pid := range holders {
			beside -= cpuTime(b, pid)
		}
		<-time.After(look) // the time over which is measured
		own += cpuTime(b, box.daemon.Process.Pid) - before
		for _, pid := range holders {
			beside += cpuTime(b, pid)
		}
		all += beside
	}
	b.ReportMetric(float64(len(holders)), "sessions")
	b.ReportMetric(100*own.Seconds()/(look.Seconds()*float64(b.N)), "%-of-a-core-daemon")
	b.ReportMetric(100*all.Seconds()/(look.Seconds()*float64(b.N)), "%-of-a-core-supervisors")
	b.ReportMetric(resident(b, fmt.Sprintf("/proc/%d/status", box.daemon.Process.Pid), "VmRSS"), "MiB-daemon")
	b.ReportMetric(0, "ns/op")
}

// supervisorsOf are the processes that hold the sessions of an appliance.
func supervisorsOf(tb testing.TB, dir string) (pids []int) {
	tb.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\x00supervise\x00"+dir) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			if err != nil {
				tb.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
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
