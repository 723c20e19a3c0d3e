package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// TunnelProtocol is the websocket's subprotocol: binary messages are bytes of the connection, in both directions; one that
// is empty is the end of its direction.
const TunnelProtocol = "palisade.tunnel.v1"

// tunnelChunk is the longest message, in bytes.
const tunnelChunk = 64 << 10

// Tunnel is one end of a connection to a port of a session. One goroutine reads, one writes.
type Tunnel struct {
	ws   *websocket.Conn
	done func()
	rest io.Reader // of the message that is being read
	over error     // of what comes

	once sync.Once
	gone chan struct{} // closed with Close
}

func newTunnel(ws *websocket.Conn, done func()) *Tunnel {
	ws.SetReadLimit(tunnelChunk)
	t := &Tunnel{ws: ws, done: done, gone: make(chan struct{})}
	go t.ping()
	return t
}

// AcceptTunnel takes a request over as a tunnel. Whoever calls it has looked where the request comes from. Where it fails,
// the request has been answered.
func AcceptTunnel(w http.ResponseWriter, r *http.Request) (*Tunnel, error) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{TunnelProtocol}, InsecureSkipVerify: true})
	if err != nil {
		return nil, fmt.Errorf("taking the connection over: %w", err)
	}
	return newTunnel(ws, func() {}), nil
}

// Read implements io.Reader. io.EOF: the other side has said that it sends no more.
func (t *Tunnel) Read(p []byte) (int, error) {
	for {
		if t.over != nil {
			return 0, t.over
		}
		if t.rest == nil {
			kind, message, err := t.ws.Reader(context.Background()) // a peer that is gone is found out by ping
			if err == nil && kind != websocket.MessageBinary {
				err = fmt.Errorf("broke the protocol %s: a message that is not binary", TunnelProtocol)
			}
			if err != nil {
				t.over = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
				continue
			}
			// Its first bytes tell an end from what goes on.
			n, err := message.Read(p)
			switch {
			case n == 0 && errors.Is(err, io.EOF):
				t.over = io.EOF
				t.ws.CloseRead(context.Background()) // pongs must be heard on
			case err == nil:
				t.rest = message
			case !errors.Is(err, io.EOF):
				t.over = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
			}
			if n > 0 {
				return n, nil
			}
			continue
		}
		n, err := t.rest.Read(p)
		if errors.Is(err, io.EOF) {
			t.rest = nil
		} else if err != nil {
			t.over = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Write implements io.Writer. It waits until the other side has room, or the tunnel is closed.
func (t *Tunnel) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, tunnelChunk)
		if err := t.ws.Write(context.Background(), websocket.MessageBinary, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// CloseWrite says that there is no more.
func (t *Tunnel) CloseWrite() error {
	return t.ws.Write(context.Background(), websocket.MessageBinary, nil)
}

// Close ends both directions, at once. It is idempotent.
func (t *Tunnel) Close() error {
	t.end(func() { _ = t.ws.CloseNow() })
	return nil
}

// Finish says why it ends, and ends it.
func (t *Tunnel) Finish(why string) {
	code := websocket.StatusNormalClosure
	if why != "" {
		code = websocket.StatusGoingAway
	}
	t.end(func() { _ = t.ws.Close(code, why[:min(len(why), 120)]) })
}

func (t *Tunnel) end(how func()) {
	t.once.Do(func() {
		close(t.gone)
		how()
		t.done()
	})
}

// ping finds out that nobody is there, and keeps others on the way from taking the line for dead. While one side takes
// nothing in, nothing is known: a pong comes behind what waits.
func (t *Tunnel) ping() {
	tick := time.NewTicker(linePings)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.gone:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), tunnelPatience)
		err := t.ws.Ping(ctx)
		cancel()
		if err != nil {
			_ = t.Close()
			return
		}
	}
}

// tunnelPatience is how long the other side may stand still. A program that stops for so long, or a client's box that
// sleeps, connects again.
const tunnelPatience = 10 * time.Minute

// Pipe connects a tunnel with a connection, both ways, until both directions have ended or one side is gone, and closes
// both.
func (t *Tunnel) Pipe(conn io.ReadWriteCloser) {
	var both sync.WaitGroup
	pass := func(to, from io.ReadWriteCloser) {
		_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, tunnelChunk))
		if half, ok := to.(interface{ CloseWrite() error }); err == nil && ok && half.CloseWrite() == nil {
			return
		}
		_ = t.Close()
		_ = conn.Close()
	}
	both.Go(func() { pass(t, conn) })
	both.Go(func() { pass(conn, t) })
	both.Wait()
	t.Finish("")
	_ = conn.Close()
}
