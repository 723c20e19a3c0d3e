package router

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/record"
)

// fate is one stream of many, as its number says: what the engine says and how that ends, and what its client does.
type fate struct {
	id      int
	chunked bool
	ending  int
	visible []byte // what a client that stays has, where the engine does not die
	said    []byte // with what is hidden
	leaves  int    // after so many bytes; -1: never
	rng     *rand.Rand
}

const (
	endsWhole = iota
	endsDead
	endsReset
	endsNever
	endings
)

func fateOf(id int) *fate {
	rng := rand.New(rand.NewPCG(uint64(id), 7))
	f := &fate{id: id, chunked: rng.IntN(4) > 0, ending: rng.IntN(endings), leaves: -1, rng: rng}
	if rng.IntN(2) == 0 {
		f.ending = endsWhole
	}
	for i := range 1 + rng.IntN(30) {
		n := rng.IntN(600)
		switch rng.IntN(40) {
		case 0:
			n = 30_000 + rng.IntN(90_000)
		case 1:
			n = 16<<10 - 40 + rng.IntN(20)
		}
		f.visible = fmt.Appendf(f.visible, "data: {\"choices\":[{\"delta\":{\"content\":\"%d.%d %s\"}}]}\n\n", id, i, strings.Repeat(string(rune('a'+i%26)), n))
	}
	f.said = bytes.Clone(f.visible)
	if f.ending == endsWhole {
		f.said = fmt.Appendf(f.said, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n%s", id+1, id+2, 2*id+3, doneEvent)
		f.visible = append(f.visible, doneEvent...)
	}
	if f.ending == endsNever || rng.IntN(6) == 0 {
		f.leaves = rng.IntN(len(f.visible))
	}
	return f
}

// play is the engine's part.
func (f *fate) play(c *turn) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	if f.chunked {
		head += "Transfer-Encoding: chunked\r\n"
	}
	rng := rand.New(rand.NewPCG(uint64(f.id), 8))
	var wire []byte
	for said := f.said; len(said) > 0; {
		n := min(1+rng.IntN(700), len(said))
		if rng.IntN(20) == 0 {
			n = min(1+rng.IntN(50_000), len(said))
		}
		if f.chunked {
			wire = append(wire, chunk(string(said[:n]))...)
		} else {
			wire = append(wire, said[:n]...)
		}
		said = said[n:]
	}
	if f.chunked && f.ending == endsWhole {
		wire = append(wire, "0\r\n\r\n"...)
	}
	wire = append([]byte(head+"\r\n"), wire...)
	if f.ending == endsDead || f.ending == endsReset {
		wire = wire[:max(len(head)+2+60, rng.IntN(len(wire)))]
	}
	for len(wire) > 0 {
		n := min(1+rng.IntN(900), len(wire))
		if rng.IntN(20) == 0 {
			n = min(1+rng.IntN(70_000), len(wire))
		}
		if _, err := c.Write(wire[:n]); err != nil {
			return
		}
		wire = wire[n:]
		for range rng.IntN(20) {
			runtime.Gosched()
		}
	}
	switch f.ending {
	case endsReset:
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	case endsNever:
		c.wait()
	}
}

// watch is the client's part: what is wrong with what it had; "" for nothing.
func (f *fate) watch(g *rig) string {
	dialer := net.Dialer{}
	if f.rng.IntN(2) == 0 {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
		}
	}
	conn, err := dialer.DialContext(g.t.Context(), "tcp", g.server.Listener.Addr().String())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	body := `{"model":"hello","stream":true,"user":"` + strconv.Itoa(f.id) + `","messages":[]}`
	ask := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: f%d\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", f.id, g.secret, len(body), body)
	if _, err := io.WriteString(conn, ask); err != nil {
		return err.Error()
	}
	from := bufio.NewReaderSize(conn, 16+f.rng.IntN(4000))
	res, err := http.ReadResponse(from, nil)
	if err != nil {
		return "head: " + err.Error()
	}
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		return fmt.Sprint(res.StatusCode, string(b))
	}
	var got []byte
	piece := make([]byte, 1+f.rng.IntN(20_000))
	for {
		if f.leaves >= 0 && len(got) >= f.leaves {
			if f.rng.IntN(2) == 0 {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			if !bytes.HasPrefix(f.visible, got) && f.ending != endsDead && f.ending != endsReset {
				return "other bytes came before it left"
			}
			return ""
		}
		n, err := res.Body.Read(piece)
		got = append(got, piece[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Sprintf("after %d bytes of %d: %v", len(got), len(f.visible), err)
		}
		if f.rng.IntN(10) == 0 {
			for range f.rng.IntN(300) {
				runtime.Gosched()
			}
		}
	}
	if f.ending == endsWhole {
		if !bytes.Equal(got, f.visible) {
			return fmt.Sprintf("%d bytes came, not the %d", len(got), len(f.visible))
		}
		// The connection lives on.
		_, _ = io.WriteString(conn, "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+g.secret+"\r\n\r\n")
		if res, err := http.ReadResponse(from, nil); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Sprint("asked behind it: ", err)
		}
		return ""
	}
	same := 0
	for same < min(len(got), len(f.visible)) && got[same] == f.visible[same] {
		same++
	}
	if text := strings.TrimLeft(string(got[same:]), "\n"); !strings.Contains(text, `"engine_failed"`) || len(text) > 400 {
		return fmt.Sprintf("behind %d bytes, the end of a dead engine is %.300q", same, text)
	}
	return ""
}

// kept are records with texts of their own.
type kept struct{ spans }

func (s *kept) Write(r *record.Record) {
	own := *r
	own.ID = strings.Clone(r.ID)
	s.spans.Write(&own)
}

// Streams of every kind at once, whose engines die or say nothing more, and whose clients are slow or go: what stays has
// every byte, each is told once and as it was, and nothing is left.
func TestCarriedFates(t *testing.T) {
	const streams, rounds = 600, 1
	e := newScripted(t, func(c *turn) {
		req, err := http.ReadRequest(c.from)
		if err != nil {
			return
		}
		b, err := io.ReadAll(req.Body)
		_, after, _ := strings.Cut(string(b), `"user":"`)
		number, _, _ := strings.Cut(after, `"`)
		id, bad := strconv.Atoi(number)
		if err != nil || bad != nil {
			t.Errorf("asked %q: %v %v", b, err, bad)
			return
		}
		fateOf(id).play(c)
	})
	s := hello(e.addr)
	s.Traffic.AskUsage = true
	g := newRig(t, Config{})
	seen := &kept{}
	g.Observe(Observers{Tracing: record.Tracing{On: true, Sample: 1}, Spans: seen})
	g.SetServices([]Service{s})
	for round := range rounds {
		var all sync.WaitGroup
		for i := range streams {
			f := fateOf(round*streams + i)
			all.Go(func() {
				if bad := f.watch(g); bad != "" {
					t.Errorf("stream %d (chunked %v, ends %d, leaves %d): %s", f.id, f.chunked, f.ending, f.leaves, bad)
				}
			})
		}
		all.Wait()
	}
	g.nothingIsHeld()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	told := map[string]*record.Record{}
	for i := range seen.all {
		r := &seen.all[i]
		id := r.ID
		if !strings.HasPrefix(id, "f") {
			continue
		}
		if told[id] != nil {
			t.Errorf("%s told twice", id)
		}
		told[id] = r
	}
	for id := range streams * rounds {
		f, r := fateOf(id), told[fmt.Sprintf("f%d", id)]
		if r == nil {
			t.Errorf("%d was not told", id)
			continue
		}
		switch {
		case f.leaves >= 0:
		case f.ending == endsWhole:
			if r.Aborted || r.Fault != "" || r.Usage.Prompt != int64(id+1) || r.Usage.Completion != int64(id+2) || r.Out != int64(len(f.visible)) {
				t.Errorf("%d: %+v", id, r)
			}
		default:
			if r.Aborted || r.Fault != "cut" {
				t.Errorf("%d: %+v", id, r)
			}
		}
	}
	if n := g.carrying(); n != 0 {
		t.Errorf("%d are carried", n)
	}
}
