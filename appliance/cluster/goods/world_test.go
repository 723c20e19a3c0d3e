package goods_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/folders"
)

// world is boxes of one cluster, each behind a door of its own with the certificates of the cluster, and the rows of folders
// that all of them read.
type world struct {
	t     testing.TB
	desk  *trust.Desk
	first *trust.Node

	mu    sync.Mutex
	boxes map[string]*box
	rows  map[string]folders.Folder
}

// box is one of them.
type box struct {
	*goods.Goods
	w        *world
	name     string
	dir      string
	node     *trust.Node
	blobs    *blobs.Store
	server   *http.Server
	registry http.Handler
	at       string // where its door is; "": shut

	spoil atomic.Pointer[func(http.Handler) http.Handler] // between the door and the goods
	given atomic.Int64                                    // bytes of files that it gave
	asked atomic.Int64                                    // requests for files
}

func newWorld(t testing.TB, names ...string) *world {
	t.Helper()
	w := &world{t: t, boxes: map[string]*box{}, rows: map[string]folders.Folder{}}
	for _, name := range names {
		w.boxes[name] = &box{w: w, name: name, dir: t.TempDir()}
		w.join(w.boxes[name])
		w.boxes[name].open(0, 0)
		w.boxes[name].serve()
	}
	return w
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// join makes a box a node, with a certificate.
func (w *world) join(b *box) {
	w.t.Helper()
	if w.first == nil {
		n := must[*trust.Node](w.t)(trust.Found(filepath.Join(b.dir, "trust"), b.name, time.Now))
		f, ok, err := n.Founding()
		if err != nil || !ok {
			w.t.Fatal(ok, err)
		}
		w.desk = trust.NewDesk(&trusttest.Memory{}, must[trust.ClusterKey](w.t)(n.ClusterKey()), time.Now)
		if err := w.desk.Begin(w.t.Context(), f); err != nil {
			w.t.Fatal(err)
		}
		w.first, b.node = n, n
		return
	}
	b.node = joined(w.t, w.desk, filepath.Join(b.dir, "trust"), b.name)
}

// open opens what the box has.
func (b *box) open(rate, keep int64) {
	b.w.t.Helper()
	t := b.w.t
	if b.blobs == nil {
		b.blobs = must[*blobs.Store](t)(blobs.Open(filepath.Join(b.dir, "blobs"), slog.New(slog.DiscardHandler)))
		t.Cleanup(func() { b.shut(); _ = b.blobs.Close() })
	}
	b.Goods = must[*goods.Goods](t)(goods.New(goods.Deps{
		Self: b.name, Dir: filepath.Join(b.dir, "goods"), Blobs: b.blobs, Folders: b.w.folder, Boxes: func() []goods.Box { return b.w.others(b.name) },
		Transport: b.transport, Rate: rate, Keep: keep, Silence: time.Second, Registry: b.registry, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
}

// again is the box after its program was started again.
func (b *box) again() {
	b.w.t.Helper()
	if err := b.blobs.Close(); err != nil {
		b.w.t.Fatal(err)
	}
	b.blobs = nil
	b.open(0, 0)
}

// serve opens the door.
func (b *box) serve() {
	b.w.t.Helper()
	l := must[net.Listener](b.w.t)(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: http.HandlerFunc(b.answer), TLSConfig: b.node.DoorServer(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	b.w.mu.Lock()
	b.server, b.at = server, l.Addr().String()
	b.w.mu.Unlock()
	go func() { _ = server.ServeTLS(l, "", "") }()
}

// shut is a box that is gone: its connections break.
func (b *box) shut() {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.at = ""
	_ = b.server.Close()
}

// answer lets nodes in, and nobody else.
func (b *box) answer(w http.ResponseWriter, r *http.Request) {
	if who, err := b.node.Peer(r.TLS); err != nil || who == "" {
		http.Error(w, "who are you?", http.StatusForbidden)
		return
	}
	h := b.Handler()
	if spoil := b.spoil.Load(); spoil != nil {
		h = (*spoil)(h)
	}
	if strings.HasSuffix(r.URL.Path, "/file") {
		b.asked.Add(1)
		w = &counter{w, &b.given}
	}
	h.ServeHTTP(w, r)
}

type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// transport reaches another box's door.
func (b *box) transport(name string) http.RoundTripper {
	return &http.Transport{TLSClientConfig: b.node.DoorClient(name), ForceAttemptHTTP2: true, DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		b.w.mu.Lock()
		at := b.w.boxes[name].at
		b.w.mu.Unlock()
		if at == "" {
			return nil, fmt.Errorf("box %s is gone", name)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}}
}

func (w *world) others(but string) (out []goods.Box) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, b := range w.boxes {
		if name != but && b.at != "" && b.Goods != nil {
			out = append(out, goods.Box{Name: name, Has: b.Has()})
		}
	}
	return out
}

func (w *world) folder(_ context.Context, id string) (folders.Folder, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, is := w.rows[id]
	if !is {
		return f, fmt.Errorf("folder %s: %w", id, folders.ErrNotFound)
	}
	return f, nil
}

// make makes a folder on a box.
func (w *world) make(home, id string, sealed bool, files map[string][]byte) goods.Want {
	w.t.Helper()
	dir := filepath.Join(w.boxes[home].dir, "folders", id)
	put(w.t, dir, files)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[id] = folders.Folder{ID: id, Name: "model-of-" + home, Path: dir, Home: home, Sealed: sealed}
	return goods.Want{ID: id, Name: w.rows[id].Name, Home: home, Sealed: sealed}
}

func put(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(at, data, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// holds compares a directory with files.
func holds(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := io.ReadAll(file)
		info, _ := file.Stat()
		file.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of others, %v", name, len(got), err)
		}
		if run := info.Mode()&0o111 != 0; run != strings.HasSuffix(name, ".sh") {
			t.Errorf("%s may be run: %v", name, run)
		}
	}
}

func noise(n int, seed byte) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
	return out
}

// joined is a node that is let in.
func joined(t testing.TB, desk *trust.Desk, dir, name string) *trust.Node {
	t.Helper()
	n := must[*trust.Node](t)(trust.Create(dir, name, time.Now))
	token := must[trust.Token](t)(desk.NewToken(t.Context(), trust.Asked{Approve: true, Uses: 1, For: time.Hour}))
	r := must[trust.Request](t)(n.Request(token, "1.0.0", "127.0.0.1:1"))
	a := must[trust.Answer](t)(desk.Join(t.Context(), "127.0.0.1", r))
	if s, err := n.Take(a, token); err != nil || s != trust.In {
		t.Fatal(s, err)
	}
	return n
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
