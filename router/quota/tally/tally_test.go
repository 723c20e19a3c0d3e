package tally

import (
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// Two boxes, one request a minute: the second is refused wherever it lands, and whatever their clocks say.
func TestOneAMinuteOverTwoBoxes(t *testing.T) {
	s := newServer(t)
	limits := quota.Limits{RequestsPerMinute: 1}
	a, b := newBox(t, s.socket, limits), newBox(t, s.socket, limits)
	b.off = 5 * time.Minute
	together(t, a, b)
	g, _, ok := a.take(0)
	if !ok {
		t.Fatal("the first was refused")
	}
	for _, one := range []*box{b, a, b} {
		_, r, ok := one.take(0)
		if ok || r.Kind != quota.Requests || r.RetryAfter < 55*time.Second || r.RetryAfter > time.Minute {
			t.Errorf("%v %+v", ok, r)
		}
		if st := one.payers.State(one.now()); st.Requests.Remaining != 0 || st.Requests.Reset < 55*time.Second {
			t.Errorf("%+v", st)
		}
	}
	g.Settle(a.now(), 0)
	s.ahead(60)
	if _, _, ok := b.take(0); !ok {
		t.Error("a minute later it was refused too")
	}
}

// Each way in which Redis may go: the box that has let the only one in and the one that heard of it let no other in, and it is
// so again when it is back.
func TestRedisGoesAndComesBack(t *testing.T) {
	limits := quota.Limits{RequestsPerMinute: 1}
	for _, c := range []struct {
		name   string
		break1 func(s *server)
		mend   func(s *server)
	}{
		{"killed, back empty", func(s *server) { s.kill() }, func(s *server) { s.start() }},
		{"frozen", func(s *server) { s.signal(syscall.SIGSTOP) }, func(s *server) { s.signal(syscall.SIGCONT) }},
		{"emptied", func(s *server) { s.client.FlushAll(s.t.Context()) }, func(*server) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			quick := func(o *Options) { o.Bound = 200 * time.Millisecond }
			a, b := newBox(t, s.socket, limits, quick), newBox(t, s.socket, limits, quick)
			together(t, a, b)
			if _, _, ok := a.take(0); !ok {
				t.Fatal("the first was refused")
			}
			if _, _, ok := b.take(0); ok {
				t.Fatal("the second was let in")
			}
			c.break1(s)
			for _, one := range []*box{a, b, a} {
				if _, r, ok := one.take(0); ok || r.Kind != quota.Requests {
					t.Errorf("let in while Redis was gone: %+v", r)
				}
			}
			c.mend(s)
			together(t, a, b)
			for _, one := range []*box{b, a} {
				if _, r, ok := one.take(0); ok || r.Boxes != 0 {
					t.Errorf("let in when Redis was back: %+v", r)
				}
			}
		})
	}
}

// Scripts that are gone are no fault: they are told again in the same trip's time.
func TestScriptsFlushed(t *testing.T) {
	s := newServer(t)
	a := newBox(t, s.socket, quota.Limits{RequestsPerMinute: 3})
	together(t, a)
	for range 3 {
		if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := a.take(0); !ok {
			t.Error("refused")
		}
	}
	if _, _, ok := a.take(0); ok || a.Status().Mode != Together {
		t.Errorf("%v %+v", ok, a.Status())
	}
}
