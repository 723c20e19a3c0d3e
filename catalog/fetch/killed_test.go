package fetch_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
)

// fillEnv has the test's program fetch instead: it is the one that is killed.
const fillEnv = "PALISADE_TEST_FILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillEnv); dir != "" {
		if err := fill(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// onDisk is a Source of one file of the disk.
type onDisk struct{ name string }

func (o onDisk) List(_ context.Context, ref fetch.Ref) (fetch.Listing, error) {
	info, err := os.Stat(o.name)
	if err != nil {
		return fetch.Listing{}, err
	}
	return fetch.Listing{Ref: ref, Files: []fetch.File{{Name: "x", Bytes: info.Size(), ETag: `"1"`}}}, nil
}

func (o onDisk) Open(_ context.Context, _ fetch.Listing, _ fetch.File, offset, length int64) (io.ReadCloser, error) {
	file, err := os.Open(o.name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, offset, length), file}, nil
}

func fill(dir string) error {
	store, err := blobs.Open(filepath.Join(dir, "store"), slog.Default())
	if err != nil {
		return err
	}
	place := onDisk{filepath.Join(dir, "x")}
	in, err := place.List(context.Background(), fetch.Ref{Scheme: "mem", Where: "x"})
	if err != nil {
		return err
	}
	fmt.Println("begins")
	m, err := fetch.New(store, fetch.Options{Chunk: 1 << 20, Rate: 12 << 20}).Fetch(context.Background(), place, in, nil)
	if err != nil {
		return err
	}
	fmt.Println(m.Files[0].SHA256, m.Fetched, m.Reused)
	return store.Close()
}

// TestKilledAtAnyMoment kills a program that fetches, again and again. What was here stays, to the byte, and the file is right.
func TestKilledAtAnyMoment(t *testing.T) {
	dir, data := t.TempDir(), noise(12<<20)
	if err := os.WriteFile(filepath.Join(dir, "x"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	kills, here := 0, int64(0)
	for range 100 {
		said, ended := runAndKill(t, dir, time.Duration(rand.Int64N(int64(100*time.Millisecond))))
		if ended {
			var sum string
			var fetched, reused int64
			if _, err := fmt.Sscan(said, &sum, &fetched, &reused); err != nil || sum != sumOf(data) || reused < here || fetched+reused != int64(len(data)) {
				t.Fatalf("it ended with %q (%v) after %d bytes; it should be %s", said, err, here, sumOf(data))
			}
			break
		}
		kills++
		now := begun(t, dir)
		if now < here {
			t.Fatalf("after %d kills %d bytes are here, and there were %d", kills, now, here)
		}
		here = now
	}
	if kills < 3 || here == 0 {
		t.Errorf("it was killed %d times only, with %d bytes here", kills, here)
	}
}

// runAndKill runs the program for a while. ended says that it was done before.
func runAndKill(t *testing.T, dir string, after time.Duration) (said string, ended bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0]) // this very program
	child.Env = append(os.Environ(), fillEnv+"="+dir)
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

func begun(t *testing.T, dir string) int64 {
	t.Helper()
	store, err := blobs.Open(filepath.Join(dir, "store"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	place := onDisk{filepath.Join(dir, "x")}
	in, err := place.List(t.Context(), fetch.Ref{Scheme: "mem", Where: "x"})
	if err != nil {
		t.Fatal(err)
	}
	need, err := fetch.New(store, fetch.Options{}).Need(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return need.Here
}
