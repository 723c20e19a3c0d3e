package made_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/made"
)

func TestMadeFiles(t *testing.T) {
	text := []byte("the same bytes everywhere")
	source := made.New(made.Makers{
		"a.txt":   func() (io.WriterTo, error) { return bytes.NewReader(text), nil },
		"bad.txt": func() (io.WriterTo, error) { return nil, io.ErrNoProgress },
	})
	ref, err := fetch.ParseRef("made:a.txt")
	if err != nil {
		t.Fatal(err)
	}
	in, err := source.List(t.Context(), ref)
	sum := sha256.Sum256(text)
	if err != nil || len(in.Files) != 1 || in.Files[0].SHA256 != hex.EncodeToString(sum[:]) || in.Files[0].Bytes != int64(len(text)) {
		t.Fatalf("%+v, %v", in, err)
	}
	for _, part := range [][2]int64{{0, -1}, {4, -1}, {4, 4}, {20, 100}, {25, -1}, {99, -1}} {
		body, err := source.Open(t.Context(), in, in.Files[0], part[0], part[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		want := text[min(part[0], 25):]
		if part[1] >= 0 {
			want = want[:min(part[1], int64(len(want)))]
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %q, %v", part, got, err)
		}
	}
	in.Files[0].Bytes++
	if _, err := source.Open(t.Context(), in, in.Files[0], 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another size: %v", err)
	}
	_, err = source.List(t.Context(), fetch.Ref{Scheme: "made", Where: "x"})
	if hinted, is := errors.AsType[interface {
		error
		Hint() string
	}](err); !errors.Is(err, fetch.ErrNotFound) || !is || hinted.Hint() != "it makes a.txt, bad.txt" {
		t.Errorf("unknown: %v", err)
	}
	if _, err = source.List(t.Context(), fetch.Ref{Scheme: "made", Where: "bad.txt"}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("one that cannot be made: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.List(ended, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
