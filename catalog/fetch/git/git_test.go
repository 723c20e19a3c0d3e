package git_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/git"
)

func source(t *testing.T, s *server, login string) (*git.Source, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "git")
	home := strings.TrimPrefix(s.URL, "http://")
	return git.New(git.Options{Dir: dir, MaxPack: 1 << 20, LogIn: func(_ context.Context, host string) (string, string, error) {
		if host != home || login == "" {
			return "", "", nil
		}
		user, password, _ := strings.Cut(login, ":")
		return user, password, nil
	}}), dir
}

func (s *server) ref(revision string) fetch.Ref {
	return fetch.Ref{Scheme: "git", Where: s.URL + "/tiny.git", Revision: revision}
}

func list(t *testing.T, src *git.Source, r fetch.Ref) fetch.Listing {
	t.Helper()
	l, err := src.List(t.Context(), r)
	if err != nil {
		t.Fatalf("%v\n%s", err, hinted(err))
	}
	return l
}

func read(src *git.Source, l fetch.Listing, name string, offset, length int64) (string, error) {
	for _, f := range l.Files {
		if f.Name == name {
			body, err := src.Open(context.Background(), l, f, offset, length)
			if err != nil {
				return "", err
			}
			defer body.Close()
			text, err := io.ReadAll(body)
			return string(text), err
		}
	}
	return "", fmt.Errorf("no file %s in %v", name, l.Files)
}

func hinted(err error) string {
	if h, is := errors.AsType[interface {
		error
		Hint() string
	}](err); is {
		return h.Hint()
	}
	return ""
}

func TestFilesOfACommit(t *testing.T) {
	s := serve(t)
	weights := strings.Repeat("weights ", 4000)
	s.write(t, map[string]string{
		"config.json": "{}", "run.sh": "#!/bin/sh\n", "deep/er/a.txt": "a\n", "empty": "", ".gitattributes": "*.bin filter=lfs\n",
		"model.bin": s.keep(weights), "almost.txt": "version https://git-lfs.github.com/spec/v1\noid sha256:short\nsize 3\n",
	})
	if err := os.Chmod(filepath.Join(s.work, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"link.bin": "model.bin", "deep/up.json": "../config.json", "twice": "link.bin", "outside": "../../etc/passwd", "root": "/etc/passwd", "dir": "deep", "round": "round", "gone": "nothing",
	} {
		if err := os.Symlink(to, filepath.Join(s.work, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.git(t, s.work, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",inside") // a submodule
	first := s.commit(t)
	src, _ := source(t, s, "")
	l := list(t, src, s.ref(""))
	got := []string{}
	for _, f := range l.Files {
		if f.Run != (f.Name == "run.sh") || (f.SHA256 == "") == (f.Git == "") {
			t.Errorf("%+v", f)
		}
		got = append(got, f.Name)
	}
	if want := ".gitattributes almost.txt config.json deep/er/a.txt deep/up.json empty link.bin model.bin run.sh twice"; strings.Join(got, " ") != want || l.Revision != first {
		t.Errorf("%s\n%s", strings.Join(got, " "), want)
	}
	for name, want := range map[string]string{"config.json": "{}", "deep/up.json": "{}", "model.bin": weights, "twice": weights, "empty": ""} {
		if text, err := read(src, l, name, 0, -1); err != nil || text != want {
			t.Errorf("%s: %.30q, %v", name, text, err)
		}
	}
	for _, c := range []struct{ offset, length int64 }{{3, 4}, {8, -1}, {int64(len(weights)) - 2, 2}} {
		want := weights[c.offset:]
		if c.length >= 0 {
			want = want[:c.length]
		}
		if text, err := read(src, l, "model.bin", c.offset, c.length); err != nil || text != want {
			t.Errorf("%+v: %.30q, %v", c, text, err)
		}
	}
	if text, err := read(src, l, "deep/er/a.txt", 1, 5); err != nil || text != "\n" {
		t.Errorf("%q, %v", text, err)
	}
	if n := s.count("objects/batch"); n != 1 {
		t.Errorf("the server of large files was asked %d times for the same one", n)
	}
	if n := s.count("POST /tiny.git/git-upload-pack"); n != 1 {
		t.Errorf("git was fetched %d times", n)
	}
}

func TestRevisions(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"a": "1"})
	first := s.commit(t)
	s.git(t, s.work, "tag", "-a", "-m", "x", "v1")
	s.git(t, s.work, "tag", "plain")
	s.git(t, s.work, "push", "-q", "origin", "v1", "plain")
	s.write(t, map[string]string{"a": "2"})
	second := s.commit(t) // no name points to it soon
	s.write(t, map[string]string{"a": "3"})
	third := s.commit(t)
	s.git(t, s.work, "push", "-q", "origin", "HEAD:refs/heads/side/way")
	for _, reachable := range []string{"false", "true"} { // servers that give any commit, and those that give what has a name
		s.git(t, filepath.Join(s.root, "tiny.git"), "config", "uploadpack.allowReachableSHA1InWant", reachable)
		src, _ := source(t, s, "")
		for revision, want := range map[string]string{"": third, "main": third, "v1": first, "plain": first, "side/way": third, "refs/tags/v1": first, first: first, second: second} {
			l, err := src.List(t.Context(), s.ref(revision))
			if err != nil || l.Revision != want || len(l.Files) != 1 {
				t.Errorf("%s, %q: %+v, want %s, %v", reachable, revision, l, want, err)
			}
		}
	}
	src, _ := source(t, s, "")
	for revision, hint := range map[string]string{"v9": "it has main, plain, side/way, v1", first[:8]: "40 digits", strings.Repeat("2", 40): ""} {
		if _, err := src.List(t.Context(), s.ref(revision)); !errors.Is(err, fetch.ErrNotFound) || !strings.Contains(hinted(err), hint) {
			t.Errorf("%s: %v, %s", revision, err, hinted(err))
		}
	}
}

// TestAFileOfGitWithAChecksum is one whose checksum a recipe says, or an install of before: it is in git all the same.
func TestAFileOfGitWithAChecksum(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"config.json": "{}"})
	s.commit(t)
	src, _ := source(t, s, "")
	l := list(t, src, s.ref(""))
	l.Files[0].SHA256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	if text, err := read(src, l, "config.json", 0, -1); err != nil || text != "{}" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestLogIns(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"a": "1", "model.bin": s.keep("weights")})
	s.commit(t)
	s.set(func(s *server) { s.login = "ann:secret" })
	for login, message := range map[string]string{"": "wants a log-in", "ann:wrong": "refuses the log-in"} {
		src, _ := source(t, s, login)
		_, err := src.List(t.Context(), s.ref(""))
		if !errors.Is(err, fetch.ErrDenied) || !strings.Contains(err.Error(), message) || !strings.Contains(hinted(err), "palisade registry login 127.0.0.1") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%v, %s", err, hinted(err))
		}
	}
	src, _ := source(t, s, "ann:secret")
	l := list(t, src, s.ref(""))
	if text, err := read(src, l, "model.bin", 0, -1); err != nil || text != "weights" { // the store refuses log-ins
		t.Errorf("%q, %v", text, err)
	}
	// Nor does it go over plain HTTP, where anybody on the way could read it.
	src = git.New(git.Options{Dir: t.TempDir(), LogIn: func(context.Context, string) (string, string, error) { return "ann", "secret", nil }})
	if _, err := src.List(t.Context(), fetch.Ref{Where: "http://git.example.com/x.git"}); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), "not sent over plain http") {
		t.Error(err)
	}
	// A redirect to another host does not take the log-in along.
	var there []string
	other := &httptest.Server{Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there = append(there, r.Header.Get("Authorization"))
		http.NotFound(w, r)
	})}}
	var err error
	if other.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	other.Start()
	defer other.Close()
	sends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	defer sends.Close()
	src = git.New(git.Options{Dir: t.TempDir(), LogIn: func(context.Context, string) (string, string, error) { return "ann", "secret", nil }})
	if _, err := src.List(t.Context(), fetch.Ref{Where: sends.URL + "/x.git"}); !errors.Is(err, fetch.ErrNotFound) || len(there) == 0 || strings.Join(there, "") != "" {
		t.Errorf("%v, %q", err, there)
	}
}

func TestLargeFiles(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"model.bin": s.keep("weights"), "lost.bin": s.keep("lost")})
	s.commit(t)
	src, _ := source(t, s, "")
	l := list(t, src, s.ref(""))
	if text, err := read(src, l, "model.bin", 0, -1); err != nil || text != "weights" {
		t.Fatalf("%q, %v", text, err)
	}
	s.set(func(s *server) { s.over = s.signed }) // what was granted has run out
	if text, err := read(src, l, "model.bin", 1, 3); err != nil || text != "eig" {
		t.Errorf("%q, %v", text, err)
	}
	s.set(func(s *server) { clear(s.large) })
	if _, err := read(src, l, "lost.bin", 0, -1); !errors.Is(err, fetch.ErrNotFound) || !strings.Contains(hinted(err), "git lfs push") {
		t.Errorf("%v, %s", err, hinted(err))
	}
	s.set(func(s *server) { s.noLFS = true })
	if _, err := read(src, l, "lost.bin", 0, -1); !errors.Is(err, fetch.ErrNotFound) || !strings.Contains(err.Error(), "has no LFS") {
		t.Error(err)
	}
	// The repository may name another server of large files.
	there := serve(t)
	s.write(t, map[string]string{"model.bin": there.keep("from there"), ".lfsconfig": "[lfs]\n\turl = " + there.URL + "/elsewhere.git/info/lfs\n"})
	s.commit(t)
	l = list(t, src, s.ref(""))
	if text, err := read(src, l, "model.bin", 0, -1); err != nil || text != "from there" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatIsNoRepository(t *testing.T) {
	s := serve(t)
	src, dir := source(t, s, "")
	if _, err := src.List(t.Context(), s.ref("")); !errors.Is(err, fetch.ErrNotFound) || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
	if _, err := src.List(t.Context(), fetch.Ref{Where: s.URL + "/none.git"}); !errors.Is(err, fetch.ErrNotFound) || hinted(err) == "" {
		t.Error(err)
	}
	// More than is taken, hard to pack.
	noise := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	s.write(t, map[string]string{"huge.bin": string(noise)})
	s.commit(t)
	if _, err := src.List(t.Context(), s.ref("")); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(hinted(err), "LFS") {
		t.Errorf("%v, %s", err, hinted(err))
	}
	// Little, that becomes a lot.
	s.git(t, s.work, "checkout", "-q", "--orphan", "grows")
	s.write(t, map[string]string{"huge.bin": strings.Repeat("a", 20<<20)})
	s.commit(t)
	if _, err := src.List(t.Context(), s.ref("")); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(hinted(err), "LFS") {
		t.Errorf("%v, %s", err, hinted(err))
	}
	for name, handler := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") },
		"dumb": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "%s\trefs/heads/main\n", strings.Repeat("1", 40))
		},
		"nothing": func(http.ResponseWriter, *http.Request) {
		},
		"half a pack": func(w http.ResponseWriter, r *http.Request) {
			answer, err := http.DefaultTransport.RoundTrip(clone(r, s.URL))
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			defer answer.Body.Close()
			text, _ := io.ReadAll(answer.Body)
			if r.Method == http.MethodPost {
				text = text[:len(text)/2]
			}
			w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
			_, _ = w.Write(text)
		},
	} {
		bad := httptest.NewServer(handler)
		if _, err := src.List(t.Context(), fetch.Ref{Where: bad.URL + "/tiny.git"}); err == nil {
			t.Errorf("%s is taken for a repository", name)
		} else {
			t.Logf("%s: %v (%s)", name, err, hinted(err))
		}
		bad.Close()
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func clone(r *http.Request, to string) *http.Request {
	out := r.Clone(r.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", strings.TrimPrefix(to, "http://")
	return out
}

func TestNamesThatLeadElsewhere(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"a": "1"})
	s.commit(t)
	blob := s.gitIn(t, s.work, "evil", "hash-object", "-w", "--stdin")
	raw := strings.Builder{}
	for i := 0; i < len(blob); i += 2 {
		var b byte
		_, _ = fmt.Sscanf(blob[i:i+2], "%02x", &b)
		raw.WriteByte(b)
	}
	for _, name := range []string{"..", "x\\y"} {
		tree := s.gitIn(t, s.work, "100644 "+name+"\x00"+raw.String(), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
		commit := s.gitIn(t, s.work, "", "commit-tree", "-m", "x", tree)
		s.git(t, s.work, "push", "-q", "-f", "origin", commit+":refs/heads/evil")
		src, _ := source(t, s, "")
		if _, err := src.List(t.Context(), s.ref("evil")); err == nil {
			t.Errorf("a file called %q was taken", name)
		}
	}
}

func TestClonesAreKeptForAWhile(t *testing.T) {
	s := serve(t)
	s.write(t, map[string]string{"a": "1"})
	s.commit(t)
	src, dir := source(t, s, "")
	var both sync.WaitGroup
	for range 4 { // at once
		both.Go(func() {
			if _, err := src.List(t.Context(), s.ref("")); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if n := s.count("POST /tiny.git/git-upload-pack"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	l := list(t, src, s.ref(""))
	// What a crash left, and what nobody asked for in a long time, goes with the next one.
	old := time.Now().Add(-30 * 24 * time.Hour)
	for _, name := range []string{"begun-1", "begun-2", "0123-0123"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if name != "begun-2" {
			if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.write(t, map[string]string{"a": "2"})
	s.commit(t)
	list(t, src, s.ref(""))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 { // two commits, and what is being filled
		t.Errorf("%v, %v", entries, err)
	}
	// A commit that was removed meanwhile is fetched again.
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	s.git(t, filepath.Join(s.root, "tiny.git"), "config", "uploadpack.allowReachableSHA1InWant", "true")
	if text, err := read(src, l, "a", 0, -1); err != nil || text != "1" {
		t.Errorf("%q, %v", text, err)
	}
	// Who gives up does not leave anything.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := src.List(ctx, s.ref("")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
