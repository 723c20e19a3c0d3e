package blobs

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSpansAreASet compares them with a list of what is here, byte by byte.
func TestSpansAreASet(t *testing.T) {
	const size = 40
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1)) // the same each time
		var s spans
		var here [size]bool
		for range 30 {
			start := r.Int64N(size)
			add := Span{start, start + r.Int64N(size-start+1)}
			apart := true
			for i := add.Start; i < add.End; i++ {
				apart = apart && !here[i]
			}
			next, is := s.with(add)
			if is != apart {
				t.Fatalf("seed %d: %v with %v: %v", seed, s, add, is)
			}
			if !is {
				continue
			}
			s = next
			for i := add.Start; i < add.End; i++ {
				here[i] = true
			}
			compare(t, s, here[:])
		}
	}
}

func compare(t *testing.T, s spans, here []bool) {
	t.Helper()
	got, n, frontier := make([]bool, len(here)), int64(0), int64(0)
	for _, span := range s {
		for i := span.Start; i < span.End; i++ {
			got[i] = true
		}
	}
	for _, span := range s.missing(int64(len(here))) {
		for i := span.Start; i < span.End; i++ {
			if got[i] {
				t.Fatalf("%v: %d is missing, and here", s, i)
			}
		}
		n += span.End - span.Start
	}
	for frontier < int64(len(here)) && here[frontier] {
		frontier++
	}
	for i := range here {
		if got[i] != here[i] {
			t.Fatalf("%v: byte %d", s, i)
		}
	}
	if !s.valid(int64(len(here))) || s.bytes()+n != int64(len(here)) || s.frontier() != frontier {
		t.Fatalf("%v: %d bytes, frontier %d", s, s.bytes(), s.frontier())
	}
}

// TestAJournalThatIsTorn cuts and garbles the last write of a journal at every byte: the one before it counts.
func TestAJournalThatIsTorn(t *testing.T) {
	name := filepath.Join(t.TempDir(), "j")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	j := &journal{file: file}
	for n := range int64(3) {
		if err := j.write(record{Size: 100, Here: spans{{0, n + 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.write(record{Size: 100, Here: spans{{0, 90}}, Hashed: 3, State: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range after {
		if at >= len(before) || after[at] == before[at] {
			continue
		}
		torn := append(append([]byte{}, after[:at]...), before[at:]...)
		if err := os.WriteFile(name, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, is, err := readJournal(name); err != nil || !is || r.Here[0].End != 3 {
			t.Fatalf("torn at %d: %+v, %v, %v", at, r, is, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, _ := record{Turn: 3, Boot: "b", Size: 100, Here: spans{{0, 5}, {7, 9}}, Hashed: 5, State: []byte("s")}.encode()
	f.Add(text)
	f.Fuzz(func(t *testing.T, page []byte) {
		r, is := decode(page)
		if is && (!r.Here.valid(r.Size) || r.Hashed > r.Here.frontier()) {
			t.Errorf("%+v", r)
		}
	})
}

// A key may be as long as the ETag of a server that means no good; what is here is noted all the same.
func TestAJournalOfALongKey(t *testing.T) {
	for _, key := range []string{strings.Repeat("&", 1<<16), strings.Repeat("\xff", 1<<16), strings.Repeat("ü", 1<<12)} {
		text, err := record{Key: key, Size: 100, Here: spans{{0, 5}, {7, 9}}}.encode()
		if err != nil {
			t.Fatal(err)
		}
		if r, is := decode(text); !is || len(r.Here) != 2 || len(text) > slot {
			t.Errorf("%d bytes, %v", len(text), r.Here)
		}
	}
	if _, err := (record{State: make([]byte, slot)}).encode(); err == nil {
		t.Error("a record that cannot fit does")
	}
}

func TestAJournalOfManySpansSaysLess(t *testing.T) {
	r := record{Size: -1}
	for i := range int64(5000) {
		r.Here = append(r.Here, Span{i * 1_000_000_000, i*1_000_000_000 + 5})
	}
	text, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, is := decode(text); !is || len(got.Here) == 0 || got.Here[0] != r.Here[0] {
		t.Errorf("%d spans, %v", len(got.Here), is)
	}
}

// TestAfterAPowerFailure loses what was written since the disk was last waited for.
func TestAfterAPowerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := Open(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Part(t.Context(), "k", 100)
		if err != nil {
			t.Fatal(err)
		}
		for i, wait := range []time.Duration{0, sureTime + time.Second, time.Second} {
			time.Sleep(wait)
			if _, err := p.WriteAt(make([]byte, 10), int64(i)*20); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if s, err = Open(dir, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.boot = "another one"
		if p, err = s.Part(t.Context(), "k", 100); err != nil {
			t.Fatal(err)
		}
		if p.Began() != 20 {
			t.Errorf("%d bytes count", p.Began())
		}
		_ = p.Close()
		s.boot = "a third one"
		if p, err = s.Part(t.Context(), "k", 100); err != nil || p.Began() != 20 {
			t.Errorf("%d bytes count, %v", p.Began(), err)
		}
		_ = p.Close()
	})
}
