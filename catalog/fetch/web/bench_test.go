package web_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

const benchBytes = 1 << 30

// BenchmarkBesideCurl fetches a gigabyte from a server on loopback, by turns with curl and with a Fetcher, which checks what
// comes, too. of-curl is its speed as a part of curl's.
func BenchmarkBesideCurl(b *testing.B) {
	dir := b.TempDir()
	writeNoise(b, filepath.Join(dir, "x"))
	address := serveApart(b, dir)
	var curl, ours cost
	var memory uint64
	for b.Loop() {
		curl.add(b, func() error {
			child := exec.CommandContext(b.Context(), "curl", "-sf", "-o", filepath.Join(dir, "curl"), address+"/x")
			err := child.Run()
			curl.cpu += child.ProcessState.UserTime() + child.ProcessState.SystemTime()
			return err
		})
		_ = os.Remove(filepath.Join(dir, "curl"))
		store, err := blobs.Open(filepath.Join(dir, "store"), slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		ours.add(b, func() error {
			source, ref := web.NewSource(web.New(web.Options{}), nil), fetch.Ref{Scheme: "http", Where: address + "/x"}
			in, err := source.List(b.Context(), ref)
			if err != nil {
				return err
			}
			_, err = fetch.New(store, fetch.Options{}).Fetch(b.Context(), source, in, func(fetch.Progress) {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				memory = max(memory, m.Sys)
			})
			return err
		})
		_ = store.Close()
		_ = os.RemoveAll(filepath.Join(dir, "store"))
	}
	b.SetBytes(benchBytes)
	n := float64(b.N)
	b.ReportMetric(curl.wall.Seconds()/n, "curl-s/op")
	b.ReportMetric(ours.wall.Seconds()/n, "ours-s/op")
	b.ReportMetric(curl.wall.Seconds()/ours.wall.Seconds(), "of-curl")
	b.ReportMetric(curl.cpu.Seconds()/n, "curl-cpu-s/op")
	b.ReportMetric(ours.cpu.Seconds()/n, "ours-cpu-s/op")
	b.ReportMetric(float64(memory)/1e6, "MB")
}

// serveApart serves a directory from a process of its own: beside the Fetcher it would wait for the Fetcher's turns, and beside
// curl for nobody's.
func serveApart(b *testing.B, dir string) string {
	b.Helper()
	child := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^TestServer$")
	child.Env = append(os.Environ(), "SERVE="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestServer is that process; in a run of tests it serves one small file and ends.
func TestServer(t *testing.T) {
	dir := os.Getenv("SERVE")
	apart := dir != ""
	if !apart {
		dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	if apart {
		fmt.Println(server.URL)
		select {} // until it is killed
	}
	source, ref := web.NewSource(web.New(web.Options{}), nil), fetch.Ref{Scheme: "http", Where: server.URL + "/x"}
	if in, err := source.List(t.Context(), ref); err != nil || len(in.Files) != 1 || in.Files[0].Bytes != 4 {
		t.Errorf("%+v, %v", in, err)
	}
}

// cost is the time that something took, and of processors, without the server's.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(b *testing.B, do func() error) {
	b.Helper()
	start, before := time.Now(), used(b)
	if err := do(); err != nil {
		b.Fatal(err)
	}
	c.wall += time.Since(start)
	c.cpu += used(b) - before
}

func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func writeNoise(b *testing.B, name string) {
	b.Helper()
	file, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w, r, block := bufio.NewWriter(file), rand.NewChaCha8([32]byte{1}), make([]byte, 1<<20)
	for range benchBytes >> 20 {
		_, _ = r.Read(block)
		_, _ = w.Write(block)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
}
