package goods_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/folders"
)

// bringEnv has the test's program bring a folder instead: it is the one that is killed. DIR, ADDRESS.
const bringEnv = "PALISADE_TEST_BRING"

func TestMain(m *testing.M) {
	if what := os.Getenv(bringEnv); what != "" {
		dir, address, _ := strings.Cut(what, ",")
		if err := bring(dir, address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func bring(dir, address string) error {
	node, err := trust.Open(filepath.Join(dir, "trust"), time.Now)
	if err != nil {
		return err
	}
	store, err := blobs.Open(filepath.Join(dir, "blobs"), slog.Default())
	if err != nil {
		return err
	}
	g, err := goods.New(goods.Deps{
		Self: "b", Dir: filepath.Join(dir, "goods"), Blobs: store, Rate: 12 << 20, Boxes: func() []goods.Box { return []goods.Box{{Name: "a"}} },
		Folders: func(context.Context, string) (folders.Folder, error) { return folders.Folder{}, folders.ErrNotFound },
		Transport: func(name string) http.RoundTripper {
			return &http.Transport{TLSClientConfig: node.DoorClient(name), ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, address)
			}}
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("begins")
	at, err := g.Folder(context.Background(), goods.Want{ID: "fld-1", Name: "model", Home: "a", Sealed: true}, nil)
	if err == nil {
		fmt.Println(at)
	}
	return err
}

// A box that is killed again and again goes on where it was, to the byte, and has the right thing in the end.
func TestKilledAtAnyMoment(t *testing.T) {
	w := newWorld(t, "a", "b")
	size := int64(8 << 20)
	files := map[string][]byte{"w": noise(int(size), 8), "config.json": []byte("{}")}
	w.make("a", "fld-1", true, files)
	a, b := w.boxes["a"], w.boxes["b"]
	var asked atomic.Int64 // bytes of w
	spy := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var first, last int64
			if r.FormValue("name") == "w" {
				if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
					t.Errorf("it asks for %q: %v", r.Header.Get("Range"), err)
				}
				asked.Add(last + 1 - first)
			}
			h.ServeHTTP(rw, r)
		})
	}
	a.spoil.Store(&spy)
	kills, here := 0, int64(0)
	for range 200 {
		if err := b.blobs.Close(); err != nil { // the program that is killed has it meanwhile
			t.Fatal(err)
		}
		asked.Store(0)
		at, ended := runAndKill(t, b.dir, a.at, time.Duration(rand.Int64N(int64(150*time.Millisecond))))
		if n := asked.Load(); n > size-here {
			t.Fatalf("after %d kills %d bytes were asked for, and %d were here", kills, n, here)
		}
		b.blobs = nil
		b.open(0, 0)
		if ended {
			holds(t, at, files)
			break
		}
		if kills++; b.blobs.Has(sumOf(files["w"])) {
			here = size
			continue
		}
		now := b.blobs.Begun(blobs.SumKey + sumOf(files["w"]))
		if now < here {
			t.Fatalf("after %d kills %d bytes are here, and there were %d", kills, now, here)
		}
		here = now
	}
	if kills < 3 {
		t.Errorf("it was killed %d times only", kills)
	}
}

// runAndKill runs the program for a while. ended says that it was done before.
func runAndKill(t *testing.T, dir, address string, after time.Duration) (said string, ended bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0]) // this very program
	child.Env = append(os.Environ(), bringEnv+"="+dir+","+address)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // begins
	timer := time.AfterFunc(after, func() { _ = child.Process.Kill() })
	defer timer.Stop()
	if lines.Scan() {
		said = lines.Text()
	}
	err = child.Wait()
	if exit, is := errors.AsType[*exec.ExitError](err); is && exit.ExitCode() >= 0 {
		t.Fatalf("the program failed: %v", err)
	}
	return said, err == nil
}
