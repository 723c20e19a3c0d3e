package tally

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/palisade-run/palisade/router/quota"
)

// server is a real redis-server of one test, on a socket of its own, with nothing on the disk.
type server struct {
	t      testing.TB
	socket string
	cmd    *exec.Cmd
	client *redis.Client
}

func newServer(t testing.TB) *server {
	quiet()
	t.Helper()
	dir, err := os.MkdirTemp("", "pq")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, socket: filepath.Join(dir, "s")}
	s.client = redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, MaxRetries: -1, DialerRetries: 1})
	s.start()
	t.Cleanup(func() {
		_ = s.client.Close()
		s.kill()
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(s.socket))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("%v: .ci/deps test installs it", err)
	}
	eventually(s.t, "redis-server answers", func() bool { return s.client.Ping(s.t.Context()).Err() == nil })
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *server) signal(sig syscall.Signal) {
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// ahead sets the seconds by which minutes are counted forth.
func (s *server) ahead(seconds int64) {
	s.t.Helper()
	if err := s.client.HIncrBy(s.t.Context(), "{palisade}:clock", "ahead", seconds).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// eventually polls, for what other processes and goroutines come to by themselves.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-timer.C:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// road is the way of one box to Redis, which may be cut, or become long.
type road struct {
	path  string
	to    string
	delay atomic.Int64                  // nanoseconds for each answer
	held  atomic.Pointer[chan struct{}] // answers wait until it is closed; nil: they do not
	shut  atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newRoad(t testing.TB, s *server, name string) *road {
	t.Helper()
	r := &road{path: filepath.Join(filepath.Dir(s.socket), name), to: s.socket, conns: map[net.Conn]struct{}{}}
	l, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.cut(true)
		all.Wait()
	})
	return r
}

func (r *road) carry(in net.Conn) {
	defer in.Close()
	if r.shut.Load() {
		return
	}
	out, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	r.conns[in], r.conns[out] = struct{}{}, struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, in)
		delete(r.conns, out)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := out.Read(buf)
		if d := time.Duration(r.delay.Load()); d > 0 {
			select {
			case <-time.After(d):
			case <-done: // who waits for it is gone
			}
		}
		if held := r.held.Load(); held != nil {
			select {
			case <-*held:
			case <-done:
			}
		}
		if _, werr := in.Write(buf[:n]); err != nil || werr != nil {
			break
		}
	}
	_ = in.Close()
	<-done
}

// cut ends what goes over the road; while it is cut nothing new does. Answers that are on their way are lost.
func (r *road) cut(is bool) {
	r.shut.Store(is)
	if !is {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// box is one of the boxes: a counter, the subjects that its router has, and its clock.
type box struct {
	*Counter
	off     time.Duration // of its clock
	clock   time.Duration // what a test has set all clocks forth
	payers  quota.Payers
	stop    context.CancelFunc
	stopped chan struct{}
}

func (b *box) now() time.Time { return time.Now().Add(b.off + b.clock) }

// take asks for one request that may use tokens.
func (b *box) take(tokens int64) (quota.Grant, quota.Refusal, bool) {
	ask := quota.Ask{}
	if tokens > 0 {
		ask = quota.Ask{Bytes: 1, Answer: tokens - 1}
	}
	return b.Take(b.now(), b.payers, ask)
}

// skip sets all clocks forth. What was settled before has come to Redis by then.
func (b *box) skip(s *server, d time.Duration) {
	_, _, _ = b.Take(b.now(), quota.Payers{quota.NewSubject("after all before", quota.Limits{Concurrent: 1}, 0, b.now())}, quota.Ask{})
	s.ahead(int64(d / time.Second))
	b.clock += d
}

// newBox makes one that shares limits with others at path, and waits until it does. Tests are patient where they do not
// measure: a box of two cores that compiles at the same time is slow.
func newBox(t testing.TB, path string, limits quota.Limits, more ...func(*Options)) *box {
	t.Helper()
	o := Options{URL: "unix://" + path, Box: "box", Bound: time.Second, Lease: 2 * time.Second, Settling: 300 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	for _, m := range more {
		m(&o)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &box{Counter: c, stop: stop, stopped: make(chan struct{})}
	b.payers[0] = quota.NewSubject(`token "ci"`, limits, 0, time.Now()).Keyed("token:ci")
	go func() {
		defer close(b.stopped)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-b.stopped
	})
	return b
}

// together waits until boxes share their limits, and know how many they are.
func together(t testing.TB, boxes ...*box) {
	t.Helper()
	for _, b := range boxes {
		eventually(t, "limits are shared", func() bool {
			st := b.Status()
			return st.Mode == Together && st.Boxes >= len(boxes)
		})
	}
}

// all is what Redis has of a subject, of all boxes.
func (s *server) all(t testing.TB, key string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for name, value := range s.client.HGetAll(t.Context(), "{palisade}:all:"+key).Val() {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}
