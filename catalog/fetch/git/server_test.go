package git_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is git's own server over HTTP, with one repository, and a server of large files with a store on another host.
type server struct {
	*httptest.Server
	store *httptest.Server
	root  string // where repositories lie, bare
	work  string // a work tree of the one that is served

	mu     sync.Mutex
	login  string // user:password that is wanted; empty: none
	large  map[string]string
	signed int // addresses of the store
	over   int // the last of them that has run out
	asked  []string
	noLFS  bool
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{root: t.TempDir(), work: t.TempDir(), large: map[string]string{}}
	s.git(t, s.root, "init", "-q", "--bare", "-b", "main", "tiny.git")
	s.git(t, s.work, "init", "-q", "-b", "main")
	s.git(t, s.work, "remote", "add", "origin", filepath.Join(s.root, "tiny.git"))
	backend := filepath.Join(strings.TrimSpace(s.git(t, s.root, "--exec-path")), "git-http-backend")
	smart := &cgi.Handler{Path: backend, Env: append(environment(), "GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=1"), Stderr: io.Discard, Logger: log.New(io.Discard, "", 0)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r.Method + " " + r.URL.RequestURI())
		user, password, _ := r.BasicAuth()
		if want := s.wants(); want != "" && user+":"+password != want {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/info/lfs/objects/batch") {
			s.batch(w, r)
			return
		}
		smart.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s.store = httptest.NewUnstartedServer(http.HandlerFunc(s.give))
	_ = s.store.Listener.Close()
	s.store.Listener = listener
	s.store.Start()
	t.Cleanup(s.store.Close)
	return s
}

func environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
	}
}

func (s *server) git(t *testing.T, dir string, words ...string) string {
	t.Helper()
	return s.gitIn(t, dir, "", words...)
}

func (s *server) gitIn(t *testing.T, dir, in string, words ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", words...)
	c.Dir, c.Env, c.Stdin = dir, environment(), strings.NewReader(in)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(words, " "), err, said.String())
	}
	return strings.TrimSpace(string(out))
}

// write puts files into the work tree.
func (s *server) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(s.work, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// commit commits all of the work tree and pushes it to main.
func (s *server) commit(t *testing.T) string {
	t.Helper()
	s.git(t, s.work, "add", "-A")
	s.git(t, s.work, "commit", "-q", "--allow-empty", "-m", "x")
	s.git(t, s.work, "push", "-q", "-f", "origin", "HEAD:main")
	return s.git(t, s.work, "rev-parse", "HEAD")
}

// keep puts a large file into the store and returns its pointer.
func (s *server) keep(text string) string {
	sum := sha256.Sum256([]byte(text))
	oid := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.large[oid] = text
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(text))
}

func (s *server) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
}

func (s *server) wants() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// count is how many requests so far had a text in them.
func (s *server) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asked {
		if strings.Contains(a, text) {
			n++
		}
	}
	return n
}

// batch is the LFS API.
func (s *server) batch(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wish struct {
		Operation string
		Objects   []struct {
			OID  string
			Size int64
		}
	}
	if s.noLFS || json.NewDecoder(r.Body).Decode(&wish) != nil || wish.Operation != "download" || r.Header.Get("Accept") != "application/vnd.git-lfs+json" {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	objects := []map[string]any{}
	for _, o := range wish.Objects {
		out := map[string]any{"oid": o.OID, "size": o.Size}
		if text, ok := s.large[o.OID]; ok && int64(len(text)) == o.Size {
			s.signed++
			out["authenticated"] = true
			out["actions"] = map[string]any{"download": map[string]any{
				"href": s.store.URL + "/" + o.OID, "header": map[string]string{"X-Signed": fmt.Sprint(s.signed)}, "expires_in": 600,
			}}
		} else {
			out["error"] = map[string]any{"code": 404, "message": "Object does not exist"}
		}
		objects = append(objects, out)
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": objects})
}

// give is the store: it takes addresses that were signed and have not run out, and nobody's log-in.
func (s *server) give(w http.ResponseWriter, r *http.Request) {
	s.note("store " + r.Header.Get("Range"))
	s.mu.Lock()
	text, ok := s.large[strings.TrimPrefix(r.URL.Path, "/")]
	signed, err := strconv.Atoi(r.Header.Get("X-Signed"))
	fine := err == nil && signed > s.over && signed <= s.signed && r.Header.Get("Authorization") == ""
	s.mu.Unlock()
	if !fine {
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}
