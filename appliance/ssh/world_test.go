package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/sessions"
)

// box is a world of a few sessions, in which a test runs the commands.
type box struct {
	exec func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error)
	dial func(port int) (net.Conn, error)

	mu   sync.Mutex
	all  []sessions.Session
	keys map[string]authorized.Key
	used []string
	came func() // told of each that comes in; nil: nobody is
}

func (b *box) Sessions(project string, f sessions.SessionFilter) (out []sessions.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.all {
		if (project == "" || s.Project == project) && (!f.Live || s.Alive()) && (f.Service == "" || s.ServiceID == f.Service) {
			out = append(out, s)
		}
	}
	return out
}

func (b *box) Session(project, ref string) (found sessions.Session, err error) {
	err = fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
	for _, s := range b.Sessions(project, sessions.SessionFilter{}) {
		if s.ID == ref || s.Name == ref && (err != nil || s.Alive()) {
			found, err = s, nil
		}
	}
	return found, err
}

func (b *box) Exec(ctx context.Context, _, _ string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	return b.exec(ctx, cmd)
}

func (b *box) Dial(_ context.Context, _, _ string, port int) (net.Conn, error) { return b.dial(port) }

func (b *box) Find(public xssh.PublicKey) (authorized.Key, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, known := b.keys[xssh.FingerprintSHA256(public)]
	return k, known
}

func (b *box) Used(_ context.Context, id string) error {
	if b.came != nil {
		b.came()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used = append(b.used, id)
	return errors.New("the disk is full") // lets nobody wait outside
}

func TestResolve(t *testing.T) {
	session := func(id, name, project string, status sessions.Status) sessions.Session {
		return sessions.Session{ID: id, Name: name, Project: project, Status: status, Type: sessions.TypeInteractive}
	}
	route := session("ses-route", "chat-1", "default", sessions.StatusRunning)
	route.Type, route.ServiceID = sessions.TypeInference, "chat"
	w := &box{all: []sessions.Session{
		session("ses-1", "desk", "default", sessions.StatusRunning), session("ses-2", "desk", "research", sessions.StatusRunning),
		session("ses-3", "bench", "research", sessions.StatusRunning), session("ses-4", "bench", "lab", sessions.StatusRunning),
		session("ses-5", "one.two", "lab", sessions.StatusPending), session("ses-6", "old", "default", sessions.StatusTerminated), route,
	}}
	everywhere, research := authorized.Key{Name: "laptop"}, authorized.Key{Name: "laptop", Project: "research"}
	for _, tt := range []struct {
		key  authorized.Key
		name string
		want string // an id, or part of the refusal and its hint
	}{
		{everywhere, "desk", "ses-1"}, {everywhere, "ses-2", "ses-2"}, {everywhere, "desk.research", "ses-2"},
		{everywhere, "bench", "several projects have a session bench (say which: bench.lab, bench.research)"},
		{everywhere, "bench.lab", "ses-4"}, {everywhere, "one.two", "ses-5"}, {everywhere, "one.two.lab", "ses-5"}, {everywhere, "old", "ses-6"},
		{research, "desk", "ses-2"}, {research, "bench", "ses-3"}, {research, "desk.research", "ses-2"},
		{research, "ses-1", `there is no session "ses-1" (there are: bench, desk)`},
		{research, "desk.default", "the key laptop opens the sessions of project research alone (add another key for that project: palisade ssh-key add --project default)"},
		{everywhere, "chat", `"chat" is a service (name one of its routes: ses-route)`}, {everywhere, "chat-1", "ses-route"},
		{everywhere, "nobody.nowhere", `there is no session "nobody.nowhere"`}, {everywhere, "", `there is no session ""`}, {everywhere, ".", `there is no session "."`},
		{authorized.Key{Project: "empty"}, "desk", "none lives now"},
	} {
		s, err := resolve(w, tt.key, tt.name)
		got := s.ID
		if err != nil {
			got = withHint(err)
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%q with a key of %q: %s, want %s", tt.name, tt.key.Project, got, tt.want)
		}
	}
}

func TestWithin(t *testing.T) {
	s := sessions.Session{Name: "Desk", Address: "10.200.0.7:8000"}
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST.": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "[::1]": true, "": true, "0.0.0.0": true, "desk": true, "10.200.0.7": true,
		"10.200.0.8": false, "192.168.0.1": false, "example.com": false, "localhost.example.com": false, "::ffff:10.0.0.1": false, "2001:db8::1": false,
	} {
		if got := within(s, host); got != want {
			t.Errorf("%q is the session itself: %v", host, got)
		}
	}
}
