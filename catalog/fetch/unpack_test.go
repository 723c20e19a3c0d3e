package fetch_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// packed is an archive of entries, with gzip around it.
func packed(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, h := range entries {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = w.Write([]byte(h.Name))
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFilesThatHoldOthers(t *testing.T) {
	b := newBox(t, small)
	bring := func(archive []byte, globs ...string) (fetch.Manifest, int64, error) {
		p := placeOf(map[string][]byte{"layer": archive, "plain": []byte("p")})
		p.sums = true
		in, _ := p.List(t.Context(), fetch.Ref{Files: globs})
		in.Files[0].Unpack = "tar+gzip"
		m, err := b.Fetch(t.Context(), p, in, nil)
		return m, p.given, err
	}
	good := packed(t, tar.Header{Name: "./a"}, tar.Header{Name: "dir", Typeflag: tar.TypeDir}, tar.Header{Name: "dir/run", Mode: 0o755})
	for i := range 2 {
		m, given, err := bring(good)
		if err != nil || len(m.Files) != 3 || m.Files[0].Name != "a" || m.Files[1].Name != "dir/run" || !m.Files[1].Run || m.Files[2].Name != "plain" {
			t.Fatalf("%+v, %v", m.Files, err)
		}
		b.holds(t, m, map[string][]byte{"a": []byte("./a"), "dir/run": []byte("dir/run"), "plain": []byte("p")})
		if (given == 0) != (i == 1) {
			t.Errorf("time %d: %d bytes were fetched", i, given)
		}
	}
	if b.store.Has(sumOf(good)) {
		t.Error("the archive itself stays")
	}
	if m, _, err := bring(good, "dir/*"); err != nil || len(m.Files) != 1 {
		t.Errorf("of a glob: %+v, %v", m.Files, err)
	}
	for name, archive := range map[string][]byte{
		"a way out": packed(t, tar.Header{Name: "../x"}), "a whole path": packed(t, tar.Header{Name: "/x"}), "a link": packed(t, tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"a hard link": packed(t, tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "a"}), "a device": packed(t, tar.Header{Name: "x", Typeflag: tar.TypeChar}),
		"a file as directory": packed(t, tar.Header{Name: "x"}, tar.Header{Name: "x/y"}), "the name of another": packed(t, tar.Header{Name: "plain"}), "no archive": []byte("nothing"), "cut off": good[:len(good)-20],
	} {
		if m, _, err := bring(archive); !errors.Is(err, fetch.ErrRefused) {
			t.Errorf("%s: %+v, %v", name, m.Files, err)
		}
	}
	if _, _, err := bring(packed(t)); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("an empty one: %v", err)
	}
}

// TestHolesInFilesThatAreHeld has an archive of a few bytes with a file of gigabytes, all of it a hole.
func TestHolesInFilesThatAreHeld(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatGNU}), w.Close()); err != nil {
		t.Fatal(err)
	}
	header := archive.Bytes()[:512]
	header[156] = tar.TypeGNUSparse
	copy(header[483:495], "14000000000\x00") // its size in octal: 1.5 GiB, none of which is there
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	read := tar.NewReader(bytes.NewReader(archive.Bytes()))
	if h, err := read.Next(); err != nil || h.Size < 1<<30+1<<20 {
		t.Fatalf("%+v, %v", h, err)
	}
	b := newBox(t, small)
	p := placeOf(map[string][]byte{"layer": archive.Bytes()})
	p.sums = true
	in, _ := p.List(t.Context(), fetch.Ref{})
	in.Files[0].Unpack = "tar"
	if m, err := b.Fetch(t.Context(), p, in, nil); !errors.Is(err, fetch.ErrTooLong) {
		t.Errorf("%+v, %v", m, err)
	}
	if all, err := b.store.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("what is no good stays: %v, %v", all, err)
	}
}
