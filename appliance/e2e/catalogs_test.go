package e2e_test

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const catalogRecipe = `schema: 1
name: NAME
version: VERSION
title: Tiny
description: A model of a test.
license: {id: MIT, url: "https://example.org/licence"}
publisher: Example
homepage: https://example.org
task: chat
inputs: [text]
outputs: [text]
parameters: 1000
context: 2048
sources:
  - {name: weights, from: "hf:example/tiny", bytes: 1MB}
variants:
  - name: gguf
    runtime: llama-cpp
    images: example.org/llama:VERSION
    accelerators: [cpu]
    source: weights
    model: model.gguf
    context: 2048
    concurrency: 1
    memory: {weights: 1MB, cache: 1MB, overhead: 1MB}
    minimum_needs: {cpu: 1, mem: 256m}
`

// makersRepository is a work tree, and git's own server that shows what is pushed from it.
func makersRepository(t *testing.T) (tree, url string, git func(words ...string) string, server *httptest.Server) {
	t.Helper()
	tree, bare := t.TempDir(), t.TempDir()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a",
		"GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	git = func(words ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "git", words...)
		c.Dir, c.Env = tree, env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(words, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("init", "-q", "--bare", "-b", "main", filepath.Join(bare, "c.git"))
	git("remote", "add", "origin", filepath.Join(bare, "c.git"))
	server = httptest.NewServer(&cgi.Handler{Path: filepath.Join(git("--exec-path"), "git-http-backend"), Env: append(env, "GIT_PROJECT_ROOT="+bare, "GIT_HTTP_EXPORT_ALL=1")})
	t.Cleanup(server.Close)
	return tree, server.URL + "/c.git", git, server
}

// A catalog of somebody else's: refused until its key is trusted, updated, shown an old one, and used on when its place and the
// daemon are gone.
func TestCatalogOfSomebodyElse(t *testing.T) {
	b := newBox(t)
	b.start()
	tree, url, git, server := makersRepository(t)
	write := func(name, version string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(tree, name), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("NAME", name, "VERSION", version).Replace(catalogRecipe)
		if err := os.WriteFile(filepath.Join(tree, name, "recipe.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(t.TempDir(), "team.key")
	b.run("catalog", "keygen", key, "--no-password")
	push := func() string {
		t.Helper()
		b.run("catalog", "sign", tree, "--key", key)
		git("add", "-A")
		git("commit", "-q", "-m", "x")
		git("push", "-q", "-f", "origin", "HEAD:main")
		return git("rev-parse", "HEAD")
	}
	write("tiny", "1")
	first := push()

	b.fails(1, []string{"is not trusted", "palisade catalog trust"}, "catalog", "add", "team", url)
	b.run("catalog", "trust", key+".pub")
	b.run("catalog", "add", "team", url)
	recipes := func(when, want string) {
		t.Helper()
		var one struct {
			Recipes  int    `json:"recipes"`
			Revision string `json:"revision"`
			SignedBy string `json:"signed_by"`
			Refused  string `json:"refused"`
		}
		b.into(&one, "catalog", "sources", "team")
		if one.Revision != want || one.Recipes == 0 || one.SignedBy == "" || one.Refused != "" {
			t.Errorf("%s: %+v, want revision %s", when, one, want)
		}
	}
	recipes("added", first)

	write("tiny", "2")
	write("more", "1")
	second := push()
	if out := b.run("catalog", "diff", "team"); !strings.Contains(out, "+ more 1") || !strings.Contains(out, "example.org/llama:1 -> example.org/llama:2") {
		t.Errorf("diff:\n%s", out)
	}
	recipes("only compared", first)
	b.run("catalog", "update")
	recipes("updated", second)

	git("push", "-q", "-f", "origin", first+":main")
	b.fails(1, []string{"serial 1", "had 2 before"}, "catalog", "update", "team")
	recipes("shown an old one", second)
	server.Close()
	b.fails(1, []string{"not all came from"}, "catalog", "update", "team")
	b.kill()
	b.start()
	recipes("its place is gone, and the daemon was killed", second)
	b.run("catalog", "pin", "team", first)
	recipes("back to the one before, without its place", first)
	b.run("catalog", "untrust", "team.key", "--force")
	if out := b.run("catalog", "sources"); !strings.Contains(out, "not used: it was signed by") {
		t.Errorf("its key is not trusted any more:\n%s", out)
	}
	b.run("catalog", "remove", "team")
	if _, err := os.Stat(filepath.Join(b.dir, "catalogs", "team")); err == nil {
		t.Error("its copy is left")
	}
}
