package door

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a connection to nobody.
func wire(t *testing.T) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw := &socket{TCPConn: c.(*net.TCPConn)}
	t.Cleanup(func() { raw.TCPConn.Close() })
	return newConn(raw, tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS13}))
}

// A box that does not answer is connected to no more, and in the end what stands still is cut off, and nothing else; when it answers,
// all is as before. A box to which nothing is open is not asked.
func TestABoxThatIsFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		var frozen atomic.Bool
		var doubts atomic.Int32
		l := lifelines{of: map[string]*lifeline{}, doubt: func() { doubts.Add(1) }, ping: func(ctx context.Context, _ string) error {
			asked.Add(1)
			if frozen.Load() {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}}
		over := map[string]bool{}
		still, moves := wire(t), wire(t)
		for name, c := range map[string]*Conn{"still": still, "moves": moves} {
			gone := l.add("box", c)
			c.over = func() { gone(); over[name] = true }
		}
		time.Sleep(time.Hour)
		if n := asked.Load(); n < 100 || len(over) > 0 || l.silent("box") != nil || l.doubted("box", doubtedAfter) || doubts.Load() > 0 {
			t.Fatalf("after an hour: asked %d times, %v, %v, doubted %v", n, over, l.silent("box"), l.doubted("box", doubtedAfter))
		}
		frozen.Store(true)
		time.Sleep(pingEvery + pingPatience)
		synctest.Wait()
		if !l.doubted("box", doubtedAfter) || doubts.Load() != 1 || l.doubted("box", silentAfter) || l.silent("box") != nil {
			t.Errorf("it did not answer once: doubted %v, %v", l.doubted("box", doubtedAfter), l.silent("box"))
		}
		time.Sleep((silentAfter + 1) * (pingEvery + pingPatience))
		if err := l.silent("box"); !errors.Is(err, ErrAway) || !l.doubted("box", silentAfter) || doubts.Load() != 2 {
			t.Errorf("connections to it are waited for: %v, told %d times", err, doubts.Load())
		}
		for range cutAfter + 1 {
			moves.moved.Store(time.Now().UnixNano())
			time.Sleep(pingEvery + pingPatience)
		}
		synctest.Wait()
		if !over["still"] || over["moves"] {
			t.Errorf("cut off: %v", over)
		}
		frozen.Store(false)
		time.Sleep(pingEvery + pingPatience)
		synctest.Wait()
		if err := l.silent("box"); err != nil {
			t.Errorf("it answers: %v", err)
		}
		if l.doubted("box", doubtedAfter) || doubts.Load() != 3 {
			t.Errorf("it answers, and is doubted: %v, told %d times", l.doubted("box", doubtedAfter), doubts.Load())
		}
		moves.Break()
		time.Sleep(pingEvery)
		synctest.Wait()
		n := asked.Load()
		time.Sleep(time.Hour)
		if asked.Load() != n || len(l.of) > 0 {
			t.Error("it is asked on, though nothing is open to it")
		}

		frozen.Store(true)
		l.missed("box", time.Now(), errors.New("nobody"))
		if err := l.silent("box"); err == nil {
			t.Error("who comes next waits in vain, too")
		}
		frozen.Store(false)
		time.Sleep(2 * pingEvery)
		synctest.Wait()
		if len(l.of) > 0 {
			t.Error("it is asked on")
		}
	})
}

// A request to a box that falls silent ends, and so does an answer of which nothing comes; one that still comes does not. What is
// open to a box that is no node any more ends at once.
func TestRequestsToABoxThatIsFrozen(t *testing.T) {
	for what, fails := range map[string]error{"frozen": errors.New("no answer"), "removed": errGone} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lifelines{of: map[string]*lifeline{}, ping: func(context.Context, string) error { return fails }}
				ended := make(chan error, 3)
				unanswered := func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				halfWay := func(r *http.Request) (*http.Response, error) {
					in, out := io.Pipe()
					context.AfterFunc(r.Context(), func() { _ = out.CloseWithError(r.Context().Err()) })
					return &http.Response{Body: in}, nil
				}
				upgraded := func(*http.Request) (*http.Response, error) {
					mine, others := net.Pipe()
					t.Cleanup(func() { _ = others.Close() })
					return &http.Response{Body: mine}, nil
				}
				for _, next := range []func(*http.Request) (*http.Response, error){unanswered, halfWay, upgraded} {
					go func() {
						answer, err := l.exchange("box", httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), next)
						if err == nil {
							_, err = io.ReadAll(answer.Body)
							_ = answer.Body.Close()
						}
						ended <- err
					}()
				}
				time.Sleep(pingEvery * (cutAfter + 1))
				synctest.Wait()
				for range cap(ended) {
					select {
					case err := <-ended:
						if !errors.Is(err, ErrAway) {
							t.Errorf("it ended by %v", err)
						}
					default:
						t.Fatal("it has not ended")
					}
				}
				for _, one := range l.of {
					if len(one.open) > 0 {
						t.Error("it is watched still")
					}
				}
			})
		})
	}
}
