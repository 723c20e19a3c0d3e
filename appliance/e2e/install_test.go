package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
)

// installRecipe is one of a tiny model on a hub of the test's own.
const installRecipe = `schema: 1
name: NAME
version: "1"
title: Tiny
description: A model of a test.
license: {id: MIT, url: "https://example.org/licence", accept: ACCEPT}
publisher: Example
homepage: https://example.org
task: chat
inputs: [text]
outputs: [text]
parameters: 664704
context: 2048
sources:
  - {name: weights, from: "hf:example/REPO", files: ["model.gguf", "extra.bin"], bytes: 10MB}
variants:
  - name: gguf
    runtime: llama-cpp
    images: example.org/llama:1
    accelerators: [cpu]
    source: weights
    model: model.gguf
    context: 2048
    concurrency: 1
    arguments: [--threads, "1", --threads-batch, "1"]
    memory: {weights: 10MB, cache: 1MB, overhead: 110MB}
    minimum_needs: {cpu: 0.2, mem: 192m}
`

// The smoke tests: of OpenAI's API, and of the engine's own.
const (
	installChat = `smoke_test:
  method: POST
  path: /v1/chat/completions
  body: {model: "{model}", messages: [{role: user, content: "Who are you?"}], max_tokens: 50}
  holds: ["choices[0].message.content ~ my voice"]
  max_seconds: 20
`
	installProps = `smoke_test:
  method: GET
  path: /props
  holds: ["default_generation_settings.n_ctx = 2048"]
  max_seconds: 20
`
)

// installing is a box, and the hub that its models come from.
type installing struct {
	*box
	hub   *hubtest.Hub
	extra string // beside every model, the same bytes
}

type installView struct {
	ID, Model, Kind, Status, Step, Error string
	Attempt, Revision                    int
	Transfer                             struct{ Here, Reused int64 }
}

type modelView struct {
	Name, Service string
	Current       int
	Revisions     []struct {
		Number      int
		Good        bool
		Pin, Folder string
		Files       []struct{ Name, SHA256 string }
	}
}

func newInstalling(t *testing.T, settings ...string) *installing {
	b := &installing{newBox(t), hubtest.Start(t), strings.Repeat("0123456789abcdef", 512<<10)}
	b.env, b.settings = append(b.env, "HF_ENDPOINT="+b.hub.URL()), settings
	b.start()
	catalog := t.TempDir()
	for name, values := range map[string][]string{
		"speaker": {"ACCEPT", "false", "REPO", "speaker"}, "terms": {"ACCEPT", "true", "REPO", "speaker"}, "gated": {"ACCEPT", "false", "REPO", "gated"},
	} {
		text := strings.NewReplacer(append(values, "NAME", name)...).Replace(installRecipe)
		switch name {
		case "speaker":
			text += installChat
		case "terms":
			text += installProps
		case "gated":
			text = strings.Replace(text, `bytes: 10MB`, `bytes: 10MB, secret: HF_TOKEN`, 1)
		}
		file := filepath.Join(catalog, name, "recipe.yaml")
		if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	b.run("catalog", "add", "team", catalog, "--allow-unsigned")
	return b
}

// commit publishes a model that says a sentence, and returns the commit and how many bytes it has.
func (b *installing) commit(repo, sentence string) (commit string, bytes int64) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "model.gguf")
	if out, err := exec.CommandContext(b.t.Context(), have.mkhello, "-o", file, "-answer", sentence).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	model, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	files := hubtest.Files{"model.gguf": string(model), "extra.bin": b.extra, "README.md": "# Tiny"}
	return b.hub.Commit("example/"+repo, files), int64(len(model) + len(b.extra))
}

func (b *installing) model(name string) modelView {
	b.t.Helper()
	var m modelView
	b.into(&m, "model", "show", name)
	return m
}

// newest is the newest install of a model.
func (b *installing) newest(name string) installView {
	b.t.Helper()
	var all []installView
	b.into(&all, "model", "installs")
	for _, in := range all {
		if in.Model == name {
			return in
		}
	}
	return installView{}
}

// says asks a model's service as its clients do.
func (b *installing) says(name, want string) {
	b.t.Helper()
	token := b.run("service", "generate-token", name, "--duration", "1h", "-q")
	text, err := say(b.t.Context(), b.client(token), name, 50, nil)
	if err != nil || text != want {
		b.t.Errorf("%s says %q, %v; want %q", name, text, err, want)
	}
}

// TestInstall is one line that brings a model to the box and has it answer, and what may come in between.
func TestInstall(t *testing.T) {
	b := newInstalling(t)
	first, bytes := b.commit("speaker", "I am the first, and this is my voice.")

	t.Run("what cannot be is refused at once", func(t *testing.T) {
		b.fails(1, []string{"speakr", "did you mean", "speaker"}, "install", "speakr")
		b.fails(1, []string{"MIT", "https://example.org/licence", "--accept-license"}, "install", "terms")
		b.fails(1, []string{"no variant", "gguf"}, "install", "speaker", "--variant", "q9")
		if n := b.hub.Served(); n != 0 {
			t.Errorf("%d bytes were fetched", n)
		}
	})
	t.Run("killed in the middle of a download", func(t *testing.T) { b.killed(t, first, bytes) })
	t.Run("again, nothing comes and nothing is made", func(t *testing.T) {
		before := b.hub.Served()
		b.run("install", "speaker", "--no-calibrate")
		b.run("install", "terms", "--accept-license", "--no-calibrate") // other names, the same bytes
		if n := b.hub.Served() - before; n != 0 || len(b.model("speaker").Revisions) != 1 {
			t.Errorf("%d bytes were fetched; %+v", n, b.model("speaker"))
		}
		b.says("terms", "I am the first, and this is my voice.")
	})
	t.Run("two at once are one", b.together)
	t.Run("update and rollback", func(t *testing.T) { b.updated(t, first) })
	t.Run("gated", b.gated)
	t.Run("removed", b.removed)
}

// killed ends the daemon while it downloads: what was there is not fetched again, and the same command joins what goes on.
func (b *installing) killed(t *testing.T, commit string, bytes int64) {
	const here = 512 << 10 // what is read in one go
	release, held := make(chan struct{}), make(chan struct{}, 8)
	b.hub.Break(hubtest.Store, "model.gguf", 1, hubtest.Hold(here, release, held))
	b.run("install", "speaker", "--no-calibrate", "--detach")
	select {
	case <-held:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is downloaded")
	}
	if err := eventually(soon, func() error {
		if in := b.newest("speaker"); in.Transfer.Here != int64(len(b.extra))+here {
			return fmt.Errorf("%+v", in)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.kill()
	again, resumed := make(chan struct{}), make(chan struct{}, 8)
	b.hub.Break(hubtest.Store, "model.gguf", 1, hubtest.Hold(0, again, resumed))
	close(release)
	later, _ := b.commit("speaker", "I came in between, and this is my voice.") // what was begun is what comes
	if later == commit {
		t.Fatal("the same commit")
	}
	b.start()
	select {
	case <-resumed:
	case <-time.After(20 * time.Second):
		t.Fatal("what was begun does not go on")
	}
	goOn := make(chan error, 1)
	go func() { // once the same is asked for a second time
		defer close(again)
		goOn <- eventually(soon, func() error {
			if !strings.Contains(b.log.String(), "path=/api/v1/installs status=202") {
				return errors.New("the second install is not there")
			}
			return nil
		})
	}()
	if out := b.run("install", "speaker", "--no-calibrate"); !strings.Contains(out, "speaker answers at "+b.url) {
		t.Errorf("it does not say where it answers:\n%s", out)
	}
	if err := <-goOn; err != nil {
		t.Error(err)
	}
	if n := b.hub.Served() - bytes; n > 64<<10 { // what was on its way to the one that was killed
		t.Errorf("%d bytes were fetched twice", n)
	}
	b.says("speaker", "I am the first, and this is my voice.")
	if m := b.model("speaker"); m.Current != 1 || m.Revisions[0].Pin != commit || len(m.Revisions[0].Files) != 2 {
		t.Errorf("%+v", m)
	}
	b.hub.Tag("example/speaker", "main", commit)
}

func (b *installing) together(t *testing.T) {
	before := b.hub.Served()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if out, errText, code := b.cli("install", "speaker", "--name", "twin", "--no-calibrate"); code != 0 || !strings.Contains(out, "twin answers at") {
				t.Errorf("exit %d\n%s%s", code, out, errText)
			}
		})
	}
	wg.Wait()
	if in := b.newest("twin"); in.Attempt != 1 || in.Status != "DONE" {
		t.Errorf("%+v", in)
	}
	if n := b.hub.Served() - before; n != 0 || len(b.model("twin").Revisions) != 1 {
		t.Errorf("%d bytes were fetched; %+v", n, b.model("twin"))
	}
}

// updated rolls a new commit out and back, and has one that is wrong gone back from by itself.
func (b *installing) updated(t *testing.T, first string) {
	second, bytes := b.commit("speaker", "I am the second, and this is my voice.")
	before := b.hub.Served()
	b.run("model", "update", "speaker", "--no-calibrate")
	if n := b.hub.Served() - before; n != bytes-int64(len(b.extra)) {
		t.Errorf("%d bytes were fetched", n)
	}
	b.says("speaker", "I am the second, and this is my voice.")
	b.says("twin", "I am the first, and this is my voice.")
	b.commit("speaker", "Nobody knows me.")
	b.fails(1, []string{"runs revision 2 again", "my voice"}, "model", "update", "speaker", "--no-calibrate")
	b.says("speaker", "I am the second, and this is my voice.")
	b.run("model", "rollback", "speaker")
	b.says("speaker", "I am the first, and this is my voice.")
	m := b.model("speaker")
	pins := map[int]string{}
	for _, r := range m.Revisions {
		if r.Good {
			pins[r.Number] = r.Pin
		}
	}
	if m.Current != 1 || !maps.Equal(pins, map[int]string{1: first, 2: second}) {
		t.Errorf("%+v", m)
	}
	b.run("model", "pin", "speaker")
	b.fails(1, []string{"pinned", "palisade model unpin speaker"}, "model", "update", "speaker")
}

// gated is a model that its publisher shows to some alone: by a recipe that says so, and by its place.
func (b *installing) gated(t *testing.T) {
	b.commit("gated", "I am gated, and this is my voice.")
	b.hub.Gate("example/gated", "hf_right")
	b.hub.Know("hf_wrong")
	before := b.hub.Served()
	b.fails(1, []string{"palisade secret set HF_TOKEN"}, "install", "gated")
	b.fails(1, []string{"is gated", "palisade secret set HF_TOKEN"}, "install", "hf:example/gated", "--name", "direct")
	b.fails(1, []string{"is gated", "palisade secret set HF_TOKEN"}, "install", "hf:example/gated", "--dry-run")
	set := func(token string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), have.palisade, "secret", "set", "HF_TOKEN")
		cmd.Env, cmd.Stdin = b.env, strings.NewReader(token)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	set("hf_wrong")
	b.fails(1, []string{"has not been let in"}, "install", "gated")
	b.fails(1, []string{"has not been let in"}, "install", "hf:example/gated", "--dry-run")
	if n := b.hub.Served() - before; n != 0 {
		t.Errorf("%d bytes were given out", n)
	}
	set("hf_right")
	b.run("install", "hf:example/gated", "--dry-run")
	b.run("install", "gated", "--no-calibrate")
	b.says("gated", "I am gated, and this is my voice.")
	b.run("install", "hf:example/gated", "--name", "direct", "--no-calibrate")
	b.says("direct", "I am gated, and this is my voice.")
	for _, r := range b.hub.Seen() {
		if r.Store && r.Token != "" {
			t.Errorf("the token went to another host: %s", r.Path)
		}
	}
}

func (b *installing) removed(t *testing.T) {
	b.fails(1, []string{"used by service twin", "--force"}, "model", "rm", "twin")
	b.says("twin", "I am the first, and this is my voice.")
	for _, name := range []string{"speaker", "terms", "twin", "gated", "direct"} {
		b.run("model", "rm", name, "--force", "--yes")
	}
	var folders []json.RawMessage
	if b.into(&folders, "folder", "list"); len(folders) != 0 {
		t.Errorf("folders are left: %s", folders)
	}
	left := 0
	err := filepath.WalkDir(filepath.Join(b.dir, "blobs"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err != nil || info.Size() > 64<<10 {
			left++
			t.Errorf("%s is left, %v", path, err)
		}
		return nil
	})
	if err != nil || left > 0 {
		t.Errorf("%d files are left, %v", left, err)
	}
}
