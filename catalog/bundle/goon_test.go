package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// rest is what of a bundle is sent where the first n bytes of its files are left out.
func rest(t *testing.T, raw []byte, n int64) []byte {
	t.Helper()
	head, err := ReadHead(t.Context(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, size, err := Without(&out, head, n)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(raw); at += 97 { // in pieces that keep to no bounds
		if _, err := w.Write(raw[at:min(len(raw), at+97)]); err != nil {
			t.Fatal(err)
		}
	}
	if int64(out.Len()) != size || size != int64(len(raw))-n {
		t.Fatalf("%d bytes are left of %d without %d, and %d were announced", out.Len(), len(raw), n, size)
	}
	return out.Bytes()
}

// came is how many bytes of its files the first at bytes of a bundle have.
func came(t *testing.T, raw []byte, at int) (n int64) {
	t.Helper()
	head, err := ReadHead(t.Context(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	begin := start(head.raw, head.Signature)
	files := map[string]bool{}
	for _, e := range head.weights() {
		files[e.SHA256] = true
	}
	for _, e := range head.Entries {
		begin += block
		if files[e.SHA256] {
			n += max(0, min(e.Bytes, int64(at)-begin))
		}
		begin += padded(e.Bytes)
	}
	return n
}

func (b box) whole(t *testing.T, files map[string]string) {
	t.Helper()
	if len(b.List()) != 1 || len(b.images.imported) != 1 {
		t.Fatalf("%d on the shelf, %d images", len(b.List()), len(b.images.imported))
	}
	for name, text := range files {
		f, err := b.blobs.Open(sumOf([]byte(text)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil || string(got) != text {
			t.Errorf("%s has %d bytes, %v", name, len(got), err)
		}
	}
}

// TestABundleGoesOn cuts bundles off, and brings what is missing, to the byte: also when the appliance was begun anew meanwhile, and
// files that nobody uses were swept.
func TestABundleGoesOn(t *testing.T) {
	files := map[string]string{"a.gguf": strings.Repeat("weights", 300), "b.gguf": strings.Repeat("others", 200), "empty": "", "c.json": "{}"}
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(files))
	for at := 300; at < len(raw); at += 1511 {
		b := newBox(t)
		if _, err := b.Receive(t.Context(), bytes.NewReader(raw[:at]), true, nil); err == nil {
			t.Fatalf("cut off after %d: it was taken", at)
		}
		if at%2 == 0 { // the next daemon
			if err := b.blobs.Close(); err != nil {
				t.Fatal(err)
			}
			store, err := blobs.Open(filepath.Join(filepath.Dir(b.dir), "blobs"), testLog(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			b.blobs = store
			b.Shelf = b.open(t)
		} else if _, err := b.blobs.Sweep(t.Context(), b.Uses, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		checked, err := b.Check(t.Context(), bytes.NewReader(raw), true)
		if err != nil {
			t.Fatal(err)
		}
		if want := came(t, raw, at); checked.Here != want {
			t.Errorf("cut off after %d: %d bytes are here, not %d", at, checked.Here, want)
		}
		again := rest(t, raw, checked.Here)
		if _, err := b.GoOn(t.Context(), bytes.NewReader(again[:len(again)/2]), checked.Here, true); err == nil {
			t.Fatalf("cut off after %d and again: it was taken", at)
		}
		second, err := b.Check(t.Context(), bytes.NewReader(raw), true)
		if err != nil || second.Here < checked.Here {
			t.Fatalf("cut off after %d and again: %d bytes are here, and were %d, %v", at, second.Here, checked.Here, err)
		}
		if _, err := b.GoOn(t.Context(), bytes.NewReader(rest(t, raw, second.Here)), second.Here, true); err != nil {
			t.Fatalf("cut off after %d: %v", at, err)
		}
		b.whole(t, files)
	}
}

// TestWhatCameBeforeIsNotBelieved: neither what somebody altered on its way, nor what is said to be here and is not.
func TestWhatCameBeforeIsNotBelieved(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	at := bytes.Index(raw, []byte(strings.Repeat("weights", 2)))
	altered := bytes.Clone(raw)
	altered[at+3] ^= 1
	b := newBox(t)
	spoil := func() int64 {
		t.Helper()
		if _, err := b.Receive(t.Context(), bytes.NewReader(altered[:at+1000]), true, nil); err == nil {
			t.Fatal("it was taken")
		}
		checked, err := b.Check(t.Context(), bytes.NewReader(raw), true)
		if err != nil || checked.Here < 1000 {
			t.Fatalf("%d bytes are here, %v", checked.Here, err)
		}
		return checked.Here
	}
	here := spoil()
	if _, err := b.GoOn(t.Context(), bytes.NewReader(rest(t, raw, here)), here, true); !errors.Is(err, ErrGone) || len(b.List()) != 0 {
		t.Errorf("%v, %d on the shelf", err, len(b.List()))
	}
	if checked, err := b.Check(t.Context(), bytes.NewReader(raw), true); err != nil || checked.Here > here-1000 {
		t.Errorf("%d bytes are still here, %v", checked.Here, err)
	}
	spoil()
	for name, n := range map[string]int64{"more than is here": here + 100, "more than there is": 1 << 40, "less than nothing": -1} {
		want := ErrRefused
		if n == here+100 {
			want = ErrGone
		}
		if _, err := b.GoOn(t.Context(), bytes.NewReader(raw), n, true); !errors.Is(err, want) || len(b.List()) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Receive(t.Context(), bytes.NewReader(raw), true, nil); err != nil { // all of it comes
		t.Fatal(err)
	}
	b.whole(t, tinyFiles)
}

// TestEveryByteOfTheRestCounts: what goes on is refused as what begins is.
func TestEveryByteOfTheRestCounts(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}, image: engineImage(t)}.spec(tinyFiles))
	at := bytes.Index(raw, []byte(strings.Repeat("weights", 2))) + 1000
	for flip := 200; flip < len(raw)-1000; flip += 1201 {
		b := newBox(t)
		if _, err := b.Receive(t.Context(), bytes.NewReader(raw[:at]), true, nil); err == nil {
			t.Fatal("it was taken")
		}
		checked, err := b.Check(t.Context(), bytes.NewReader(raw), true)
		if err != nil {
			t.Fatal(err)
		}
		again := rest(t, raw, checked.Here)
		if flip >= len(again) {
			break
		}
		again[flip] ^= 1
		if _, err := b.GoOn(t.Context(), bytes.NewReader(again), checked.Here, true); err == nil || len(b.List()) != 0 || len(b.images.imported) != 0 {
			t.Errorf("byte %d: %v, %d on the shelf", flip, err, len(b.List()))
		}
		if _, err := b.Receive(t.Context(), bytes.NewReader(raw), true, nil); err != nil {
			t.Fatalf("byte %d, and then whole: %v", flip, err)
		}
		b.whole(t, tinyFiles)
	}
}

// TestTwoBringOneBundle at once: who comes second waits for what the first one brings, and takes it over where that one is cut off.
func TestTwoBringOneBundle(t *testing.T) {
	raw := made(t, tiny{files: map[string][]byte{}}.spec(tinyFiles))
	at := bytes.Index(raw, []byte(strings.Repeat("weights", 2))) + 1000
	b := newBox(t)
	from, to := io.Pipe()
	var first, second error
	var both sync.WaitGroup
	begun := make(chan struct{})
	both.Go(func() {
		_, first = b.Receive(t.Context(), io.MultiReader(bytes.NewReader(raw[:at]), then(func() { close(begun) }), from), true, nil)
	})
	<-begun
	both.Go(func() { _, second = b.Receive(t.Context(), bytes.NewReader(raw), true, nil) })
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.Receive(impatient, bytes.NewReader(raw), true, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who gives up waiting: %v", err)
	}
	_ = to.CloseWithError(io.ErrUnexpectedEOF)
	both.Wait()
	if first == nil || second != nil || len(b.List()) != 1 {
		t.Errorf("%v, %v", first, second)
	}
}
