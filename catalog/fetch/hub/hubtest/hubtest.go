// Package hubtest owns a server for tests that speaks the Hugging Face hub's HTTP API over files that a test gives it: two
// hosts as the real one has (the hub, and the store that large files are redirected to), tokens, gates, pages, and faults
// that a test asks for. It knows nothing of who asks.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// Hub is one running hub. All methods may be called at once, and while it is asked.
type Hub struct {
	// PageSize is how many entries of a tree come in one answer, where the one who asks does not want fewer. Set it before
	// the first request; 0: 1000.
	PageSize int

	front *httptest.Server // the hub
	store *httptest.Server // what large files are redirected to: another host, which refuses foreign credentials

	mu     sync.Mutex
	repos  map[string]*repo
	tokens map[string]bool // that the hub knows
	faults []*fault
	seen   []Request
	grants map[string]content // by signature: what a redirect to the store opens
	served int64
}

type repo struct {
	commits map[string]commit
	refs    map[string]string // branches and tags: their commits
	gate    map[string]bool   // tokens that may read; nil: no gate
	private bool
}

type commit []content // by name

type content struct {
	name   string
	files  fs.FS
	bytes  int64
	sha256 string
	git    string // of the file; of its pointer where it is large
	lfs    bool
}

// Request is one request that the hub or its store got.
type Request struct {
	Method, Path, Range string
	Store               bool   // it went to the store
	Token               string // that came with it, without the word Bearer
}

// Start runs a hub for one test.
func Start(tb testing.TB) *Hub {
	tb.Helper()
	h, err := New()
	if err != nil {
		tb.Fatalf("starting a hub: %v", err)
	}
	tb.Cleanup(h.Close)
	return h
}

// New runs a hub until it is closed.
func New() (*Hub, error) {
	h := &Hub{repos: map[string]*repo{}, tokens: map[string]bool{}, grants: map[string]content{}}
	// Another address, not only another port: cookies and credentials do not follow from a host to another one.
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		return nil, fmt.Errorf("the store of the hub: %w", err)
	}
	h.store = httptest.NewUnstartedServer(http.HandlerFunc(h.serveStore))
	_ = h.store.Listener.Close()
	h.store.Listener = listener
	h.store.Start()
	h.front = httptest.NewServer(http.HandlerFunc(h.serveHub))
	return h, nil
}

// Close ends the hub, and what it is in the middle of.
func (h *Hub) Close() {
	for _, s := range []*httptest.Server{h.front, h.store} {
		s.CloseClientConnections()
		s.Close()
	}
}

// URL is what HF_ENDPOINT is set to.
func (h *Hub) URL() string { return h.front.URL }

// StoreHost is the host:port that large files come from.
func (h *Hub) StoreHost() string { return h.store.Listener.Addr().String() }

// Files are a tree of a repository: name and content.
type Files = map[string]string

// Commit makes files the head of main of a repository, which is made where it is not there, and returns the commit.
func (h *Hub) Commit(name string, files Files) string {
	tree := fstest.MapFS{}
	for file, text := range files {
		tree[file] = &fstest.MapFile{Data: []byte(text)}
	}
	return h.CommitFS(name, tree)
}

// CommitFS is Commit of all the files of a file system, which are read anew each time that they are asked for. It panics
// where they cannot be read.
func (h *Hub) CommitFS(name string, files fs.FS) string {
	var tree commit
	err := fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		c, err := describe(files, file)
		tree = append(tree, c)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("hubtest: reading the files of %s: %v", name, err))
	}
	return h.commit(name, tree)
}

// CommitNames is Commit of names that no file system would take: ../x, /x, a\x00b. What is in them is their name.
func (h *Hub) CommitNames(name string, names ...string) string {
	var tree commit
	for _, n := range names {
		c, err := describe(fstest.MapFS{"x": &fstest.MapFile{Data: []byte(n)}}, "x")
		if err != nil {
			panic(fmt.Sprintf("hubtest: %v", err))
		}
		c.name = n
		tree = append(tree, c)
	}
	return h.commit(name, tree)
}

func (h *Hub) commit(name string, tree commit) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repo(name)
	sum := sha1.New()
	fmt.Fprintf(sum, "%s after %s\n", name, r.refs["main"])
	for _, c := range tree {
		fmt.Fprintf(sum, "%s %s\n", c.git, c.name)
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	r.commits[hash], r.refs["main"] = tree, hash
	return hash
}

func (h *Hub) repo(name string) *repo {
	if h.repos[name] == nil {
		h.repos[name] = &repo{commits: map[string]commit{}, refs: map[string]string{}}
	}
	return h.repos[name]
}

// Tag names a commit of a repository: v1, refs/pr/3.
func (h *Hub) Tag(name, tag, commit string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repo(name).refs[tag] = commit
}

// Remove takes a repository away.
func (h *Hub) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.repos, name)
}

// Gate lets only these tokens read the files of a repository; what there is everyone sees, as on the real hub.
func (h *Hub) Gate(name string, tokens ...string) { h.close(name, false, tokens) }

// Private hides a repository from all but these tokens.
func (h *Hub) Private(name string, tokens ...string) { h.close(name, true, tokens) }

func (h *Hub) close(name string, private bool, tokens []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.repo(name)
	r.private, r.gate = private, map[string]bool{}
	for _, t := range tokens {
		r.gate[t], h.tokens[t] = true, true
	}
}

// Know makes tokens known that open nothing by themselves.
func (h *Hub) Know(tokens ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range tokens {
		h.tokens[t] = true
	}
}

// Seen returns the requests so far, in the order in which they came.
func (h *Hub) Seen() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.seen)
}

// Served is how many bytes of files went out.
func (h *Hub) Served() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.served
}

// describe reads a file for what the hub says of it.
func describe(files fs.FS, name string) (content, error) {
	f, err := files.Open(name)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	c := content{name: name, files: files, bytes: info.Size()}
	sum, blob := sha256.New(), sha1.New()
	fmt.Fprintf(blob, "blob %d\x00", c.bytes)
	if _, err := io.Copy(io.MultiWriter(sum, blob), f); err != nil {
		return content{}, err
	}
	c.sha256, c.git = hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(blob.Sum(nil))
	if c.lfs = large(name, c.bytes); c.lfs {
		pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", c.sha256, c.bytes)
		c.git = fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(pointer), pointer)))
	}
	return c, nil
}

// large says whether the hub keeps a file beside git, as the .gitattributes of a new repository has it.
func large(name string, bytes int64) bool {
	return bytes > 10<<20 || slices.Contains([]string{".bin", ".gguf", ".onnx", ".pt", ".pth", ".safetensors", ".tar", ".zip"}, strings.ToLower(path.Ext(name)))
}
