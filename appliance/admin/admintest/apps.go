package admintest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

// The ports of every session there: one that sends back what comes, and one that answers HTTP. Nobody listens at others.
const (
	PortEcho = 7
	PortHTTP = 8000
)

// Dial implements apps.Sessions.
func (m *Manager) Dial(_ context.Context, project, ref string, port int) (net.Conn, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	if s.Status != sessions.StatusRunning {
		return nil, sessions.NotRunning(s)
	}
	here, there := net.Pipe()
	switch port {
	case PortEcho:
		go func() {
			_, _ = io.Copy(there, there) // until the other side ends it
			there.Close()
		}()
	case PortHTTP:
		go func() {
			defer there.Close()
			if r, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
				text := r.Method + " " + r.URL.RequestURI() + "\n"
				fmt.Fprintf(there, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
			}
		}()
	default:
		here.Close()
		there.Close()
		return nil, fmt.Errorf("port %d of session %s: %w", port, s.Name, sessions.ErrRefused)
	}
	return here, nil
}

func newApps(a *Appliance, log *slog.Logger) (*apps.Apps, error) {
	return apps.New(apps.Deps{
		Sessions: a.Manager, Key: make([]byte, 32), URL: "http://127.0.0.1:8080",
		Who: func(r *http.Request) (apps.Actor, bool) {
			actor, _ := a.Rights().Identify(r, nil) // only who it is counts here
			return apps.Actor{Name: actor.Name, User: actor.User.Name, Key: actor.Key}, actor.Via != ""
		},
		Good: func(string) bool { return true },
		May: func(by apps.Actor, s sessions.Session) bool {
			actor, may := a.Rights().Again(admin.ActorOf(by.Name, by.User, by.Key))
			return may && a.Rights().Enters(actor, s)
		},
		Log: log, Now: time.Now,
	})
}
