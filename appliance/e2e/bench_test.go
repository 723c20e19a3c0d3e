package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddr is an address that nobody listens on.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// milliseconds reports the mean over the runs.
func milliseconds(b *testing.B, total time.Duration, name string) {
	b.Helper()
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), name)
}

// BenchmarkReady is from the start of `palisade serve` to a good answer of /readyz.
func BenchmarkReady(b *testing.B) {
	box := newBox(b)
	box.url = "http://" + freeAddr(b)
	var total time.Duration
	for range b.N {
		begun := time.Now()
		box.start()
		total += time.Since(begun)
		box.stop()
	}
	milliseconds(b, total, "ms-to-ready")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemory is what the daemon holds with two routes, and what holds each of their sessions. The program is copied first, as
// who installs it does: of what a linker has just written newer kernels map two megabytes around each page that is touched.
func BenchmarkMemory(b *testing.B) {
	box := newBox(b)
	box.program = filepath.Join(filepath.Dir(box.dir), "palisade")
	if _, err := output(".", "cp", have.palisade, box.program); err != nil {
		b.Fatal(err)
	}
	box.start()
	token := box.serve("voices", "recite", 2)
	for range b.N {
		if _, err := say(b.Context(), box.client(token), "voices", 50, nil); err != nil {
			b.Fatal(err)
		}
	}
	supervisors, n := 0.0, 0
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\x00supervise\x00"+box.dir) {
			supervisors += resident(b, filepath.Join(filepath.Dir(f), "status"), "VmRSS")
			n++
		}
	}
	status := fmt.Sprintf("/proc/%d/status", box.daemon.Process.Pid)
	b.ReportMetric(resident(b, status, "VmRSS"), "MiB-daemon")
	b.ReportMetric(resident(b, status, "RssAnon"), "MiB-daemon-own")
	b.ReportMetric(supervisors/float64(max(1, n)), "MiB-supervisor")
	b.ReportMetric(0, "ns/op")
}

// resident reads one of the kinds of memory of a process, in MiB.
func resident(tb testing.TB, status, kind string) float64 {
	tb.Helper()
	text, err := os.ReadFile(status)
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), kind+":")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		tb.Fatal(err)
	}
	return kib / 1024
}

// BenchmarkCreate compares `service create --wait` with the engine's own time to readiness: the same
// engine, with the same model, started by hand in the same run.
func BenchmarkCreate(b *testing.B) {
	box := newBox(b)
	box.start()
	dir := box.helloFolder()
	var own, created time.Duration
	for i := range b.N {
		own += bareEngine(b, filepath.Join(dir, "hello.gguf"))
		name := fmt.Sprintf("hello-%d", i)
		begun := time.Now()
		box.run("service", "create", "host", "hello", "1", "--name", name, "--wait")
		created += time.Since(begun)
		box.run("service", "rm", name)
	}
	milliseconds(b, own, "ms-engine")
	milliseconds(b, created, "ms-create-wait")
	milliseconds(b, created-own, "ms-added")
	b.ReportMetric(0, "ns/op")
}

// helloFolder makes a model folder whose engine is started as bareEngine starts it.
func (b *box) helloFolder() (dir string) {
	b.t.Helper()
	dir = b.folder("hello", `
models:
  - name: hello
    service:
      start_command: [llama-server, --model, /models/hello.gguf, --host, 0.0.0.0, --port, "{ports[0]}", --ctx-size, "8192", --parallel, "4",
        --threads, "1", --threads-batch, "1", --metrics]
      port: 8000
      health_check: {path: /health, interval: 1, initial_delay: 30}
`, nil)
	if _, err := output(dir, have.mkhello, "-o", filepath.Join(dir, "hello.gguf")); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// bareEngine is how long the engine takes to answer its health check, with nobody between.
func bareEngine(b *testing.B, model string) time.Duration {
	b.Helper()
	addr := freeAddr(b)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(have.engine, "llama-server"), "--model", model, "--host", "127.0.0.1", "--port", port,
		"--ctx-size", "8192", "--parallel", "4", "--threads", "1", "--threads-batch", "1", "--metrics")
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	err = eventually(soon, func() error {
		resp, err := http.Get("http://" + addr + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	took := time.Since(begun)
	if err != nil {
		b.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		b.Error(err)
	}
	_ = cmd.Wait()
	return took
}
