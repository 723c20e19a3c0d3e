package router

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// frugalEngine answers every request with the same bytes, without looking at it and without allocating.
func frugalEngine(b *testing.B, requestLen func(first []byte) int, answer []byte) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 64<<10)
				have, need := 0, 0
				for {
					n, err := conn.Read(buf[have:])
					if err != nil {
						return
					}
					have += n
					if need == 0 {
						need = requestLen(buf[:have])
					}
					if need > 0 && have >= need {
						have, need = 0, 0
						if _, err := conn.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// lengthOf is the length of a request whose head is whole in p.
func lengthOf(p []byte) int {
	head := bytes.Index(p, []byte("\r\n\r\n"))
	if head < 0 {
		return 0
	}
	name := []byte("Content-Length: ")
	n := 0
	for _, c := range p[bytes.Index(p, name)+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return head + 4 + n
}

// A request of 1 KB and an answer of 400 bytes, one after the other on one connection: what the small path costs
// with its client and its engine, and that it allocates nothing.
func BenchmarkRequest(b *testing.B) {
	body := `{"model":"hello","messages":[{"role":"user","content":"` + strings.Repeat("p", 950) + `"}]}`
	said := `{"id":"x","object":"chat.completion","model":"hello","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("a", 180) +
		`"}}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(said)) + "\r\n\r\n" + said)
	g := newRig(b, Config{}, hello(frugalEngine(b, lengthOf, answer)))
	conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + g.secret + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	buf := make([]byte, 64<<10)
	ask := func() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		for have := 0; ; {
			n, err := conn.Read(buf[have:])
			if err != nil && !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			if have += n; have > len(said) && string(buf[have-2:have]) == "}}" {
				return
			}
		}
	}
	ask()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
