package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noise writes a file of so many bytes that look like nothing, and returns its SHA-256.
func noise(tb testing.TB, path string, size int64) string {
	tb.Helper()
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(file, sum), rand.NewChaCha8([32]byte{byte(size)}), size)
	if err = errors.Join(err, file.Close()); err != nil {
		tb.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func sumOf(tb testing.TB, path string) string {
	tb.Helper()
	file, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		tb.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// copying is a copy under way.
type copying struct {
	*exec.Cmd
	t   *testing.T
	err bytes.Buffer
}

func (b *box) copies(t *testing.T, args ...string) *copying {
	t.Helper()
	c := &copying{Cmd: exec.Command(have.palisade, append([]string{"folder", "cp"}, args...)...), t: t}
	c.Env, c.Stderr = b.env, &c.err
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// comes waits until a part of a file, by its pattern, has so many bytes.
func (c *copying) comes(pattern string, least int64) {
	c.t.Helper()
	if err := eventually(soon, func() error {
		found, _ := filepath.Glob(pattern)
		for _, name := range found {
			if info, err := os.Stat(name); err == nil && info.Size() >= least {
				return nil
			}
		}
		return fmt.Errorf("%s does not have %d bytes", pattern, least)
	}); err != nil {
		c.t.Fatal(err)
	}
}

// killed ends it in the middle.
func (c *copying) killed() {
	c.t.Helper()
	_ = c.Process.Kill()
	if err := c.Wait(); err == nil {
		c.t.Fatal("the copy had ended before it was killed")
	}
}

func (b *box) folderDir(name string) string {
	b.t.Helper()
	var v struct{ Folder struct{ Path string } }
	b.into(&v, "folder", "info", name)
	return v.Folder.Path
}

const bigFile = 250_000_001

// TestFolderCopies: a copy goes on where it was, after the client is killed and after the daemon is, and comes to the same
// bytes; what is cut off is seen by nobody.
func TestFolderCopies(t *testing.T) {
	b := newBox(t)
	b.start()
	b.run("folder", "create", "data")
	dir := b.folderDir("data")
	work := t.TempDir()
	big, back := filepath.Join(work, "big"), filepath.Join(work, "back")
	want := noise(t, big, bigFile)

	c := b.copies(t, big, "data:in/big")
	c.comes(filepath.Join(dir, ".palisade-uploads", "upl-*"), 20<<20)
	c.killed()
	if out := b.run("folder", "ls", "data", "-R", "-q"); out != "" {
		t.Errorf("a part is seen: %s", out)
	}
	if out := b.run("folder", "info", "data"); !strings.Contains(out, "1 file, not finished") {
		t.Errorf("%s", out)
	}
	b.kill()
	b.start()
	c = b.copies(t, big, "data:in/big")
	c.comes(filepath.Join(dir, ".palisade-uploads", "upl-*"), 60<<20)
	b.kill()
	b.start()
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &c.err)
	}
	if first, _, _ := strings.Cut(c.err.String(), "\n"); !strings.Contains(first, " MiB of 238.4 MiB") {
		t.Errorf("it began anew: %s", first)
	}
	if got := sumOf(t, filepath.Join(dir, "in/big")); got != want {
		t.Errorf("%s came for %s", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".palisade-*")); len(left) > 0 {
		t.Errorf("left: %s", left)
	}

	c = b.copies(t, "data:in/big", back)
	c.comes(filepath.Join(work, ".palisade-part-*"), 70<<20)
	c.killed()
	c = b.copies(t, "data:in/big", back)
	c.comes(filepath.Join(work, ".palisade-part-*"), 110<<20)
	b.kill()
	b.start()
	if err := c.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &c.err)
	}
	if got := sumOf(t, back); got != want {
		t.Errorf("%s came back for %s", got, want)
	}
	if left, _ := filepath.Glob(filepath.Join(work, ".palisade-*")); len(left) > 0 {
		t.Errorf("left: %s", left)
	}
}

// TestFolderLife: one that a session uses stays; its bound is filled by the session, which is told; others have it as far as
// it is shared with them; the trash gives it back.
func TestFolderLife(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	b.run("folder", "create", "data", "--quota", "1m")
	dir := b.folderDir("data")
	small := filepath.Join(t.TempDir(), "small")
	noise(t, small, 1000)
	b.run("folder", "cp", small, "data:")
	b.run("session", "create", "host", "--name", "writer", "-v", "data", "-c",
		"until test -e data/go; do sleep 0.05; done; head -c 3000000 /dev/zero > data/much; touch data/done; sleep 600")
	b.becomes("writer", "RUNNING")
	b.fails(1, []string{"in use by session writer"}, "folder", "rm", "data")
	b.run("folder", "cp", small, "data:go")
	if err := eventually(soon, func() error {
		_, err := os.Stat(filepath.Join(dir, "done"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	const over = "folder data holds 2.9 MiB, and may hold 1 MiB"
	if err := eventually(soon, func() error {
		if out := b.run("folder", "info", "data"); !strings.Contains(out, over) {
			return errors.New(out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out := b.run("session", "info", "writer"); !strings.Contains(out, over) || !strings.Contains(out, "RUNNING") {
		t.Errorf("the session is not told: %s", out)
	}
	b.fails(1, []string{"may hold 1 MiB"}, "folder", "cp", small, "data:more")
	b.fails(1, []string{over, "data::ro"}, "session", "create", "host", "--name", "second", "-v", "data")
	b.run("session", "rm", "--forced", "writer")
	b.becomes("writer", "TERMINATED")
	b.run("folder", "rm", "-r", "data:much")
	b.run("folder", "cp", small, "data:more")

	b.fails(1, []string{"no project", "project create vision"}, "--project", "vision", "folder", "list")
	b.run("project", "create", "vision")
	b.fails(1, []string{"there is no folder"}, "--project", "vision", "folder", "cat", "data@default:small")
	b.run("folder", "share", "data", "--with-project", "vision", "--permission", "ro")
	if out := b.run("--project", "vision", "folder", "list", "-q"); out != "data@default" {
		t.Errorf("vision has %q", out)
	}
	b.run("--project", "vision", "folder", "cp", "data@default:small", small+".2")
	b.fails(1, []string{"shared with you as ro"}, "--project", "vision", "folder", "cp", small, "data@default:mine")
	b.fails(1, []string{"shared with you as ro"}, "--project", "vision", "folder", "rm", "data@default")
	// It asks for more than it has, and gets what it has.
	b.run("--project", "vision", "session", "create", "host", "--name", "reader", "-v", "data@default:/home/work/d", "-c", "cat d/small >/dev/null && ! touch d/mine")
	id := strings.TrimSpace(b.run("--project", "vision", "session", "list", "--all", "-q"))
	b.run("--project", "vision", "batch", "wait", id)
	if _, err := os.Stat(filepath.Join(dir, "mine")); err == nil {
		t.Error("a session wrote in a folder that it may read")
	}

	b.run("folder", "rm", "data")
	b.fails(1, []string{"there is no folder"}, "folder", "ls", "data")
	b.fails(1, []string{"there is no folder"}, "--project", "vision", "folder", "ls", "data@default")
	b.kill()
	b.start()
	b.run("folder", "restore", "data")
	if out := b.run("folder", "cat", "data:small"); len(out) < 900 {
		t.Errorf("%d bytes came back from the trash", len(out))
	}
	b.run("folder", "rm", "data")
	b.run("folder", "purge", "data")
	b.fails(1, []string{"in the trash"}, "folder", "restore", "data")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// TestManySmallFiles: as many as a data set has come and go whole, and are not sent twice.
func TestManySmallFiles(t *testing.T) {
	const files = 10_000
	b := newBox(t)
	b.start()
	b.run("folder", "create", "many")
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	for i := range files {
		name := filepath.Join(from, strconv.Itoa(i%100), strconv.Itoa(i))
		if i < 100 {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, []byte(strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	said := func(words string, args ...string) {
		t.Helper()
		if _, text, code := b.cli(append([]string{"folder", "cp"}, args...)...); code != 0 || !strings.Contains(text, words) || strings.Count(text, "\n") > files/100 { // a line now and then, and not for each
			t.Errorf("exit %d: %.500s", code, text)
		}
	}
	said("10000 files", from+"/.", "many:")
	said("0 files, 0 B in ", from+"/.", "many:")
	said("10000 files", "many:", to)
	for i := range files {
		name := filepath.Join(to, strconv.Itoa(i%100), strconv.Itoa(i))
		if got, err := os.ReadFile(name); err != nil || string(got) != strconv.Itoa(i) {
			t.Fatalf("%s: %q %v", name, got, err)
		}
	}
}

// BenchmarkFolderCopy is the speed of one large file by the command, from another machine as it were, beside the plainest
// that HTTP can do in the same run: PUT into a file, and ServeFile. Nothing there is compared, written through or gone on with.
func BenchmarkFolderCopy(b *testing.B) {
	const size = 1 << 30
	box := newBox(b)
	box.start()
	key := box.run("key", "create", "bench")
	box.env = append(box.env, "PALISADE_HOST="+box.url, "PALISADE_KEY="+key)
	box.run("folder", "create", "data")
	// On the disk of the data directory, all of it.
	work := filepath.Dir(box.dir)
	source, back := filepath.Join(work, "source"), filepath.Join(work, "back")
	noise(b, source, size)
	plain := plainFiles(b, work)
	rate := func(total time.Duration, name string) float64 {
		r := float64(size) * float64(b.N) / total.Seconds() / (1 << 20)
		b.ReportMetric(r, name)
		return r
	}
	timed := func(total *time.Duration, do func()) {
		begin := time.Now()
		do()
		*total += time.Since(begin)
	}
	var up, down, plainUp, plainDown time.Duration
	for b.Loop() {
		timed(&plainUp, func() { plain.put(source) })
		timed(&up, func() { box.run("folder", "cp", source, "data:big") })
		timed(&plainDown, func() { plain.get(back) })
		_ = os.Remove(back)
		timed(&down, func() { box.run("folder", "cp", "data:big", back) })
		_ = os.Remove(back)
		box.run("folder", "rm", "data:big")
	}
	b.ReportMetric(rate(up, "up-MiB/s")/rate(plainUp, "plain-up-MiB/s"), "up-ratio")
	b.ReportMetric(rate(down, "down-MiB/s")/rate(plainDown, "plain-down-MiB/s"), "down-ratio")
}

// plainServer puts a file where it is sent, and sends it.
type plainServer struct {
	tb  testing.TB
	url string
}

func plainFiles(tb testing.TB, dir string) *plainServer {
	there := filepath.Join(dir, "plain")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.ServeFile(w, r, there)
			return
		}
		file, err := os.Create(there)
		if err == nil {
			_, err = io.Copy(file, r.Body)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	tb.Cleanup(func() { _ = server.Close() })
	return &plainServer{tb: tb, url: "http://" + listener.Addr().String()}
}

func (p *plainServer) put(path string) {
	file, err := os.Open(path)
	if err != nil {
		p.tb.Fatal(err)
	}
	info, _ := file.Stat()
	r, err := http.NewRequest(http.MethodPut, p.url, file)
	if err != nil {
		p.tb.Fatal(err)
	}
	r.ContentLength = info.Size()
	p.ask(r, io.Discard)
}

func (p *plainServer) get(path string) {
	file, err := os.Create(path)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer file.Close()
	r, err := http.NewRequest(http.MethodGet, p.url, nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.ask(r, file)
}

func (p *plainServer) ask(r *http.Request, to io.Writer) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(to, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		p.tb.Fatalf("%s: %v", resp.Status, err)
	}
}
