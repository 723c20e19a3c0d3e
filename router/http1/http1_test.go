package http1

import (
	"bytes"
	"testing"
)

func BenchmarkRequest(b *testing.B) {
	head := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: bench.local\r\nAuthorization: Bearer pal-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nUser-Agent: openai/1.0\r\nAccept: application/json\r\n\r\n")
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Take(head, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunk(b *testing.B) {
	event := []byte("120\r\n" + string(bytes.Repeat([]byte("x"), 288)) + "\r\n")
	p := make([]byte, len(event))
	var c Chunks
	b.ReportAllocs()
	for b.Loop() {
		copy(p, event)
		if body, _, err := c.Decode(p); err != nil || len(body) != 288 {
			b.Fatal(err, len(body))
		}
	}
}
