package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stream is a browser that reads.
type stream struct {
	mu   sync.Mutex
	text strings.Builder
	head http.Header
}

func (s *stream) Header() http.Header              { return s.head }
func (s *stream) WriteHeader(int)                  {}
func (s *stream) Flush()                           {}
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *stream) parts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "event: part\n")
}

type bench struct {
	hub     *Hub
	changed atomic.Pointer[chan struct{}]
	renders atomic.Int32
	value   atomic.Int32
}

func newBench(ctx context.Context) *bench {
	b := &bench{}
	ch := make(chan struct{})
	b.changed.Store(&ch)
	b.hub = NewHub(func() <-chan struct{} { return *b.changed.Load() })
	go b.hub.Run(ctx)
	return b
}

func (b *bench) change() {
	b.value.Add(1)
	next := make(chan struct{})
	close(*b.changed.Swap(&next))
}

func (b *bench) watch(ctx context.Context, key Key, alive func() error) *stream {
	s := &stream{head: http.Header{}}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	go b.hub.Serve(s, r, Watch{Key: key, Alive: alive, Render: func() ([]Part, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.renders.Add(1)
		return []Part{{"live-a", []byte("<p id=live-a>\nsame</p>")}, {"live-b", fmt.Appendf(nil, "<p id=live-b>%d</p>", b.value.Load())}}, nil
	}})
	return s
}

func fine() error { return nil }

func TestOneRenderingServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		var all []*stream
		for range 50 {
			all = append(all, b.watch(t.Context(), Key{Page: "/", Standing: "viewer"}, fine))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		before := b.renders.Load()
		b.change()
		time.Sleep(settle + time.Millisecond)
		synctest.Wait()
		if n := b.renders.Load() - before; n != 1 {
			t.Errorf("%d renderings for one change seen by 50", n)
		}
		for _, s := range all {
			if s.parts() != 3 { // both at first, then the one that differs
				t.Fatalf("%d parts:\n%s", s.parts(), s.text.String())
			}
		}
	})
}

func TestWhoGoesTakesNothingAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		first, leave := context.WithCancel(t.Context())
		b.watch(first, Key{Page: "/"}, fine)
		second := b.watch(t.Context(), Key{Page: "/"}, fine)
		time.Sleep(time.Second)
		leave()
		synctest.Wait()
		before := second.parts()
		b.change()
		time.Sleep(time.Second)
		synctest.Wait()
		if second.parts() != before+1 {
			t.Errorf("the page that stayed got %d parts after %d", second.parts(), before)
		}
	})
}

func TestNobodyLooksNothingIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		ctx, leave := context.WithCancel(t.Context())
		b.watch(ctx, Key{Page: "/"}, fine)
		time.Sleep(time.Second)
		leave()
		synctest.Wait()
		time.Sleep(every)
		before := b.renders.Load()
		for range 10 {
			b.change()
			time.Sleep(time.Minute)
		}
		if n := b.renders.Load() - before; n != 0 {
			t.Errorf("%d renderings for nobody", n)
		}
	})
}

func TestWhoMayNoLongerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		var out atomic.Bool
		s := b.watch(t.Context(), Key{Page: "/"}, func() error {
			if out.Load() {
				return errors.New("logged out")
			}
			return nil
		})
		time.Sleep(recheck + time.Second)
		out.Store(true)
		time.Sleep(recheck)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.HasSuffix(s.text.String(), "event: gone\ndata: gone\n\n") {
			t.Errorf("%q", s.text.String())
		}
		if !strings.Contains(s.text.String(), "data: <p id=live-a>\ndata: same</p>\n\n") {
			t.Errorf("lines of a part: %q", s.text.String())
		}
	})
}

// TestNobodyHasAll: one person's pages are bounded, and those of others are followed all the same.
func TestNobodyHasAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		open := func(ctx context.Context, who string, n int) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			go b.hub.Serve(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), Watch{
				Key: Key{Page: fmt.Sprint("/?x=", n)}, Who: who, Alive: fine, Render: func() ([]Part, error) { return nil, nil },
			})
			synctest.Wait()
			return w
		}
		ctx, leave := context.WithCancel(t.Context())
		for n := range mostOfOne {
			if w := open(ctx, "eve", n); w.Code != http.StatusOK {
				t.Fatalf("page %d: %d", n, w.Code)
			}
		}
		if w := open(t.Context(), "eve", mostOfOne); w.Code != http.StatusTooManyRequests {
			t.Errorf("one more than there may be: %d", w.Code)
		}
		if w := open(t.Context(), "bob", 1); w.Code != http.StatusOK {
			t.Errorf("somebody else: %d", w.Code)
		}
		leave()
		synctest.Wait()
		if w := open(t.Context(), "eve", 1); w.Code != http.StatusOK {
			t.Errorf("when the others are shut: %d", w.Code)
		}
	})
}

func TestDue(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		v    view
		open int
		want time.Duration
	}{
		"figures move":                         {view{}, 1, every},
		"something changed":                    {view{stale: true}, 1, least},
		"nothing differed":                     {view{quiet: 1}, 1, 2 * every},
		"nothing differs for long":             {view{quiet: 100}, 1, quietest * every},
		"a cheap one of many":                  {view{stale: true, cost: time.Millisecond}, 200, 4 * time.Second},
		"a dear one alone":                     {view{stale: true, cost: 200 * time.Millisecond}, 1, 4 * time.Second},
		"a dear one of many waits, but not on": {view{stale: true, cost: time.Second}, 200, rarest},
	} {
		if c.v.done = at; c.v.due(c.open).Sub(at) != c.want {
			t.Errorf("%s: after %s, want %s", name, c.v.due(c.open).Sub(at), c.want)
		}
	}
	if v := (view{}); v.due(1).After(at) {
		t.Error("what was never made waits")
	}
}

// TestChangesThatDoNotEnd: however often something changes, a page is made anew once a second at most, and shows the last of it.
func TestChangesThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		s := b.watch(t.Context(), Key{Page: "/"}, fine)
		time.Sleep(time.Second)
		before := b.renders.Load()
		for range 1000 {
			b.change()
			time.Sleep(10 * time.Millisecond)
		}
		if n := b.renders.Load() - before; n < 6 || n > 10 {
			t.Errorf("%d renderings in 10 s of changes", n)
		}
		time.Sleep(least + settle)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.Contains(s.text.String(), fmt.Sprintf("<p id=live-b>%d</p>", b.value.Load())) {
			t.Error("the last change is not shown")
		}
	})
}

// TestManyPagesTakeTheirShare: 200 pages of which each takes 5 ms, with changes all the while, take a twentieth of the time.
func TestManyPagesTakeTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t.Context())
		var busy atomic.Int64
		for i := range 200 {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			go b.hub.Serve(&stream{head: http.Header{}}, r, Watch{Key: Key{Page: fmt.Sprint("/", i)}, Who: fmt.Sprint(i), Alive: fine, Render: func() ([]Part, error) {
				time.Sleep(5 * time.Millisecond)
				busy.Add(int64(5 * time.Millisecond))
				return []Part{{"live-a", fmt.Append(nil, b.value.Load())}}, nil
			}})
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := busy.Load()
		for range 1000 {
			b.change()
			time.Sleep(100 * time.Millisecond)
		}
		if part := float64(busy.Load()-before) / float64(100*time.Second); part < 0.03 || part > 0.06 {
			t.Errorf("rendering takes %.3f of the time", part)
		}
	})
}
