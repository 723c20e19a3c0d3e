package ssh

import (
	"context"
	"errors"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/sessions"
)

// mostChannels is how many shells, commands and forwarded connections one connection may have at a time.
const mostChannels = 256

// endPatience is how long what runs on a connection may take to end, and its client to read why. One that reads nothing
// would keep a connection for ever that was to be ended.
const endPatience = 5 * time.Second

// partPatience is how long the last words may take to reach a client.
const partPatience = time.Second

// connection is somebody who came in, and stays with one session.
type connection struct {
	server *Server
	world  *World
	crypt  *xssh.ServerConn
	key    authorized.Key
	to     sessions.Session // as it was when they came
	wrong  error            // why there is no session for them

	ctx    context.Context //nolint:containedctx // the connection's life, which its channels share
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	channels int
	ending   bool
	all      sync.WaitGroup // its channels
}

func newConnection(s *Server, w *World, crypt *xssh.ServerConn, key authorized.Key) *connection {
	c := &connection{server: s, world: w, crypt: crypt, key: key}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	may := func(s sessions.Session) Part { return w.may(key, s) }
	if c.to, c.wrong = resolve(shown{w.Sessions, may}, key, crypt.User()); c.wrong == nil && may(c.to) != Enters {
		c.wrong = forOwners(c.to)
	}
	return c
}

// serve answers until the client goes.
func (c *connection) serve(channels <-chan xssh.NewChannel, requests <-chan *xssh.Request) {
	left := func() {}
	if c.wrong == nil && c.world.Accessed != nil {
		left = c.world.Accessed(c.to.ID)
	}
	defer left()
	go answerGlobal(requests)
	go c.keepAlive()
	for ch := range channels {
		c.open(ch)
	}
	c.cancel(errClientGone)
	c.all.Wait()
}

var (
	errClientGone = errors.New("the client has gone")
	errTakenAway  = errors.New("you may not enter this session any more")
)

// askEvery is how often it is asked again whether somebody may stay.
const askEvery = 5 * time.Second

// answerGlobal refuses what is asked of the connection as a whole: what listens in a session is reached from outside, but
// nobody listens there for a client. A refusal is also a sign of life.
func answerGlobal(requests <-chan *xssh.Request) {
	for r := range requests {
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

// keepAlive finds out that nobody is there any more, and keeps others on the way from taking the connection for dead.
func (c *connection) keepAlive() {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		select {
		case <-tick.C:
		case <-ask.C:
			if c.wrong == nil && (c.world.may(c.key, c.to) != Enters || c.world.Good != nil && !c.world.Good(c.key)) {
				c.end(errTakenAway)
				return
			}
			continue
		case <-c.ctx.Done():
			return
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _, _ = c.crypt.SendRequest("keepalive@openssh.com", true, nil)
		}()
		late := time.NewTimer(keepPatience)
		select {
		case <-answered:
		case <-late.C:
			_ = c.crypt.Close()
			return
		}
		late.Stop()
	}
}

// open answers the wish for a channel.
func (c *connection) open(ch xssh.NewChannel) {
	kinds := map[string]func(xssh.NewChannel){
		"session": c.session, "direct-tcpip": c.forwardPort, "direct-streamlocal@openssh.com": c.forwardSocket,
	}
	serve, known := kinds[ch.ChannelType()]
	if !known {
		_ = ch.Reject(xssh.UnknownChannelType, "there are no channels of that kind here")
		return
	}
	if !c.begin() {
		_ = ch.Reject(xssh.ResourceShortage, "this connection has as many channels as it may")
		return
	}
	go func() {
		defer c.finish()
		serve(ch)
	}()
}

func (c *connection) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channels >= mostChannels || c.ending {
		return false
	}
	c.channels++
	c.all.Add(1)
	return true
}

func (c *connection) finish() {
	c.all.Done()
	c.mu.Lock()
	c.channels--
	c.mu.Unlock()
	if c.server.isLeaving() {
		c.closeIdle()
	}
}

// closeIdle closes a connection on which nothing happens. A client that has just been told how its command ended is given a
// moment to go by itself.
func (c *connection) closeIdle() {
	c.mu.Lock()
	idle := c.channels == 0
	c.mu.Unlock()
	if !idle {
		return
	}
	go func() {
		late := time.NewTimer(partPatience)
		defer late.Stop()
		select {
		case <-c.ctx.Done():
			return
		case <-late.C:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.channels == 0 {
			_ = c.crypt.Close()
		}
	}()
}

// end ends what runs on the connection, with the reason, and then the connection.
func (c *connection) end(why error) {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.cancel(why)
	go func() {
		late := time.AfterFunc(endPatience, func() { _ = c.crypt.Close() })
		c.all.Wait()
		late.Stop()
		_ = c.crypt.Close()
	}()
}

// refuse tells somebody who has come in why they cannot stay, on the first channel that they open.
func (c *connection) refuse(channels <-chan xssh.NewChannel, requests <-chan *xssh.Request, why error) {
	go answerGlobal(requests)
	late := time.AfterFunc(partPatience, func() { _ = c.crypt.Close() })
	defer late.Stop()
	for ch := range channels { // to the end, or the library waits for ever for somebody who takes the next
		_ = ch.Reject(xssh.Prohibited, why.Error())
	}
	c.cancel(why)
}

// current is the session that the connection is with, as it is now; or why nothing can be done in it.
func (c *connection) current() (sessions.Session, error) {
	if c.wrong != nil {
		return sessions.Session{}, c.wrong
	}
	s, err := c.world.Sessions.Session(c.to.Project, c.to.ID)
	if err == nil && c.world.may(c.key, s) != Enters {
		return s, forOwners(s)
	}
	if err != nil {
		return sessions.Session{}, &refusal{what: "session " + c.to.Name + " is gone", hint: "see: palisade ps --all"}
	}
	return s, runs(s)
}
