// Package load asks as many clients do at once, from one thread, and says how long it took and what went wrong. It knows
// what the engine of the bench answers, and nothing of who stands between.
package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/palisade-run/palisade/router/bench/engine"
	"github.com/palisade-run/palisade/router/bench/poll"
)

// Settings say what is asked, and how.
type Settings struct {
	Streams   bool           // each connection asks for one stream; else one request after another until the time is over
	Addr      netip.AddrPort // of who is asked
	Conns     int
	Warm      time.Duration // before what is counted (not with Streams)
	Time      time.Duration // that is counted (not with Streams)
	Patience  time.Duration // after Time, or without anything new on any stream, until what is missing counts as lost
	Ramp      time.Duration // in which streams are begun
	Gap       time.Duration // at which their events are sent
	Model     string
	Token     string
	BodyBytes int
	IDs       bool // each request has an id of its own, and each that failed is told with it
}

// Event is one line of what Run writes: Begin and End frame what is counted, Open is that all streams have had their
// first event.
type Event struct {
	Event   string   // "begin", "open", "end", "result"
	Calls   *Calls   `json:",omitempty"`
	Streams *Streams `json:",omitempty"`
}

// Spread is of durations in microseconds.
type Spread struct{ P50, P90, P99, P999, Max float64 }

// Calls is what became of requests one after another.
type Calls struct {
	Seconds float64
	OK      int
	Kinds   map[string]int // of those that failed: a status, "wrong" (200, but no engine's answer), "cut" (the connection ended first), "lost" (no answer came)
	Failed  []Failure      // with IDs
	Slow    int            // answered, after more than a second
	Latency Spread         // of those answered, with whatever status
}

// Failure is one request that failed.
type Failure struct {
	ID   uint64
	Kind string
	At   float64 // seconds after the beginning
}

// Streams is what became of streams.
type Streams struct {
	Seconds   float64
	Begun     int
	Completed int
	Broken    int // ended early, answered otherwise, or never ended
	Events    int
	Reads     int
	First     Spread // from the request to its first event
	Delay     Spread // of an event, from the engine's sending it
	Jitter    Spread // of the distance between two events
}

// LongestLine of what Run writes: the result has every failed request in it.
const LongestLine = 64 << 20

// Run asks, and writes its lines to out.
func Run(s Settings, out io.Writer) error {
	loop, err := poll.New()
	if err != nil {
		return err
	}
	c := &client{s: s, loop: loop, conns: make([]*conn, 1<<17), out: json.NewEncoder(out)}
	defer c.close()
	c.request = request(s)
	c.idAt = bytes.Index(c.request, []byte(idZero))
	if s.Streams {
		return c.streams()
	}
	return c.calls()
}

type client struct {
	s       Settings
	loop    *poll.Loop
	conns   []*conn // by their socket
	out     *json.Encoder
	request []byte
	idAt    int // where in it its id stands; -1 for nowhere
	lastID  uint64
}

type conn struct {
	fd      int // -1: not connected
	req     []byte
	id      uint64
	written int // of req
	start   int64
	asked   bool // a request is under way
	headed  bool // its answer's head is read
	status  int
	left    int // of its body; -1: chunked
	last    bool
	right   bool // the answer was an engine's
	buf     []byte

	rest   bool // its next request waits a little
	events int  // of a stream
	seen   int  // of buf
	before int64
}

const idZero = "00000000000000000000"

func request(s Settings) []byte {
	head, tail := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"`, s.Model), `"}]}`
	if s.Streams {
		head = fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":"`, s.Model)
	}
	body := head + strings.Repeat("p", max(0, s.BodyBytes-len(head)-len(tail))) + tail
	id := ""
	if s.IDs {
		id = engine.IDHeader + ": " + idZero + "\r\n"
	}
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: bench.local\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
		s.Token, id, len(body), body)
}

func (c *client) conn() *conn {
	return &conn{fd: -1, req: slices.Clone(c.request), buf: make([]byte, 0, 4<<10)}
}

// ask sends the connection's next request, on a new connection where there is none.
func (c *client) ask(k *conn) error {
	k.asked, k.headed, k.written, k.start = true, false, 0, poll.Now()
	if c.idAt >= 0 {
		c.lastID++
		k.id = c.lastID
		for i, v := len(idZero)-1, k.id; i >= 0; i, v = i-1, v/10 {
			k.req[c.idAt+i] = byte('0' + v%10)
		}
	}
	if k.fd < 0 {
		fd, err := poll.Dial(c.s.Addr)
		if err != nil {
			return err
		}
		if fd >= len(c.conns) {
			poll.Close(fd)
			return errors.New("too many sockets")
		}
		k.fd, k.buf = fd, k.buf[:0]
		c.conns[fd] = k
		if err := c.loop.Add(fd, poll.In|poll.Out|poll.Gone, true); err != nil {
			c.drop(k)
			return err
		}
	}
	k.send()
	return nil
}

func (c *client) close() {
	for _, k := range c.conns {
		if k != nil {
			c.drop(k)
		}
	}
	c.loop.Close()
}

func (c *client) drop(k *conn) {
	if k.fd >= 0 {
		c.conns[k.fd] = nil
		poll.Close(k.fd)
		k.fd = -1
	}
}

// send writes what is left of the request. What goes wrong is seen by read.
func (k *conn) send() {
	for k.asked && k.written < len(k.req) {
		n, _ := poll.Write(k.fd, k.req[k.written:])
		if n == 0 {
			return
		}
		k.written += n
	}
}

// read takes what is there; false at its end.
func (k *conn) read(gone bool) bool {
	for {
		if cap(k.buf)-len(k.buf) < 2048 {
			k.buf = append(make([]byte, 0, 2*cap(k.buf)), k.buf...)
		}
		n, again := poll.Read(k.fd, k.buf[len(k.buf):cap(k.buf)])
		if n == 0 {
			return again && !gone
		}
		full := len(k.buf)+n == cap(k.buf)
		k.buf = k.buf[:len(k.buf)+n]
		if !full && !gone {
			return true
		}
	}
}

// answerSign is in every answer of an engine, at its end: a proxy's own page, or half an answer, has not got it.
var answerSign = []byte(`"completion_tokens":42,`)

var headEnd, lineEnd, chunksEnd = []byte("\r\n\r\n"), []byte("\r\n"), []byte("0\r\n\r\n")

// head reads an answer's head, if it is whole.
func (k *conn) head() bool {
	i := bytes.Index(k.buf, headEnd)
	if i < 12 {
		return false
	}
	k.headed, k.left, k.last = true, -1, false
	k.status, _ = strconv.Atoi(text(k.buf[9:12]))
	for line := range bytes.SplitSeq(k.buf[:i+2], lineEnd) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case !ok:
		case bytes.EqualFold(name, []byte("content-length")):
			k.left, _ = strconv.Atoi(text(value))
		case bytes.EqualFold(name, []byte("connection")):
			k.last = bytes.EqualFold(value, []byte("close"))
		}
	}
	k.buf = k.buf[:copy(k.buf, k.buf[i+4:])]
	return true
}

// answered takes a whole answer out of the buffer, if it is there.
func (k *conn) answered() bool {
	switch {
	case !k.headed && !k.head():
		return false
	case k.left >= 0 && len(k.buf) >= k.left:
		k.right = bytes.Contains(k.buf[:k.left], answerSign)
		k.buf = k.buf[:copy(k.buf, k.buf[k.left:])]
	case k.left < 0 && bytes.HasSuffix(k.buf, chunksEnd):
		k.right = bytes.Contains(k.buf, answerSign)
		k.buf = k.buf[:0]
	default:
		return false
	}
	return true
}

// text is p without a copy of it.
func text(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// spread sorts v, nanoseconds.
func spread(v []int64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	slices.Sort(v)
	at := func(p float64) float64 { return float64(v[min(len(v)-1, int(float64(len(v))*p))]) / 1e3 }
	return Spread{P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999), Max: at(1)}
}
