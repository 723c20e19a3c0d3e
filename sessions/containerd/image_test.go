package containerd_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

var (
	_ sessions.Images       = (*containerd.Runtime)(nil)
	_ sessions.ImageChecker = (*containerd.Runtime)(nil)
)

func TestCheckImage(t *testing.T) {
	r := &containerd.Runtime{}
	for _, good := range []string{"busybox", "busybox:1.36", "ghcr.io/a/b@sha256:" + strings.Repeat("a", 64), "localhost:5000/x", "[::1]:5000/x"} {
		if err := r.CheckImage(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "host", "Busybox", "a b", "busybox:", "busybox@sha256:12", "http://x/y", strings.Repeat("a", 300), "-x"} {
		wantKind(t, r.CheckImage(bad), sessions.ErrInvalid, "image")
	}
}

func TestPull(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		s, r := openStore(t, p), newRegistry(t, nil)
		ref := r.push(t, "team/model:1", image(t, runtime.GOARCH, 3_000_000, 1000, 2_000_000))
		var got told
		if err := s.Pull(t.Context(), ref, got.tell); err != nil {
			t.Fatal(err)
		}
		last := got.all[len(got.all)-1]
		if last.Total < 5_000_000 || last.Done != last.Total || last.Message != "unpacking" {
			t.Errorf("the last progress is %+v", last)
		}
		if !slices.IsSortedFunc(got.all, func(a, b sessions.Progress) int { return int(a.Done - b.Done) }) {
			t.Errorf("progress goes back: %+v", got.all)
		}

		asked := r.requests.Load()
		if err := s.Pull(t.Context(), ref, nil); err != nil || r.requests.Load() != asked {
			t.Errorf("what is here was asked for again: %d requests, %v", r.requests.Load()-asked, err)
		}
		all, err := s.Images(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		img := all[0]
		if img.Name != ref || img.Size < 5_000_000 || !strings.HasPrefix(img.Digest, "sha256:") || !slices.Equal(img.Platforms, []string{"linux/" + runtime.GOARCH}) ||
			time.Since(img.CreatedAt) > time.Minute {
			t.Errorf("%+v", img)
		}

		// A newer one under the same name comes with Refresh alone.
		r.push(t, "team/model:1", image(t, runtime.GOARCH, 1000))
		if err := s.Pull(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		if all, _ = s.Images(t.Context()); all[0].Digest != img.Digest {
			t.Error("Pull has replaced what was here")
		}
		fresh, err := s.Refresh(t.Context(), ref, nil)
		if err != nil || fresh.Digest == img.Digest {
			t.Errorf("%+v, %v", fresh, err)
		}

		if err := s.RemoveImage(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		s.nothingLeft(t)
		wantKind(t, s.RemoveImage(t.Context(), ref), sessions.ErrNoImage, "team/model:1")
	})
}

func TestPullOfAnIndex(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	ref := r.push(t, "multi:1", index(t, "s390x", runtime.GOARCH, "riscv64"))
	if err := s.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	all, err := s.Images(t.Context())
	if err != nil || !slices.Equal(all[0].Platforms, []string{"linux/" + runtime.GOARCH}) {
		t.Errorf("%+v, %v: what is not here is not to be listed", all, err)
	}
}

func TestPullForAnotherProcessor(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		s, r := openStore(t, p), newRegistry(t, nil)
		for name, what := range map[string]any{"one:1": image(t, "s390x", 1000), "many:1": index(t, "s390x", "riscv64")} {
			err := s.Pull(t.Context(), r.push(t, name, what), nil)
			wantKind(t, err, sessions.ErrImagePlatform, "linux/s390x")
			if !strings.Contains(err.Error(), "this box is linux/"+runtime.GOARCH) || name == "many:1" && !strings.Contains(err.Error(), "linux/riscv64") {
				t.Error(err)
			}
		}
		s.nothingLeft(t)
	})
}

func TestPullOfSomethingElse(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	chart := mutate.ConfigMediaType(image(t, runtime.GOARCH, 1000), "application/vnd.cncf.helm.config.v1+json")
	wantKind(t, s.Pull(t.Context(), r.push(t, "chart:1", chart), nil), sessions.ErrInvalid, "no container image")
	s.nothingLeft(t)
}

func TestPullOfWhatIsNotThere(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		s, r := openStore(t, p), newRegistry(t, nil)
		r.push(t, "there:1", image(t, runtime.GOARCH, 1000))
		for _, ref := range []string{r.host + "/there:2", r.host + "/nowhere:1", r.host + "/there@sha256:" + strings.Repeat("0", 64)} {
			wantKind(t, s.Pull(t.Context(), ref, nil), sessions.ErrNoImage, "knows nothing of that name")
		}
		s.nothingLeft(t)
	})
}

// basicAuth lets one user in.
func basicAuth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		switch {
		case user == "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case user != "ann" || password != "secret":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, q)
		}
	})
}

func TestLogIn(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, basicAuth)
	ref := r.push(t, "closed:1", image(t, runtime.GOARCH, 1000))
	login := "palisade registry login " + r.host
	denied := func(what, text string) {
		t.Helper()
		err := s.Pull(t.Context(), ref, nil)
		wantKind(t, err, sessions.ErrImageDenied, text)
		if h, ok := errors.AsType[*containerd.Error](err); !ok || h.Hint() != login {
			t.Errorf("%s: hint of %v", what, err)
		}
	}
	denied("none", "without a log-in")
	for _, user := range []string{"bob", "forbidden"} {
		s.cfg.Credentials = func(context.Context, string) (string, string, error) { return user, "secret", nil }
		s.reopen(t)
		denied(user, "refuses the log-in")
	}
	s.cfg.Credentials = func(context.Context, string) (string, string, error) { return "", "", errors.New("vault closed") }
	s.reopen(t)
	if err := s.Pull(t.Context(), ref, nil); err == nil || !strings.Contains(err.Error(), "vault closed") {
		t.Error(err)
	}
	s.nothingLeft(t)

	asked := ""
	s.cfg.Credentials = func(_ context.Context, host string) (string, string, error) {
		asked = host
		return "ann", "secret", nil
	}
	s.reopen(t)
	if err := s.Pull(t.Context(), ref, nil); err != nil || asked != r.host {
		t.Errorf("asked for %q: %v", asked, err)
	}
}

// TestLogInStaysWithItsRegistry: who keeps layers elsewhere sends us there, without the log-in.
func TestLogInStaysWithItsRegistry(t *testing.T) {
	s := openStore(t, newest(t))
	var mu sync.Mutex
	var layers http.Handler
	told := []string{}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		told = append(told, q.Header.Get("Authorization"))
		next := layers
		mu.Unlock()
		next.ServeHTTP(w, q)
	}))
	defer elsewhere.Close()
	_, port, _ := net.SplitHostPort(elsewhere.Listener.Addr().String())
	r := newRegistry(t, func(next http.Handler) http.Handler {
		mu.Lock()
		layers = next
		mu.Unlock()
		return basicAuth(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
				http.Redirect(w, q, "http://localhost:"+port+q.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, q)
		}))
	})
	ref := r.push(t, "closed:1", image(t, runtime.GOARCH, 1000))
	s.cfg.Credentials = func(context.Context, string) (string, string, error) { return "ann", "secret", nil }
	s.reopen(t)
	if err := s.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) == 0 || strings.Join(told, "") != "" {
		t.Errorf("the other host was told %q", told)
	}
}

func TestLogInByDocker(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, dir, host string) string{
		"config": func(_ *testing.T, _, host string) string {
			return `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:secret")) + `"}}}`
		},
		"helper": func(t *testing.T, dir, host string) string {
			script := "#!/bin/sh\necho '{\"ServerURL\":\"x\",\"Username\":\"ann\",\"Secret\":\"secret\"}'\n"
			if err := os.WriteFile(filepath.Join(dir, "docker-credential-palisadetest"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			return `{"credHelpers":{"` + host + `":"palisadetest"}}`
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := openStoreAt(t, shared(t, newest(t))), newRegistry(t, basicAuth) // not beside others: it changes the environment
			ref := r.push(t, "closed:1", image(t, runtime.GOARCH, 1000))
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(write(t, dir, r.host)), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("DOCKER_CONFIG", dir)
			if err := s.Pull(t.Context(), ref, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRegistryThatCannotBeReached(t *testing.T) {
	s := openStore(t, newest(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	wantKind(t, s.Pull(t.Context(), closed+"/x:1", nil), sessions.ErrUnavailable, "registry "+closed+" cannot be reached")
	wantKind(t, s.Pull(t.Context(), "registry.invalid/x:1", nil), sessions.ErrUnavailable, "registry registry.invalid cannot be found")
	s.nothingLeft(t)
}

// cutsOff ends the connection after so many bytes of a layer, so many times.
func cutsOff(times int64, after int) func(http.Handler) http.Handler {
	var left atomic.Int64
	left.Store(times)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") && left.Add(-1) >= 0 {
				w = &cutting{ResponseWriter: w, left: after}
			}
			next.ServeHTTP(w, q)
		})
	}
}

// ranges makes the registry understand a range without an end.
func ranges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if from, ok := strings.CutSuffix(q.Header.Get("Range"), "-"); ok {
			head := httptest.NewRecorder()
			next.ServeHTTP(head, httptest.NewRequest(http.MethodHead, q.URL.String(), http.NoBody))
			size, _ := strconv.Atoi(head.Header().Get("Content-Length"))
			q.Header.Set("Range", from+"-"+strconv.Itoa(size-1))
		}
		next.ServeHTTP(w, q)
	})
}

type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left < len(p) {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func TestRegistryThatCutsOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(http.Handler) http.Handler
		works   bool
	}{
		"sometimes":                    {cutsOff(3, 100_000), true}, // and cannot send the rest: all over again
		"always, and sends the rest":   {func(next http.Handler) http.Handler { return ranges(cutsOff(1<<40, 500_000)(next)) }, true},
		"always, and sends no rest":    {cutsOff(1<<40, 100_000), false},
		"always, before anything came": {cutsOff(1<<40, 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := openStore(t, newest(t)), newRegistry(t, c.between)
			ref := r.push(t, "big:1", image(t, runtime.GOARCH, 2_000_000))
			err := s.Pull(t.Context(), ref, nil)
			if !c.works {
				wantKind(t, err, sessions.ErrUnavailable, r.host)
				s.nothingLeft(t)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RemoveImage(t.Context(), ref); err != nil {
				t.Error(err)
			}
			s.nothingLeft(t)
		})
	}
}

func TestRegistryThatFails(t *testing.T) {
	failing := func(path string, status int) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if q.Method != http.MethodPost && strings.Contains(q.URL.Path, path) {
					w.WriteHeader(status)
					return
				}
				next.ServeHTTP(w, q)
			})
		}
	}
	s := openStore(t, newest(t))
	for text, between := range map[string]func(http.Handler) http.Handler{
		"lacks a part":  failing("/blobs/", http.StatusNotFound),
		"500":           failing("/manifests/", http.StatusInternalServerError),
		"no more pulls": failing("/manifests/", http.StatusTooManyRequests),
	} {
		r := newRegistry(t, between)
		wantKind(t, s.Pull(t.Context(), r.push(t, "x:1", image(t, runtime.GOARCH, 1000)), nil), sessions.ErrUnavailable, text)
	}
	s.nothingLeft(t)
}

// gate holds layers back after their first bytes until it is opened.
type gate struct {
	reached chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}, 10), open: make(chan struct{})} }

func (g *gate) between(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
			w = &gated{ResponseWriter: w, gate: g, ctx: q.Context(), left: 100_000}
		}
		next.ServeHTTP(w, q)
	})
}

type gated struct {
	http.ResponseWriter
	gate *gate
	ctx  context.Context
	left int
}

func (g *gated) Write(p []byte) (int, error) {
	if g.left -= len(p); g.left > 0 {
		return g.ResponseWriter.Write(p)
	}
	_ = http.NewResponseController(g.ResponseWriter).Flush()
	select {
	case g.gate.reached <- struct{}{}:
	default:
	}
	select {
	case <-g.gate.open:
	case <-g.ctx.Done():
	}
	return g.ResponseWriter.Write(p)
}

func TestPullThatIsGivenUp(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		g := newGate()
		s, r := openStore(t, p), newRegistry(t, g.between)
		ref := r.push(t, "slow:1", image(t, runtime.GOARCH, 2_000_000))
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Pull(ctx, ref, nil) }()
		<-g.reached
		why := errors.New("the session is not wanted any more")
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("%v", err)
		}
		s.nothingLeft(t)
	})
}

// TestManyWantTheSame: one pull serves them all, and goes on when one of them leaves.
func TestManyWantTheSame(t *testing.T) {
	g := newGate()
	s, r := openStore(t, newest(t)), newRegistry(t, g.between)
	ref := r.push(t, "slow:1", image(t, runtime.GOARCH, 2_000_000))
	ctx, cancel := context.WithCancel(t.Context())
	first, rest := make(chan error, 1), make(chan error, 9)
	go func() { first <- s.Pull(ctx, ref, nil) }()
	<-g.reached
	waiting := make(chan struct{}, 9)
	for range 9 {
		go func() {
			told := false
			rest <- s.Pull(t.Context(), ref, func(sessions.Progress) {
				if !told {
					told = true
					waiting <- struct{}{}
				}
			})
		}()
	}
	for range 9 {
		<-waiting
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v", err)
	}
	close(g.open)
	for range 9 {
		if err := <-rest; err != nil {
			t.Error(err)
		}
	}
	// The manifest by HEAD and by GET, the settings, the layer.
	if n := r.requests.Load(); n > 6 {
		t.Errorf("%d requests for one image", n)
	}
}

// TestDiskFull: containerd's disk is a small one.
func TestDiskFull(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		t.Parallel()
		dir := containerdtest.Dir(t)
		if err := os.MkdirAll(filepath.Join(dir, "root"), 0o711); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", filepath.Join(dir, "root"), "tmpfs", 0, "size=12m"); err != nil {
			t.Fatal(err)
		}
		s, r := openStoreIn(t, p, dir), newRegistry(t, nil)
		small := r.push(t, "small:1", image(t, runtime.GOARCH, 1_000_000))
		for name, sizes := range map[string][]int{
			"in the download:1": {20_000_000}, "unpacking:1": {7_000_000}, "several:1": {3_000_000, 3_000_000, 3_000_000, 3_000_000},
		} {
			ref := r.push(t, strings.ReplaceAll(name, " ", "-"), image(t, runtime.GOARCH, sizes...))
			err := s.Pull(t.Context(), ref, nil)
			wantKind(t, err, syscall.ENOSPC, "is full")
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("too long: %v", err)
			}
			s.nothingLeft(t)
		}
		if err := s.Pull(t.Context(), small, nil); err != nil {
			t.Errorf("what fits: %v", err)
		}
	})
}

// TestDaemonThatDiedInMidPull: the next one ends what it has left.
func TestDaemonThatDiedInMidPull(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		g := newGate()
		s, r := openStore(t, p), newRegistry(t, g.between)
		ref := r.push(t, "slow:1", image(t, runtime.GOARCH, 2_000_000))
		dead := s.Runtime
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- dead.Pull(ctx, ref, nil) }()
		<-g.reached
		// It cannot speak to containerd any more, as after SIGKILL.
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
		if len(s.left(t)) == 0 {
			t.Fatal("nothing was left to be swept")
		}
		s.reopen(t)
		s.nothingLeft(t)
	})
}

func TestPullWithoutContainerd(t *testing.T) {
	t.Parallel()
	s, r := openStoreIn(t, newest(t), containerdtest.Dir(t)), newRegistry(t, nil)
	ref := r.push(t, "x:1", image(t, runtime.GOARCH, 1000))
	if err := s.daemon.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, call := range map[string]func() error{
		"pull":   func() error { return s.Pull(ctx, ref, nil) },
		"list":   func() error { _, err := s.Images(ctx); return err },
		"import": func() error { _, err := s.Import(ctx, strings.NewReader("x")); return err },
		"export": func() error { return s.Export(ctx, ref, io.Discard) },
		"remove": func() error { return s.RemoveImage(ctx, ref) },
	} {
		if err := call(); !errors.Is(err, sessions.ErrRuntimeDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrune(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	var refs []string
	for _, name := range []string{"a:1", "b:1"} {
		ref := r.push(t, name, image(t, runtime.GOARCH, 1000))
		if err := s.Pull(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	nobody := func(string) bool { return false }
	if got, err := s.Prune(t.Context(), nobody, time.Hour, time.Now()); err != nil || len(got) != 0 {
		t.Errorf("%v, %v: they are new", got, err)
	}
	later := time.Now().Add(2 * time.Hour)
	got, err := s.Prune(t.Context(), func(name string) bool { return name == refs[0] }, time.Hour, later)
	if err != nil || len(got) != 1 || got[0].Name != refs[1] || got[0].Size == 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := s.Prune(t.Context(), nobody, time.Hour, later); err != nil {
		t.Error(err)
	}
	s.nothingLeft(t)
}

// TestPruneBesideStarts: what is pulled and started while images are pruned starts.
func TestPruneBesideStarts(t *testing.T) {
	b := newBox(t, newest(t))
	r := newRegistry(t, nil)
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(archive(t, testImage, v1.Config{})), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := r.push(t, "busybox:1", img)
	stop := make(chan struct{})
	var pruning, starting sync.WaitGroup
	pruning.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := b.Prune(bounded(t), func(name string) bool { return name != ref }, 0, time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 4 {
		starting.Go(func() {
			for n := range 3 {
				s := spec(fmt.Sprintf("s%d-%d", i, n), "true")
				s.Image = ref
				if err := b.Pull(bounded(t), ref, nil); err != nil {
					t.Error(err)
				}
				if _, err := b.Start(bounded(t), s); err != nil {
					t.Error(err)
					return
				}
				if _, err := b.Wait(bounded(t), s.ID); err != nil {
					t.Error(err)
				}
				if err := b.Remove(bounded(t), s.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	starting.Wait()
	close(stop)
	pruning.Wait()
}

// TestLayerOfNoKind is an image whose layer is of a type that nobody knows.
func TestLayerOfNoKind(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	img, err := mutate.AppendLayers(image(t, runtime.GOARCH, 1000), static.NewLayer([]byte("junk"), types.DockerLayer))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Pull(t.Context(), r.push(t, "junk:1", img), nil); err == nil {
		t.Error("junk was unpacked")
	}
	s.nothingLeft(t)
}
