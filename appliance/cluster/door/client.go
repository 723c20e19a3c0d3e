package door

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/sessions"
)

// Bounds of a client.
const (
	connectPatience = 5 * time.Second  // for a connection, its handshake, and the answer that a tunnel is there
	callPatience    = 10 * time.Second // for what is answered at once
	keptPerBox      = 16               // connections that wait for the next request
	mostDialling    = 64               // that are being made to one box: fewer than it lets in
)

// Client goes through the doors of other boxes.
type Client struct {
	node    *trust.Node
	address func(name string) (hostport string, err error)
	http    *http.Transport
	lines   lifelines

	dialling sync.Map // by box: a chan struct{} of as many as may be connecting at once
}

// NewClient returns one that shows node's certificate. address says where the door of a node is: an error where there is no such
// node, and then nothing is said to it, over a connection of before either.
func NewClient(node *trust.Node, address func(name string) (hostport string, err error)) *Client {
	c := &Client{node: node, address: address}
	c.lines = lifelines{ping: c.ping, of: map[string]*lifeline{}}
	c.http = &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			name, _, _ := strings.Cut(addr, ":")
			return c.connect(ctx, strings.TrimSuffix(name, trust.ServerName("")))
		},
		MaxIdleConnsPerHost: keptPerBox, IdleConnTimeout: keptIdle * 3 / 4, DisableCompression: true,
		WriteBufferSize: pieces, ReadBufferSize: pieces,
	}
	return c
}

// Doubt has f told when a box to which something is open begins not to answer, and when it answers again. To be called before anything
// else; f must not wait.
func (c *Client) Doubt(f func()) { c.lines.doubt = f }

// Doubted tells whether a box to which something is open did not answer when it was asked last. It may be slow, and is no node less for
// it: it is for who can do without.
func (c *Client) Doubted(name string) bool { return c.lines.doubted(name, doubtedAfter) }

// Silent tells whether it has not answered more than once: what it was asked is worth asking others.
func (c *Client) Silent(name string) bool { return c.lines.doubted(name, silentAfter) }

// Close ends connections that wait for a request. What is under way goes on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// connect makes a connection to a node's door.
func (c *Client) connect(ctx context.Context, name string) (*Conn, error) {
	at, err := c.address(name)
	if err != nil {
		return nil, err
	}
	known, _ := c.dialling.LoadOrStore(name, make(chan struct{}, mostDialling))
	turn, _ := known.(chan struct{})
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, away(ctx, name, ctx.Err())
	}
	if err := c.lines.silent(name); err != nil && ctx.Value(pinging{}) == nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectPatience, errSlow)
	defer cancel()
	began := time.Now()
	dialled, err := (&net.Dialer{KeepAliveConfig: keepAlive, ControlContext: unacknowledged}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, c.missed(ctx, name, began, err)
	}
	tcp, ok := dialled.(*net.TCPConn)
	if !ok {
		_ = dialled.Close()
		return nil, fmt.Errorf("box %s: %w: %s", name, ErrAddress, at)
	}
	config := c.node.DoorClient(name)
	config.NextProtos = []string{"http/1.1"}
	raw := &socket{TCPConn: tcp}
	crypt := tls.Client(raw, config)
	if err := crypt.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, c.missed(ctx, name, began, err)
	}
	return newConn(raw, crypt), nil
}

// errSlow says that a box took too long for a connection.
var errSlow = fmt.Errorf("no answer within %s", connectPatience)

// missed is what is wrong where a connection was not made. The box counts as silent where it had its time: who had less left says
// nothing of it.
func (c *Client) missed(ctx context.Context, name string, began time.Time, err error) error {
	err = away(ctx, name, err)
	if context.Cause(ctx) == errSlow { //nolint:errorlint // this very one
		c.lines.missed(name, began, errors.Unwrap(err))
	}
	return err
}

// away says that a box cannot be reached. What is asked of its runtime may be asked again, as of one that is down.
func away(ctx context.Context, name string, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if errors.Is(err, trust.ErrAuthority) || errors.Is(err, trust.ErrRemoved) {
		return fmt.Errorf("box %s: %w", name, err)
	}
	return &Error{fmt.Errorf("box %s: %w: %w", name, errAway, err), "palisade cluster status says since when; its port for other boxes (cluster.listen) must be open to this one"}
}

// errAway is ErrAway, and as sessions' runtimes say it.
var errAway = bothKinds{}

type bothKinds struct{}

func (bothKinds) Error() string        { return ErrAway.Error() }
func (bothKinds) Is(target error) bool { return target == ErrAway || target == sessions.ErrRuntimeDown }

// ask is what is asked of a box.
type ask struct {
	name, method, path string
	query              url.Values
	in                 any       // goes there as JSON, unless it is nil
	body               io.Reader // or this does
}

func (c *Client) request(ctx context.Context, a ask) (*http.Request, error) {
	if a.in != nil {
		text, err := json.Marshal(a.in)
		if err != nil {
			return nil, fmt.Errorf("asking box %s: %w", a.name, err)
		}
		a.body = bytes.NewReader(text)
	}
	// The host stands for the box: where that is says address.
	r, err := http.NewRequestWithContext(ctx, a.method, "https://"+trust.ServerName(a.name)+a.path, a.body)
	if err != nil {
		return nil, fmt.Errorf("asking box %s: %w", a.name, err)
	}
	r.URL.RawQuery = a.query.Encode()
	return r, nil
}

// do asks, and returns an answer that is no refusal.
func (c *Client) do(name string, r *http.Request) (*http.Response, error) {
	answer, err := c.Transport(name).RoundTrip(r)
	if err != nil {
		return nil, c.failed(r.Context(), name, err)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, refused(name, answer)
}

// failed is what is wrong where there is no answer.
func (c *Client) failed(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("asking box %s: %w", name, context.Cause(ctx))
	}
	if _, known := errors.AsType[*Error](err); known || errors.Is(err, trust.ErrAuthority) || errors.Is(err, trust.ErrRemoved) {
		return err
	}
	if _, gone := c.address(name); gone != nil {
		return gone
	}
	return away(ctx, name, err)
}

// refused is what a box has answered in the place of what was asked.
func refused(name string, answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var fault cluster.Fault
	if json.Unmarshal(raw, &fault) != nil || fault.Text == "" {
		return fmt.Errorf("box %s answers %s", name, answer.Status)
	}
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("box %s: %w: %w", name, ErrNotPeer, fault.Remote())
	case http.StatusServiceUnavailable:
		return fmt.Errorf("box %s: %w: %w", name, notReady{}, fault.Remote())
	}
	return fault.Remote()
}

// notReady is ErrNotReady, and as sessions' runtimes say it.
type notReady struct{}

func (notReady) Error() string { return ErrNotReady.Error() }
func (notReady) Is(target error) bool {
	return target == ErrNotReady || target == sessions.ErrRuntimeDown
}

// patiently is ctx for what a box is given so long for.
func patiently(ctx context.Context, name string, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, &Error{fmt.Errorf("box %s: %w: no answer within %s", name, errAway, patience), "palisade cluster status"})
}

// call asks for what is answered at once, and puts the answer's JSON into out where that is not nil.
func (c *Client) call(ctx context.Context, a ask, out any) error {
	name := a.name
	ctx, cancel := patiently(ctx, name, callPatience)
	defer cancel()
	r, err := c.request(ctx, a)
	if err != nil {
		return err
	}
	answer, err := c.do(name, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4096)) // the connection is of use to the next one
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestBody)).Decode(out); err != nil {
		return fmt.Errorf("reading the answer of box %s: %w", name, err)
	}
	return nil
}

// Transport asks one box, whatever the URL names: for what is below /goods/.
func (c *Client) Transport(name string) http.RoundTripper { return &transport{c, name} }

type transport struct {
	*Client
	name string
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := trust.CheckName(t.name); err != nil {
		return nil, err
	}
	if _, err := t.address(t.name); err != nil { // a box that is none any more is told nothing over a connection of before either
		return nil, err
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = "https", trust.ServerName(t.name)
	if r.Context().Value(pinging{}) != nil {
		return t.http.RoundTrip(out)
	}
	return t.lines.exchange(t.name, out, t.http.RoundTrip)
}

// ping asks whether a box answers.
func (c *Client) ping(ctx context.Context, name string) error {
	if _, err := c.address(name); err != nil {
		return errGone
	}
	r, err := c.request(ctx, ask{name: name, method: http.MethodGet, path: pathPing})
	if err != nil {
		return err
	}
	answer, err := c.Transport(name).RoundTrip(r)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// Tell tells the box called name what this one carries.
func (c *Client) Tell(ctx context.Context, name string, l Load) error {
	return c.call(ctx, ask{name: name, method: http.MethodPost, path: pathLoad, in: l}, nil)
}

// Seat asks a box to become a member of etcd.
func (c *Client) Seat(ctx context.Context, name string, r SeatRequest) error {
	return c.call(ctx, ask{name: name, method: http.MethodPost, path: pathSeat, in: r}, nil)
}

// Dial connects to a port of a session that runs on a box, at the address that it has there. Nobody listening is ECONNREFUSED.
func (c *Client) Dial(ctx context.Context, name, session, port string) (Tunnel, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errPort
	}
	return c.dial(ctx, name, pathSessions+url.PathEscape(session)+"/ports/"+port)
}

func (c *Client) dial(ctx context.Context, name, path string) (Tunnel, error) {
	conn, err := c.tunnel(ctx, name, path, upgradeTunnel)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// tunnel makes a connection that is none of HTTP.
func (c *Client) tunnel(ctx context.Context, name, path, kind string) (*Conn, error) {
	conn, err := c.connect(ctx, name)
	if err != nil {
		return nil, c.failed(ctx, name, err)
	}
	asking, cancel := patiently(ctx, name, connectPatience+dialPatience)
	defer cancel()
	stop := context.AfterFunc(asking, conn.Break)
	err = c.upgrade(asking, name, path, kind, conn)
	if !stop() && err == nil {
		err = c.failed(asking, name, context.Cause(asking))
	}
	if err != nil {
		conn.Break()
		return nil, err
	}
	conn.over = c.lines.add(name, conn)
	return conn, nil
}

// upgrade asks for a connection to be something else than HTTP.
func (c *Client) upgrade(ctx context.Context, name, path, kind string, conn *Conn) error {
	r, err := c.request(ctx, ask{name: name, method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", kind)
	if err := r.Write(conn); err != nil {
		return c.failed(ctx, name, err)
	}
	in := bufio.NewReaderSize(conn.Conn, 4096)
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return c.failed(ctx, name, noEOF(err))
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		return refused(name, answer)
	}
	if in.Buffered() > 0 {
		conn.read = &rest{in: in, then: conn.Conn}
	}
	return nil
}

// rest is what came behind a header, and then the connection itself. One reads at a time.
type rest struct {
	in   *bufio.Reader // nil: there is nothing more
	then io.Reader
}

// Read implements io.Reader.
func (r *rest) Read(p []byte) (int, error) {
	if r.in != nil && r.in.Buffered() == 0 {
		r.in = nil
	}
	if r.in == nil {
		return r.then.Read(p)
	}
	return r.in.Read(p[:min(len(p), r.in.Buffered())])
}
