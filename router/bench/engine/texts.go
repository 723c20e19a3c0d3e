package engine

import (
	"fmt"
	"strings"
)

// texts are the answers, written once.
type texts struct {
	ok, whole             []byte
	streamHead, streamEnd []byte
	event                 []byte
	stamp                 int // where in event its time stands
}

const (
	answerBytes = 400
	stampLen    = 19 // digits of a time

	// StampKey stands before the time at which an event was sent: 19 digits, the nanoseconds of poll.Now.
	StampKey = `"sent":`
)

func write(s Settings) texts {
	id := s.Addr.Port()
	var t texts
	t.ok = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
	body := padded(answerBytes,
		fmt.Sprintf(`{"id":"chatcmpl-0123456789","object":"chat.completion","created":1700000000,"model":"bench","engine":%d,"choices":[{"index":0,"message":{"role":"assistant","content":"`, id),
		`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":42,"total_tokens":162}}`)
	t.whole = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\nX-Engine: %d\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body)
	t.streamHead = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Engine: %d\r\nTransfer-Encoding: chunked\r\n\r\n", id)
	begin := `data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk",` + StampKey
	event := padded(s.EventBytes, begin+strings.Repeat("0", stampLen)+`,"choices":[{"index":0,"delta":{"content":"`, "\"}}]}\n\n")
	size := fmt.Sprintf("%x\r\n", len(event))
	t.event = []byte(size + event + "\r\n")
	t.stamp = len(size) + len(begin)
	end := fmt.Sprintf("data: {\"id\":\"chatcmpl-0123456789\",\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", s.Events, s.Events+120)
	t.streamEnd = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(end), end)
	return t
}

// padded is of n bytes, if its ends leave room.
func padded(n int, begin, end string) string {
	return begin + strings.Repeat("y", max(0, n-len(begin)-len(end))) + end
}

func stamp(p []byte, t int64) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = byte('0' + t%10)
		t /= 10
	}
}
