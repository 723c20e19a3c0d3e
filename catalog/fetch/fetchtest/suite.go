// Package fetchtest is what every kind of place must keep to. It knows none of them.
package fetchtest

import (
	"bytes"
	"context"
	"crypto/sha1" // git calls files by it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Place is a place with some files, and what a test can do to it. A function that is nil is of what such a place cannot do: what
// it is for is not tested there.
type Place struct {
	Source  fetch.Source
	Ref     fetch.Ref
	Missing fetch.Ref // where nothing is

	// Change puts other bytes under a file's name, as its owner would.
	Change func(name string, data []byte)
	// Deny has the place ask for credentials that Source does not have.
	Deny func()
	// Cut has the place end its next answer with bytes of a file after so many of them.
	Cut func(bytes int)
}

// Files are what Start must put there: under these names, with these bytes.
func Files() map[string][]byte {
	large := make([]byte, 3<<20+17)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(large)
	return map[string][]byte{
		"config.json": []byte(`{"hidden_size": 64}`), "weights.gguf": large, "empty.txt": {}, "sub/dir/tokenizer.model": large[:70_000], "a name with spaces & ünïcode+100%.txt": []byte("x"),
	}
}

// Start makes a place with files. What is under a name and is one file alone may have any name of one.
type Start func(t *testing.T, files map[string][]byte) Place

// Run runs the suite on a kind of place.
func Run(t *testing.T, start Start) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Start){
		"listing": listing, "reading": reading, "at once": atOnce, "missing": missing, "denied": denied, "changed": changed, "cut off": cutOff, "given up": givenUp,
	} {
		t.Run(name, func(t *testing.T) { test(t, start) })
	}
}

// RunOne runs the suite on a kind of place that has one file: names says which of Files.
func RunOne(t *testing.T, name string, start Start) {
	t.Helper()
	one := map[string][]byte{name: Files()[name]}
	Run(t, func(t *testing.T, files map[string][]byte) Place {
		t.Helper()
		for other := range files {
			if _, is := one[other]; !is {
				delete(files, other)
			}
		}
		return start(t, files)
	})
}

func list(t *testing.T, p Place) fetch.Listing {
	t.Helper()
	in, err := p.Source.List(t.Context(), p.Ref)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func open(t *testing.T, p Place, in fetch.Listing, f fetch.File, part [2]int64) ([]byte, error) {
	t.Helper()
	body, err := p.Source.Open(t.Context(), in, f, part[0], part[1])
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(body)
	return data, errors.Join(err, body.Close())
}

func listing(t *testing.T, start Start) {
	files := Files()
	p := start(t, files)
	in := list(t, p)
	if in.Ref.String() != p.Ref.String() || len(in.Files) != len(files) {
		t.Errorf("%s has %d files, and should have %d: %+v", in.Ref, len(in.Files), len(files), in.Files)
	}
	if !slices.IsSortedFunc(in.Files, func(a, b fetch.File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) }) {
		t.Error("the files are not by name")
	}
	for _, f := range in.Files {
		data, is := files[f.Name]
		sum := sha256.Sum256(data)
		switch {
		case !is || !fs.ValidPath(f.Name):
			t.Errorf("%q was not put there", f.Name)
		case f.Bytes != int64(len(data)) && f.Bytes != -1:
			t.Errorf("%s has %d bytes, and should have %d", f.Name, f.Bytes, len(data))
		case f.SHA256 != "" && f.SHA256 != hex.EncodeToString(sum[:]):
			t.Errorf("%s has another checksum: %s", f.Name, f.SHA256)
		case f.Git != "" && f.Git != git(data):
			t.Errorf("%s has another name of git: %s", f.Name, f.Git)
		}
	}
	if again := list(t, p); again.Revision != in.Revision || fmt.Sprint(again.Files) != fmt.Sprint(in.Files) {
		t.Errorf("listed again, it is another: %+v, and was %+v", again, in)
	}
}

func git(data []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(data))
	_, _ = h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func reading(t *testing.T, start Start) {
	files := Files()
	p := start(t, files)
	in := list(t, p)
	for _, f := range in.Files {
		data, n := files[f.Name], int64(len(files[f.Name]))
		for _, part := range [][2]int64{{0, -1}, {0, n}, {0, n / 2}, {n / 3, n / 3}, {n / 2, -1}, {n - 1, 1}, {n / 3, 0}} {
			offset, length := part[0], part[1]
			if offset < 0 || length == 0 && n > 0 {
				continue
			}
			want := data[offset:]
			if length >= 0 {
				want = want[:length]
			}
			got, err := open(t, p, in, f, part)
			if errors.Is(err, fetch.ErrNoRange) && offset > 0 {
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes from %d on: %d bytes, %v", f.Name, length, offset, len(got), err)
			}
		}
	}
}

func atOnce(t *testing.T, start Start) {
	files := Files()
	p := start(t, files)
	in := list(t, p)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			f := in.Files[i%len(in.Files)]
			if got, err := open(t, p, in, f, [2]int64{0, -1}); err != nil || !bytes.Equal(got, files[f.Name]) {
				t.Errorf("%s: %d bytes, %v", f.Name, len(got), err)
			}
			if _, err := p.Source.List(t.Context(), p.Ref); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// hinted checks an error's kind, and that it says something to its reader.
func hinted(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, want %v", what, err, kind)
	} else if err.Error() == kind.Error() {
		t.Errorf("%s: it says no more than %q", what, err)
	}
}

func missing(t *testing.T, start Start) {
	p := start(t, Files())
	_, err := p.Source.List(t.Context(), p.Missing)
	hinted(t, "where nothing is", err, fetch.ErrNotFound)
}

func denied(t *testing.T, start Start) {
	p := start(t, Files())
	if p.Deny == nil {
		return
	}
	in := list(t, p)
	p.Deny()
	_, err := p.Source.List(t.Context(), p.Ref)
	hinted(t, "listing", err, fetch.ErrDenied)
	_, err = open(t, p, in, biggest(in), [2]int64{0, -1})
	hinted(t, "reading", err, fetch.ErrDenied)
}

func biggest(in fetch.Listing) fetch.File {
	return slices.MaxFunc(in.Files, func(a, b fetch.File) int { return int(a.Bytes - b.Bytes) })
}

// changed wants that what was listed is never taken for what is there now. Where a place keeps what was listed, it gives that.
func changed(t *testing.T, start Start) {
	files := Files()
	p := start(t, files)
	if p.Change == nil {
		return
	}
	in := list(t, p)
	f := biggest(in)
	old := files[f.Name]
	other := bytes.Clone(old)
	other[len(other)/2]++
	for name, data := range map[string][]byte{"of the same size": other, "longer": append(bytes.Clone(other), "more"...), "shorter": other[:len(other)/2]} {
		p.Change(f.Name, data)
		for _, offset := range []int64{0, f.Bytes / 4} {
			got, err := open(t, p, in, f, [2]int64{offset, f.Bytes - offset})
			switch {
			case err == nil && bytes.Equal(got, old[offset:]):
			case f.SHA256 != "" || f.Git != "": // what is checked afterwards may come as it is
			case errors.Is(err, fetch.ErrChanged) || offset > 0 && errors.Is(err, fetch.ErrNoRange):
			default:
				t.Errorf("%s, from %d on: %d bytes, %v", name, offset, len(got), err)
			}
		}
	}
}

// cutOff wants that what came before is good, and that the end is not taken for that of the file.
func cutOff(t *testing.T, start Start) {
	files := Files()
	p := start(t, files)
	if p.Cut == nil {
		return
	}
	in := list(t, p)
	f := biggest(in)
	data := files[f.Name]
	p.Cut(100_000)
	got, err := open(t, p, in, f, [2]int64{0, f.Bytes})
	if err == nil && len(got) == len(data) || !bytes.Equal(got, data[:len(got)]) {
		t.Errorf("cut off: %d bytes, %v", len(got), err)
	}
	for _, kind := range []error{fetch.ErrNotFound, fetch.ErrDenied, fetch.ErrChanged, fetch.ErrChecksum, fetch.ErrTooLong, fetch.ErrRefused} {
		if errors.Is(err, kind) {
			t.Errorf("what was cut off is not tried again: %v", err)
		}
	}
	if got, err := open(t, p, in, f, [2]int64{0, f.Bytes}); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after it: %d bytes, %v", len(got), err)
	}
}

func givenUp(t *testing.T, start Start) {
	p := start(t, Files())
	in := list(t, p)
	f := biggest(in)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	body, err := p.Source.Open(ctx, in, f, 0, f.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	cancel(errors.New("given up"))
	if _, err := p.Source.List(ctx, p.Missing); err == nil {
		t.Error("a place was listed for who had given up")
	}
}
