package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
)

func TestWantedComesAfterWhatItAddsTo(t *testing.T) {
	for asked, want := range map[string]string{
		"":                         "base code pytorch-cpu",
		"base":                     "base",
		"palisade/code":            "base code",
		"pytorch-cpu base":         "base pytorch-cpu",
		"code palisade/base code ": "base code",
	} {
		got, err := wanted(strings.Fields(asked))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v %v, want %s", asked, got, err, want)
		}
	}
	_, err := wanted([]string{"pytroch"})
	if h, ok := errors.AsType[*hintError](err); !ok || !strings.Contains(h.hint, "pytorch-cpu") {
		t.Errorf("%v", err)
	}
}

// lay lays an archive into a cache as if it had been built.
func lay(t *testing.T, dir, name, body string) {
	t.Helper()
	chain, err := sessionimages.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyOf(chain)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(dir, "part")
	if err := os.WriteFile(part, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &builder{dir: dir}
	size, err := b.keep(part, name, made{Key: key, Digest: "sha256:0", At: time.Now()})
	if err != nil || size != int64(len(body)) {
		t.Fatal(size, err)
	}
}

// TestWhatIsThereIsNotBuiltAgain: what counts is a whole archive of the definition of today.
func TestWhatIsThereIsNotBuiltAgain(t *testing.T) {
	dir := t.TempDir()
	find := func() (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), []string{"-cache", dir, "-find", "palisade/base"}, &out, &bytes.Buffer{})
		return out.String(), err
	}
	want := filepath.Join(dir, "base.oci.tar") + "\n"
	refused := func(why string) {
		t.Helper()
		got, err := find()
		if h, ok := errors.AsType[*hintError](err); !ok || got != "" || !strings.Contains(h.hint, "make images") {
			t.Errorf("%s: %q %v", why, got, err)
		}
	}
	refused("there is nothing")
	lay(t, dir, "base", "an archive")
	if got, err := find(); err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-cache", dir, "base"}, &out, &out); err != nil || out.String() != want {
		t.Errorf("it is built again: %v\n%s", err, &out)
	}
	if err := os.WriteFile(filepath.Join(dir, "base.oci.tar"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a half")
	lay(t, dir, "base", "an archive")
	note := filepath.Join(dir, "base.json")
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	var m made
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	m.Key = "of last year"
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(note, text, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("an older definition")
	out.Reset()
	if err := run(t.Context(), []string{"-cache", dir, "-list"}, &out, &bytes.Buffer{}); err != nil ||
		!strings.Contains(out.String(), "its definition has changed") || strings.Count(out.String(), "not built") != 2 {
		t.Errorf("%v\n%s", err, &out)
	}
}

// TestTwoBuildersOfOneImage: the later one waits for the first, and gives up when it is told to.
func TestTwoBuildersOfOneImage(t *testing.T) {
	b := &builder{dir: t.TempDir(), errs: &lines{to: &bytes.Buffer{}}}
	release, err := b.lock(t.Context(), "base")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := b.lock(ctx, "base"); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	release()
	release, err = b.lock(ctx, "base")
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestAWordOfAShell(t *testing.T) {
	for text, want := range map[string]string{"a b": "'a b'", "it's": `'it'\''s'`, "": "''"} {
		if diff := cmp.Diff(want, quoted(text)); diff != "" {
			t.Error(diff)
		}
	}
}
