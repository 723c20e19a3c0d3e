package router

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Most clients write all of a request before they read. One that is refused early writes on, gets no reset for it, and reads why:
// on our own path, on net/http's, and where it is the engine that wants no more.
func TestWhoIsRefusedMayWriteOn(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_ = http.NewResponseController(w).Flush()
	})))
	for name, c := range map[string]struct {
		path, secret string
		size, status int
		unasked      bool // all is written before the answer is looked for
	}{
		"a small body, of no token":   {"/v1/chat/completions", "none", 900 << 10, http.StatusUnauthorized, false},
		"a large body, of no token":   {"/v1/chat/completions", "none", 48 << 20, http.StatusUnauthorized, true},
		"a large body, of no service": {"/services/nobody/x", g.secret, 48 << 20, http.StatusNotFound, false},
		"a body too large for engine": {"/v1/chat/completions", g.secret, 48 << 20, http.StatusRequestEntityTooLarge, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := g.dial()
			defer conn.Close()
			body := `{"model":"hello","x":"` + strings.Repeat("x", c.size) + `"}`
			begin := len(body) / 16
			if c.unasked {
				begin = len(body)
			}
			head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", c.path, c.secret, len(body))
			if _, err := io.WriteString(conn, head+body[:begin]); err != nil {
				t.Fatal(err)
			}
			from := bufio.NewReader(conn)
			a := next(from, http.MethodPost)
			if a == nil || a.status != c.status || a.ended != nil {
				t.Fatalf("got %+v, want %d", a, c.status)
			}
			if _, err := io.WriteString(conn, body[begin:]); err != nil {
				t.Fatalf("writing on: %v", err)
			}
			if _, err := from.ReadByte(); err != io.EOF {
				t.Errorf("ended with %v", err)
			}
		})
	}
	g.nothingIsHeld()
}
