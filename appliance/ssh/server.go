package ssh

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// The bounds of connections.
const (
	loginGrace   = 30 * time.Second // from the first byte until somebody is in
	worldGrace   = 15 * time.Second // for the daemon that is just starting
	keepAlive    = 15 * time.Second // how often a client is asked whether it is there
	keepPatience = 30 * time.Second // for its answer
	mostOpen     = 1000             // connections at a time
)

// Server answers connections. It outlives the lives of the daemon: each gives it its World.
type Server struct {
	host xssh.Signer
	log  *slog.Logger
	door *guard

	mu      sync.Mutex
	world   *World
	opened  chan struct{} // closed while there is a world
	conns   map[*connection]struct{}
	removed map[string]struct{} // ids of keys, for who is coming in with one
	changed chan struct{}       // closed and made anew when a connection ends
	leaving bool                // nobody new comes: connections on which nothing happens are closed
	ended   error               // why there are no more
}

// New makes a server that shows host as its key. Nobody is let in before Enter.
func New(host xssh.Signer, log *slog.Logger) *Server {
	return &Server{
		host: host, log: log, door: newGuard(), opened: make(chan struct{}),
		conns: map[*connection]struct{}{}, removed: map[string]struct{}{}, changed: make(chan struct{}),
	}
}

// HostKey is what clients are shown.
func (s *Server) HostKey() xssh.PublicKey { return s.host.PublicKey() }

// Enter lets people into a world. Those who are in another one stay there.
func (s *Server) Enter(w World) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world == nil {
		close(s.opened)
	}
	s.world, s.leaving = &w, false
}

// Leave lets nobody in any more, until Enter: who comes waits a while. Connections go on.
func (s *Server) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world != nil {
		s.world, s.opened = nil, make(chan struct{})
	}
}

// Serve answers connections of l until that is closed, which is its error.
func (s *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || isShortage(err) {
			time.Sleep(100 * time.Millisecond) // descriptors come back
			continue
		}
		if err != nil {
			return err
		}
		go s.answer(conn)
	}
}

// answer is one connection's life.
func (s *Server) answer(conn net.Conn) {
	defer conn.Close()
	from := addressOf(conn)
	leave, err := s.door.enter(from, time.Now())
	if err != nil {
		s.log.Debug("an SSH connection is refused", "address", from, "error", err)
		return
	}
	defer leave()
	w := s.await()
	if w == nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(loginGrace))
	in := &login{server: s, world: w, from: from}
	crypt, channels, requests, err := xssh.NewServerConn(conn, in.config())
	if err != nil {
		in.refused(err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	leave()
	s.door.welcome(from)
	c := newConnection(s, w, crypt, in.key)
	if err := s.join(c); err != nil {
		s.log.Warn("somebody with a good key was not let in by SSH", "key", in.key.Name, "owner", in.key.Owner, "address", from, "error", err)
		c.refuse(channels, requests, err)
		return
	}
	s.log.Info("somebody came in by SSH", "key", in.key.Name, "owner", in.key.Owner, "address", from, "session", clip(crypt.User()))
	defer s.part(c)
	c.serve(channels, requests)
}

// await returns the world once there is one; nil: not within a moment.
func (s *Server) await() *World {
	late := time.NewTimer(worldGrace)
	defer late.Stop()
	for {
		s.mu.Lock()
		w, opened, ended := s.world, s.opened, s.ended
		s.mu.Unlock()
		switch {
		case ended != nil:
			return nil
		case w != nil:
			return w
		}
		select {
		case <-opened:
		case <-late.C:
			return nil
		}
	}
}

func (s *Server) join(c *connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, removed := s.removed[c.key.ID]
	switch {
	case s.ended != nil:
		return s.ended
	case removed: // between the log-in and now
		return errRemoved
	case len(s.conns) >= mostOpen:
		return errors.New("there are too many connections")
	}
	s.conns[c] = struct{}{}
	if s.leaving { // it was coming in when Drain looked
		c.closeIdle()
	}
	return nil
}

func (s *Server) part(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Count is how many people are connected.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) each(do func(*connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		do(c)
	}
}

// Drop sends away who came with a key, and who is coming in with it: whatever World was asked before may still know it. A key's
// id is never used again.
func (s *Server) Drop(key string) {
	s.mu.Lock()
	s.removed[key] = struct{}{}
	s.mu.Unlock()
	s.each(func(c *connection) {
		if c.key.ID == key {
			c.end(errRemoved)
		}
	})
}

// errRemoved says why somebody is sent away.
var errRemoved = errors.New("the key with which you came was removed")

// Drain returns when nobody is connected any more, or with ctx's cause. Connections on which nothing happens are closed, for
// whoever takes new ones is another process.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	s.each(func(c *connection) { c.closeIdle() })
	return s.wait(ctx)
}

func (s *Server) wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		n, changed := len(s.conns), s.changed
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *Server) isLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// End tells everybody why, and returns when all know or ctx ends; what is left is cut off then. Nobody comes in any more.
func (s *Server) End(ctx context.Context, why error) {
	s.mu.Lock()
	s.ended = why
	if s.world == nil {
		close(s.opened) // for who waits for one
		s.world = &World{}
	}
	s.mu.Unlock()
	s.each(func(c *connection) { c.end(why) })
	if s.wait(ctx) != nil {
		s.each(func(c *connection) { _ = c.crypt.Close() })
	}
}
