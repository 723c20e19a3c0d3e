package blobs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
)

func open(t *testing.T, dir string) *blobs.Store {
	t.Helper()
	s, err := blobs.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	out := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(out)
	return out
}

func read(t *testing.T, s *blobs.Store, sum string) []byte {
	t.Helper()
	file, err := s.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func part(t *testing.T, s *blobs.Store, key string, size int64) *blobs.Part {
	t.Helper()
	p, err := s.Part(t.Context(), key, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func write(t *testing.T, p *blobs.Part, data []byte, start, end int) {
	t.Helper()
	if _, err := p.WriteAt(data[start:end], int64(start)); err != nil {
		t.Fatal(err)
	}
}

func TestAPartIsFilledInAnyOrderAndGoneOnWith(t *testing.T) {
	dir, data := t.TempDir(), noise(300_000)
	s := open(t, dir)
	p := part(t, s, "k", int64(len(data)))
	write(t, p, data, 100_000, 200_000)
	write(t, p, data, 0, 50_000)
	if _, err := p.WriteAt(data[40_000:60_000], 40_000); err == nil {
		t.Error("what is here was written again")
	}
	if _, err := p.WriteAt(data[:2], int64(len(data))-1); err == nil {
		t.Error("more was written than the file has")
	}
	if _, err := p.Commit(t.Context(), ""); err == nil {
		t.Fatal("a file with gaps became whole")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.Begun("k"); n != 150_000 {
		t.Errorf("%d bytes are here", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	p = part(t, s, "k", int64(len(data)))
	if p.Began() != 150_000 || len(p.Missing()) != 2 || p.Missing()[0] != (blobs.Span{Start: 50_000, End: 100_000}) {
		t.Fatalf("%d bytes are here, and %v are missing", p.Began(), p.Missing())
	}
	for _, span := range p.Missing() {
		write(t, p, data, int(span.Start), int(span.End))
	}
	if _, err := p.Commit(t.Context(), sumOf([]byte("else"))); !errors.Is(err, blobs.ErrChecksum) {
		t.Fatalf("with another checksum: %v", err)
	}
	sum, err := p.Commit(t.Context(), sumOf(data))
	if err != nil || sum != sumOf(data) || !bytes.Equal(read(t, s, sum), data) {
		t.Fatalf("whole: %s, %v", sum, err)
	}
	if n, is := s.Size(sum); !is || n != int64(len(data)) {
		t.Errorf("it has %d bytes", n)
	}
	left, err := os.ReadDir(filepath.Join(dir, "parts"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAPartOfAnotherSizeBeginsAnew(t *testing.T) {
	s := open(t, t.TempDir())
	data := noise(1000)
	p := part(t, s, "k", 1000)
	write(t, p, data, 0, 500)
	_ = p.Close()
	if p = part(t, s, "k", 900); p.Began() != 0 || len(p.Missing()) != 1 {
		t.Errorf("%d bytes are here of a file of another size", p.Began())
	}
	write(t, p, data, 0, 900)
	if err := p.Reset(1000); err != nil || p.Here() != 0 {
		t.Fatalf("after a new beginning %d bytes are here: %v", p.Here(), err)
	}
	write(t, p, data, 0, 1000)
	if sum, err := p.Commit(t.Context(), ""); err != nil || sum != sumOf(data) {
		t.Errorf("%s, %v", sum, err)
	}
}

func TestNothingOfWhatWasForgottenIsLeft(t *testing.T) {
	s := open(t, t.TempDir())
	data, other := noise(2000), noise(3000)[2000:]
	for _, size := range []int64{1000, -1} {
		p := part(t, s, "k", 2000)
		write(t, p, data, 0, 2000)
		if err := p.Reset(size); err != nil {
			t.Fatal(err)
		}
		write(t, p, other, 600, 1000)
		write(t, p, other, 0, 600)
		if err := p.SetSize(1000); err != nil {
			t.Fatal(err)
		}
		sum, err := p.Commit(t.Context(), "")
		if err != nil || sum != sumOf(other) || !bytes.Equal(read(t, s, sum), other) {
			t.Fatalf("with %d bytes: %s, %v", size, sum, err)
		}
		if err := s.Drop(sum); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileOfUnknownSize(t *testing.T) {
	s := open(t, t.TempDir())
	p := part(t, s, "k", -1)
	write(t, p, []byte("abc"), 0, 3)
	if err := p.SetSize(2); err == nil {
		t.Error("a file of 2 bytes has 3")
	}
	if err := p.SetSize(3); err != nil {
		t.Fatal(err)
	}
	if sum, err := p.Commit(t.Context(), ""); err != nil || sum != sumOf([]byte("abc")) {
		t.Errorf("%s, %v", sum, err)
	}
	p = part(t, s, "empty", 0)
	if sum, err := p.Commit(t.Context(), ""); err != nil || sum != sumOf(nil) || !s.Has(sum) {
		t.Errorf("an empty one: %s, %v", sum, err)
	}
}

func TestOneWriterForAPart(t *testing.T) {
	s := open(t, t.TempDir())
	p := part(t, s, "k", 3)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("given up")
	cancel(why)
	if _, err := s.Part(ctx, "k", 3); !errors.Is(err, why) {
		t.Fatalf("a second one that is given up: %v", err)
	}
	var second sync.WaitGroup
	second.Go(func() {
		p, err := s.Part(t.Context(), "k", 3)
		if err != nil || !s.Has(sumOf([]byte("abc"))) {
			t.Errorf("the second one came before the first was done: %v", err)
			return
		}
		_ = p.Discard()
	})
	write(t, p, []byte("abc"), 0, 3)
	if n := s.Coming("k"); n != 3 {
		t.Errorf("%d bytes come", n)
	}
	if _, err := p.Commit(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	second.Wait()
}

func TestOneProgramForAStore(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := blobs.Open(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, blobs.ErrOpen) {
		t.Errorf("a second program: %v", err)
	}
}

func add(t *testing.T, s *blobs.Store, text string) string {
	t.Helper()
	sum, n, err := s.Add(t.Context(), strings.NewReader(text), "")
	if err != nil || n != int64(len(text)) {
		t.Fatalf("adding: %d, %v", n, err)
	}
	return sum
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	sum := add(t, s, "abc")
	if again := add(t, s, "abc"); again != sum {
		t.Error("the same twice")
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for range 2 { // the second time it is there
		if err := s.Link(sum, root, "a/b/x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Link(add(t, s, "else"), root, "y"); err != nil {
		t.Fatal(err)
	}
	if err := s.Link(sum, root, "y"); err != nil { // takes the place of another
		t.Fatal(err)
	}
	for _, name := range []string{"a/b/x", "y"} {
		if data, err := root.ReadFile(name); err != nil || string(data) != "abc" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	all, err := s.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Names+all[1].Names != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	if err := os.Symlink(dir, filepath.Join(folder, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../z", "out/z"} {
		if err := s.Link(sum, root, name); err == nil {
			t.Errorf("%s: a link out of the folder", name)
		}
	}
	if err := s.Link(sumOf([]byte("nothing")), root, "z"); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("what is not here: %v", err)
	}
	for _, odd := range []string{"", "..", "../../x", strings.Repeat("A", 64)} {
		if s.Has(odd) {
			t.Errorf("%q is here", odd)
		}
	}
}

func TestWhatIsDamagedIsNoLongerHere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	sum := add(t, s, "abcdef")
	told := int64(0)
	if err := s.Verify(t.Context(), sum, func(n int64) { told = n }); err != nil || told != 6 {
		t.Fatalf("%d, %v", told, err)
	}
	name := filepath.Join(dir, "sha256", sum[:2], sum)
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("abcdeF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), sum, nil); !errors.Is(err, blobs.ErrCorrupt) || s.Has(sum) {
		t.Errorf("damaged: %v", err)
	}
	if err := s.Verify(t.Context(), sum, nil); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
	if _, _, err := s.Add(t.Context(), strings.NewReader("x"), sum); !errors.Is(err, blobs.ErrChecksum) {
		t.Errorf("another file: %v", err)
	}
}

// TestAfterAnotherBoot changes what the files say of the boot that they came in, as a power failure does.
func TestAfterAnotherBoot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	whole, torn, data := add(t, s, "whole"), add(t, s, "torn"), noise(1000)
	p := part(t, s, "k", 1000)
	write(t, p, data, 0, 500)
	_ = p.Close()
	_ = s.Close()
	for _, sum := range []string{whole, torn} {
		if err := os.WriteFile(filepath.Join(dir, "unsettled", sum), []byte("another boot"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(dir, "sha256", torn[:2], torn)
	_ = os.Chmod(name, 0o600)
	if err := os.WriteFile(name, []byte{0, 0, 0, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	journals, err := filepath.Glob(filepath.Join(dir, "parts", "*.seen"))
	if err != nil || len(journals) != 1 {
		t.Fatal(journals, err)
	}
	text, err := os.ReadFile(journals[0])
	if err != nil {
		t.Fatal(err)
	}
	text[100]++ // of one slot, and of the other: neither is whole
	text[4196]++
	if err := os.WriteFile(journals[0], text, 0o600); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	if _, is, err := s.Sure(t.Context(), torn); is || err != nil {
		t.Errorf("a file that was torn is here: %v", err)
	}
	if _, is, err := s.Sure(t.Context(), whole); !is || err != nil {
		t.Errorf("a file that is whole is not here: %v", err)
	}
	if p = part(t, s, "k", 1000); p.Began() != 0 {
		t.Errorf("%d bytes count that may not be there", p.Began())
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	used, linked, spare, touched := add(t, s, "used"), add(t, s, "linked"), add(t, s, "spare"), add(t, s, "touched")
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := s.Link(linked, root, "x"); err != nil {
		t.Fatal(err)
	}
	s.Release(used, spare)
	if err := s.Note("place", blobs.Noted{Files: []blobs.NotedFile{{Name: "x", SHA256: spare, Bytes: 5}}}); err != nil {
		t.Fatal(err)
	}
	if n, is := s.Noted(t.Context(), "place"); !is || n.Files[0].SHA256 != spare {
		t.Errorf("noted: %+v", n)
	}
	s.Release(spare)
	busy, idle := part(t, s, "busy", 10), part(t, s, "idle", 10)
	write(t, busy, []byte("0123456789"), 0, 5)
	write(t, idle, []byte("0123456789"), 0, 5)
	_ = idle.Close()
	coming := sumOf([]byte("coming"))
	for _, sum := range []string{coming, sumOf([]byte("given up"))} {
		p := part(t, s, blobs.SumKey+sum, 10)
		write(t, p, []byte("0123456789"), 0, 5)
		_ = p.Close()
	}
	claims := func(sum string) bool { return sum == used || sum == coming }
	if freed, err := s.Sweep(t.Context(), claims, time.Now().Add(-time.Hour)); err != nil || freed != 0 {
		t.Errorf("what is new was swept: %d, %v", freed, err)
	}
	later := time.Now().Add(time.Hour)
	freed, err := s.Sweep(t.Context(), claims, later)
	if err != nil || freed < 5 {
		t.Errorf("freed %d, %v", freed, err)
	}
	for sum, want := range map[string]bool{used: true, linked: true, spare: false, touched: true} {
		if s.Has(sum) != want {
			t.Errorf("%.8s is here: %v", sum, !want)
		}
	}
	for key, want := range map[string]int64{"idle": 5, "busy": 5, blobs.SumKey + coming: 5, blobs.SumKey + sumOf([]byte("given up")): 0} {
		if n := s.Begun(key); n != want {
			t.Errorf("%.20s: %d bytes are here", key, n)
		}
	}
	if notes, err := os.ReadDir(filepath.Join(dir, "notes")); err != nil || len(notes) != 0 {
		t.Errorf("notes: %v, %v", notes, err)
	}
	_ = os.Remove(filepath.Join(root.Name(), "x"))
	if _, err := s.Sweep(t.Context(), claims, later); err != nil || s.Has(linked) {
		t.Errorf("a file of which the folder is gone is here: %v", err)
	}
}

func TestRoom(t *testing.T) {
	s := open(t, t.TempDir())
	free, err := s.Free()
	if err != nil || free <= 0 {
		t.Fatal(free, err)
	}
	if _, err := s.Reserve(free*2, 0); !errors.Is(err, blobs.ErrNoSpace) {
		t.Errorf("twice what there is: %v", err)
	}
	if _, err := s.Reserve(1000, free*2); !errors.Is(err, blobs.ErrNoSpace) {
		t.Errorf("with twice what there is kept free: %v", err)
	}
	r, err := s.Reserve(free/2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(free*3/4, 0); !errors.Is(err, blobs.ErrNoSpace) {
		t.Errorf("beside another: %v", err)
	}
	r.Came(free / 4)
	r.Release()
	r.Release()
	if r, err = s.Reserve(free*3/4, 0); err != nil {
		t.Errorf("after it: %v", err)
	} else {
		r.Release()
	}
}

// TestAFullDiskAtTheVeryEnd has no room for the word that a file is whole: what came must stay.
func TestAFullDiskAtTheVeryEnd(t *testing.T) {
	dir := t.TempDir()
	s, data := open(t, dir), noise(1000)
	p := part(t, s, "k", 1000)
	write(t, p, data, 0, 1000)
	if err := os.Remove(filepath.Join(dir, "unsettled")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), ""); err == nil {
		t.Fatal("it became whole")
	}
	if err := os.Mkdir(filepath.Join(dir, "unsettled"), 0o755); err != nil {
		t.Fatal(err)
	}
	p = part(t, s, "k", 1000)
	if p.Began() != 1000 {
		t.Errorf("%d of 1000 bytes are gone on with", p.Began())
	}
	if sum, err := p.Commit(t.Context(), sumOf(data)); err != nil || !bytes.Equal(read(t, s, sum), data) {
		t.Error(err)
	}
}

// TestSweepLeavesWhatIsAdded sweeps while a file is being added.
func TestSweepLeavesWhatIsAdded(t *testing.T) {
	s, data := open(t, t.TempDir()), noise(1000)
	from, to := io.Pipe()
	done := make(chan error)
	go func() {
		_, _, err := s.Add(t.Context(), from, sumOf(data))
		done <- err
	}()
	if _, err := to.Write(data[:500]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sweep(t.Context(), func(string) bool { return false }, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := to.Write(data[500:]); err != nil {
		t.Fatal(err)
	}
	_ = to.Close()
	if err := <-done; err != nil || !bytes.Equal(read(t, s, sumOf(data)), data) {
		t.Error(err)
	}
}

// TestRoomIsGivenOnce has many ask at once for more than half of the disk.
func TestRoomIsGivenOnce(t *testing.T) {
	s := open(t, t.TempDir())
	free, err := s.Free()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var given atomic.Int64
	for range 64 {
		group.Go(func() {
			if _, err := s.Reserve(free/3*2, 0); err == nil {
				given.Add(1)
			}
		})
	}
	group.Wait()
	if given.Load() != 1 {
		t.Errorf("%d got it", given.Load())
	}
}
