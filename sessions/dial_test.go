package sessions_test

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/palisade-run/palisade/sessions"
)

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer w.halt()
		s := w.create(job("dial", func(r *sessions.SessionRequest) { r.Task.Ports = []int{8000} }))
		w.person(s.ID, sessions.StatusRunning)
		dial := func(ref string, port int) error {
			c, err := w.m.Dial(t.Context(), "default", ref, port)
			if err == nil {
				c.Close()
			}
			return err
		}
		w.runtime.OnDial(func(id string, port int) (net.Conn, error) {
			if id != s.ID || port != 8000 {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			here, there := net.Pipe()
			there.Close()
			return here, nil
		})
		for what, c := range map[string]struct {
			ref  string
			port int
			want error
		}{
			"by its name":      {"dial", 8000, nil},
			"by its id":        {s.ID, 8000, nil},
			"nobody listens":   {"dial", 8001, sessions.ErrRefused},
			"no such port":     {"dial", 0, sessions.ErrInvalid},
			"too high a port":  {"dial", 65536, sessions.ErrInvalid},
			"no such session":  {"b", 8000, sessions.ErrNotFound},
			"of another (box)": {"dial", 22, sessions.ErrRefused},
		} {
			if err := dial(c.ref, c.port); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", what, err, c.want)
			}
		}

		// What shares the box's network is reached where it has said so alone.
		w.runtime.OnDial(func(string, int) (net.Conn, error) { return nil, sessions.ErrSharedNetwork })
		err := dial("dial", 8001)
		hint, ok := errors.AsType[interface {
			error
			Hint() string
		}](err)
		if !errors.Is(err, sessions.ErrForbidden) || !ok || !strings.Contains(hint.Hint(), "--preopen 8001") {
			t.Errorf("an undeclared port of the box: %v", err)
		}

		w.exit(s.ID, sessions.ExitCompleted, 0)
		if err := dial(s.ID, 8000); !errors.Is(err, sessions.ErrForbidden) {
			t.Errorf("of one that has ended: %v", err)
		}
	})
}
