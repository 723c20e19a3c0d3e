// Package relay owns the addresses on this box's loopback by which sessions of other boxes are reached, so that a router, a probe
// or whoever reads an engine's figures need not know that a session is far away. Each is a listener; what connects to it goes
// through the door of the session's box, where it is of the user that this program runs as: others on this box are to come by the
// router, with a token. It must not know which sessions there are: it is told.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
)

// Target is a port of a session that runs on another box.
type Target struct {
	Node    string
	Session string
	Port    int
}

// Dial connects to a target. *door.Client has one.
type Dial func(ctx context.Context, node, session, port string) (door.Tunnel, error)

// Relays are all of this box.
type Relays struct {
	dial Dial
	log  *slog.Logger
	ctx  context.Context //nolint:containedctx // ends with the relays
	end  context.CancelFunc

	mu    sync.Mutex
	open  map[Target]*net.TCPListener
	hosts map[host]net.IP // of sessions whose ports have their own numbers here
	// warned is when it was said last that a connection was refused.
	warned map[Target]time.Time
	busy   sync.WaitGroup
}

// New makes relays that lead nowhere yet.
func New(dial Dial, log *slog.Logger) *Relays {
	r := &Relays{dial: dial, log: log, open: map[Target]*net.TCPListener{}, hosts: map[host]net.IP{}, warned: map[Target]time.Time{}}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// Address is where a target is reached from this box: HOST:PORT, the same until Keep gives the target up. A target that cannot be
// reached at the moment has one too: who connects is reset before anything is read, as by a box without that session.
func (r *Relays) Address(t Target) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.open[t]; l != nil {
		return l.Addr().String(), nil
	}
	if r.ctx.Err() != nil {
		return "", fmt.Errorf("reaching session %s on %s: %w", t.Session, t.Node, net.ErrClosed)
	}
	l, err := listen()
	if err != nil {
		return "", fmt.Errorf("reaching session %s on %s: %w", t.Session, t.Node, err)
	}
	r.open[t] = l
	r.busy.Go(func() { r.serve(l, t) })
	return l.Addr().String(), nil
}

// Keep closes what leads to targets that are not wanted any more. Connections that there are go on until one side ends them.
func (r *Relays) Keep(wanted func(Target) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(func(t Target) bool { return !wanted(t) })
}

// Close ends all of them, with the connections that there are, and returns when nothing of them is left.
func (r *Relays) Close() {
	r.end()
	r.Keep(func(Target) bool { return false })
	r.busy.Wait()
}

// blocks are the addresses that relays have: a good 20,000 ports each.
const blocks = 8

// listen takes a port that is free. What is on 127.0.0.1 is left to programs that people start.
func listen() (*net.TCPListener, error) {
	var last error
	for block := range blocks {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 77, 0, byte(block+1))})
		if err == nil {
			return l, nil
		}
		if last = err; !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break
		}
	}
	return nil, fmt.Errorf("listening on this box's loopback: %w", last)
}

// acceptPause is after a connection could not be taken: there are too many open files.
const acceptPause = 100 * time.Millisecond

func (r *Relays) serve(l *net.TCPListener, t Target) {
	port := strconv.Itoa(t.Port)
	for {
		c, err := l.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			r.log.Warn("a connection to another box cannot be taken", "node", t.Node, "session", t.Session, "error", err)
			select {
			case <-time.After(acceptPause):
			case <-r.ctx.Done():
			}
			continue
		}
		r.busy.Go(func() { r.pass(c, t, port) })
	}
}

// warnEvery is how often connections to one target that are refused are worth a warning: anybody on this box may make many.
const warnEvery = time.Minute

func (r *Relays) mayWarn(t Target, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.warned, func(_ Target, at time.Time) bool { return now.Sub(at) >= warnEvery })
	if _, is := r.warned[t]; is {
		return false
	}
	r.warned[t] = now
	return true
}

func (r *Relays) pass(c *net.TCPConn, t Target, port string) {
	if err := mine(c); err != nil {
		door.Reset(c)
		level := slog.LevelDebug
		if !errors.Is(err, errClosed) && r.mayWarn(t, time.Now()) {
			level = slog.LevelWarn
		}
		r.log.Log(r.ctx, level, "a connection to a session of another box is refused", "node", t.Node, "session", t.Session, "port", t.Port, "from", c.RemoteAddr(), "error", err)
		return
	}
	far, err := r.dial(r.ctx, t.Node, t.Session, port)
	if err != nil {
		door.Reset(c) // nothing of what it sent was read: it may be sent elsewhere
		r.log.Debug("a session of another box is not reached", "node", t.Node, "session", t.Session, "port", t.Port, "error", err)
		return
	}
	defer context.AfterFunc(r.ctx, func() {
		far.Break()
		door.Reset(c)
	})()
	door.Splice(far, c)
}
