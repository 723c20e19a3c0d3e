package index_test

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/signature"
)

// repository is a maker's work tree, which git's own server shows.
type repository struct {
	*maker
	server *httptest.Server
}

func newRepository(t *testing.T, recipes ...string) *repository {
	t.Helper()
	r := &repository{maker: newMaker(t, recipes...)}
	bare := t.TempDir()
	r.git("init", "-q", "-b", "main")
	r.git("init", "-q", "--bare", "-b", "main", filepath.Join(bare, "c.git"))
	r.git("remote", "add", "origin", filepath.Join(bare, "c.git"))
	backend := filepath.Join(r.git("--exec-path"), "git-http-backend")
	r.server = httptest.NewServer(&cgi.Handler{Path: backend, Env: append(environment(), "GIT_PROJECT_ROOT="+bare, "GIT_HTTP_EXPORT_ALL=1")})
	t.Cleanup(r.server.Close)
	return r
}

func environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a",
		"GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
}

func (r *repository) git(words ...string) string {
	r.t.Helper()
	c := exec.CommandContext(r.t.Context(), "git", words...)
	c.Dir, c.Env = r.dir, environment()
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(words, " "), err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// push publishes what is there and returns the commit.
func (r *repository) push(branch string) string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "x")
	r.git("push", "-q", "-f", "origin", "HEAD:"+branch)
	return r.git("rev-parse", "HEAD")
}

func TestGit(t *testing.T) {
	b, r := newBox(t), newRepository(t, "one", "two")
	r.file("README.md", "# A catalog\n")
	r.file("tools/big.bin", strings.Repeat("x", 2<<20))
	r.sign()
	first := r.push("main")
	url := r.server.URL + "/c.git"
	refused(t, "a key that nobody trusts", b.add(index.Request{Name: "team", URL: url}), signature.ErrUntrusted)
	b.trust(r.key)
	v := b.mustAdd(index.Request{Name: "team", URL: url})
	if v.Kind != index.Git || v.Revision != first || v.SignedBy != r.key.Key().ID() {
		t.Errorf("added: %+v", v)
	}
	b.expect("added", "team/one@1 team/two@1")

	r.write("one", "2")
	r.sign()
	r.git("tag", "-a", "-m", "v1", "v1", first)
	r.git("push", "-q", "origin", "v1")
	second := r.push("main")
	if u := b.mustUpdate("team"); u.From != first || u.To != second || u.Serial != 2 || len(u.Changes) != 1 {
		t.Errorf("update: %+v", u)
	}
	r.git("push", "-q", "-f", "origin", first+":main")
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "the branch went back", err, index.ErrOlder)
	b.expect("kept", "team/one@2 team/two@1")

	// A second box stays at a tag, whatever becomes of the branch and of the tag.
	other := newBox(t)
	other.trust(r.key)
	if v := other.mustAdd(index.Request{Name: "team", URL: url, Pin: "v1"}); v.Pin != first {
		t.Errorf("pinned to %q, not %q", v.Pin, first)
	}
	r.git("push", "-q", "-f", "origin", second+":main", second+":refs/tags/v1")
	other.mustUpdate("team")
	other.expect("pinned", "team/one@1 team/two@1")
	if u, err := other.Pin(t.Context(), "team", second); err != nil || u.To != second || !u.Pinned {
		t.Errorf("pinned to another commit: %+v, %v", u, err)
	}
	other.expect("pinned to another commit", "team/one@2 team/two@1")

	r.server.Close()
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "the server is gone", err, index.ErrUnreachable)
	b.restart()
	b.expect("the server is gone", "team/one@2 team/two@1")
}

func TestAPartOfARepositoryOnABranch(t *testing.T) {
	b, r := newBox(t), newRepository(t, "outside")
	r.file("recipes/inside/recipe.yaml", source("inside", "1"))
	r.push("main")
	r.file("recipes/later/recipe.yaml", source("later", "1"))
	r.push("next")
	url := "git+" + r.server.URL + "/c.git"
	unsigned := index.Trust{Unsigned: true}
	b.mustAdd(index.Request{Name: "a", URL: url, Dir: "recipes", Trust: unsigned})
	b.mustAdd(index.Request{Name: "b", URL: url, Dir: "recipes/", Track: "next", Trust: unsigned})
	b.expect("two of one repository", "a/inside@1 b/inside@1 b/later@1")
	if e, err := b.Collection(t.Context()).Find("inside"); err != nil || e.Catalog != "a" {
		t.Errorf("the name alone is of %q: %v", e.Catalog, err)
	}
	refused(t, "no such branch", b.add(index.Request{Name: "c", URL: url, Track: "nope", Trust: unsigned}), index.ErrUnreachable)
	refused(t, "no such part", b.add(index.Request{Name: "c", URL: url, Dir: "nope", Trust: unsigned}), index.ErrBroken)
	refused(t, "no such repository", b.add(index.Request{Name: "c", URL: r.server.URL + "/d.git", Trust: unsigned}), index.ErrUnreachable)
}
