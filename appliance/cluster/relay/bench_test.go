package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/relay"
)

// answers is a session that answers requests of HTTP over a connection that is kept.
func answers(size int) func(*net.TCPConn) {
	body := make([]byte, size)
	head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
	return func(c *net.TCPConn) {
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			if _, err := c.Write(append(slices.Clip(head), body...)); err != nil {
				return
			}
		}
	}
}

// BenchmarkRequest is a request to a session of this box, and to one of another box, over connections that are kept, as a router's
// are. Both boxes, who asks and who answers share this machine.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		f := newFar(b, answers(size))
		direct := f.session
		for _, to := range []struct{ name, at string }{{"direct", direct}, {"relayed", f.at}} {
			b.Run(fmt.Sprintf("%s/%d", to.name, size), func(b *testing.B) {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				b.SetBytes(int64(size))
				for b.Loop() {
					answer, err := client.Get("http://" + to.at + "/")
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
				}
			})
		}
	}
}

// BenchmarkConnect is a connection to a session of another box that was not there before: handshake and all.
func BenchmarkConnect(b *testing.B) {
	f := newFar(b, echo)
	for b.Loop() {
		c, err := net.Dial("tcp", f.at)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write([]byte{1}); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkIdle is what a relay costs that nobody uses: bytes of memory, and no processor time.
func BenchmarkIdle(b *testing.B) {
	f := newFar(b, echo)
	const many = 4000
	for b.Loop() {
		before := inUse()
		for i := range many {
			if _, err := f.relays.Address(relay.Target{Node: "one", Session: fmt.Sprint("s", i), Port: 8000}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(inUse()-before)/many, "bytes/relay")
		f.relays.Keep(func(relay.Target) bool { return false })
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
