package router

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/palisade-run/palisade/router/scan"
)

// field is one of a form; of a file the value is only its size.
type field struct {
	name, value string
	file        int
}

// form is the body that the fields make.
func form(t *testing.T, fields ...field) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		var err error
		if f.file > 0 {
			var part io.Writer
			if part, err = w.CreateFormFile(f.name, "speech.wav"); err == nil {
				_, err = part.Write(bytes.Repeat([]byte("\r\n--x\x00\xff"), f.file/7+1)[:f.file])
			}
		} else {
			err = w.WriteField(f.name, f.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

// Forms by every sort of client: the model first, last, twice, not at all, in small ones and in 50 MB. The engine
// gets the bytes that were sent.
func TestFormsFromEveryClient(t *testing.T) {
	got := make(chan [32]byte, 1)
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		got <- seenOf(r).Sum
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write([]byte("\x89PNG\r\n\x1a\n\x00"))
	})))
	model, other := field{name: "model", value: "hello"}, field{name: "model", value: "other"}
	small, medium, large := field{name: "file", file: 1000}, field{name: "image", file: 2 << 20}, field{name: "file", file: 50 << 20}
	for _, client := range sorts(t, g) {
		t.Run(client.name, func(t *testing.T) {
			for _, c := range []struct {
				name   string
				fields []field
				status int
				code   string
			}{
				{"first", []field{model, small}, 200, ""},
				{"last", []field{small, {name: "prompt", value: "model"}, model}, 200, ""},
				{"missing", []field{small}, 400, "missing_model"},
				{"empty", []field{small, {name: "model"}}, 400, "missing_model"},
				{"too long", []field{small, {name: "model", value: strings.Repeat("x", scan.MaxModel+1)}}, 400, "invalid_model"},
				{"unknown", []field{small, other}, 404, "model_not_found"},
				{"twice the same", []field{model, small, model}, 200, ""},
				{"twice", []field{model, small, other}, 400, "invalid_model"},
				{"two files", []field{medium, {name: "mask", file: 3 << 20}, model}, 200, ""},
				{"first of 50 MB", []field{model, large}, 200, ""},
				{"last of 50 MB", []field{large, model}, 200, ""},
			} {
				if strings.Contains(c.name, "50 MB") && client.name != "HTTP/1.1" && !strings.Contains(client.name, "chunks") && client.name != "HTTP/2" {
					continue // these show it
				}
				body, contentType := form(t, c.fields...)
				req := g.request("POST", "/v1/images/edits", "")
				req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				req.Header.Set("Content-Type", contentType)
				res, err := client.do(req)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				back, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != c.status || err != nil || !strings.Contains(string(back), c.code) {
					t.Errorf("%s: %s %v %.200q", c.name, res.Status, err, back)
					continue
				}
				if c.status == 200 && (<-got != sha256.Sum256(body) || string(back) != "\x89PNG\r\n\x1a\n\x00") {
					t.Errorf("%s: not the bytes that were sent", c.name)
				}
			}
		})
	}
	g.idle()
	if n := g.buffered.Load(); n != 0 {
		t.Errorf("%d bytes are still accounted for", n)
	}
}

// An upload streams: the engine sees what was sent while the rest is still to come.
func TestUploadsStream(t *testing.T) {
	seen := make(chan int, 1000)
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				seen <- n
			}
			if err != nil {
				_, _ = io.WriteString(w, "heard")
				return
			}
		}
	})))
	body, contentType := form(t, field{name: "model", value: "hello"}, field{name: "file", file: 4 << 20})
	for _, client := range sorts(t, g) {
		if client.name == "HTTP/1.0" { // its test writes all before it reads
			continue
		}
		from, to := io.Pipe()
		req := g.request("POST", "/v1/audio/transcriptions", "")
		req.Body, req.ContentLength = from, int64(len(body))
		req.Header.Set("Content-Type", contentType)
		go func() {
			_, _ = to.Write(body[:2<<20])
			for total := 0; total < 1<<20; { // before the rest is there
				total += <-seen
			}
			_, _ = to.Write(body[2<<20:])
			_ = to.Close()
		}()
		res, err := client.do(req)
		if err != nil {
			t.Fatalf("%s: %v", client.name, err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "heard" || err != nil {
			t.Errorf("%s: %s %v", client.name, b, err)
		}
		_ = res.Body.Close()
		for len(seen) > 0 {
			<-seen
		}
	}
}

// Who waits for a word before it sends its body gets it when the body is wanted, and not where the answer is no.
func TestExpectContinue(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))
	for _, c := range []struct{ path, token, first string }{
		{"/v1/chat/completions", g.secret, "HTTP/1.1 100 Continue"},
		{"/services/hello/x", g.secret, "HTTP/1.1 100 Continue"},
		{"/v1/chat/completions", "", "HTTP/1.1 401 Unauthorized"},
		{"/services/hello/x", "", "HTTP/1.1 401 Unauthorized"},
		{"/services/nope/x", g.secret, "HTTP/1.1 404 Not Found"},
	} {
		conn, err := net.Dial("tcp", g.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", c.path, c.token, len(chatHello))
		from := bufio.NewReader(conn)
		line, err := from.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != c.first {
			t.Errorf("%s: %q %v, want %s", c.path, line, err, c.first)
		}
		if strings.Contains(c.first, "100") {
			if _, err := from.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, chatHello)
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(b) != chatHello || err != nil {
				t.Errorf("%s: %s %s %v", c.path, res.Status, b, err)
			}
		}
		_ = conn.Close()
	}
}

// Websockets by all addresses: subprotocols, messages of both kinds and all sizes, the end with its reason, both
// ways.
func TestRealtime(t *testing.T) {
	gone := make(chan error, 1)
	g := newRig(t, Config{Domain: "example.org"}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}, InsecureSkipVerify: true})
		if err != nil {
			gone <- err
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(8 << 20)
		if err := conn.Write(r.Context(), websocket.MessageText, []byte(r.RequestURI+" "+r.Header.Get("Authorization")+r.Header.Get("X-Request-Id"))); err != nil {
			gone <- err
			return
		}
		for {
			kind, b, err := conn.Read(r.Context())
			if err != nil {
				gone <- err
				return
			}
			if string(b) == "end" {
				gone <- conn.Close(4001, "enough")
				return
			}
			if err := conn.Write(r.Context(), kind, b); err != nil {
				gone <- err
				return
			}
		}
	})))
	for _, c := range []struct{ host, path, hello string }{
		{"", "/v1/realtime?model=hello&x=1", "/v1/realtime?model=hello&x=1 abc"},
		{"", "/services/hello/v1/realtime?model=any", "/v1/realtime?model=any abc"},
		{"hello.example.org", "/ws", "/ws abc"},
	} {
		for _, ending := range []string{"engine", "client", "cut"} {
			header := http.Header{"Authorization": {"Bearer " + g.secret}, "X-Request-Id": {"abc"}}
			conn, res, err := websocket.Dial(t.Context(), g.server.URL+c.path, &websocket.DialOptions{HTTPHeader: header, Host: c.host, Subprotocols: []string{"other", "realtime"}})
			if err != nil {
				t.Fatalf("%s: %v", c.path, err)
			}
			conn.SetReadLimit(8 << 20)
			if conn.Subprotocol() != "realtime" || res.Header.Get("X-Request-Id") != "abc" {
				t.Errorf("%s: %q %v", c.path, conn.Subprotocol(), res.Header)
			}
			if _, b, err := conn.Read(t.Context()); err != nil || string(b) != c.hello {
				t.Errorf("%s: %q %v", c.path, b, err)
			}
			for _, size := range []int{0, 1, 125, 126, 65536, 5 << 20} {
				for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
					sent := bytes.Repeat([]byte("a"), size)
					if err := conn.Write(t.Context(), kind, sent); err != nil {
						t.Fatal(err)
					}
					if k, b, err := conn.Read(t.Context()); err != nil || k != kind || !bytes.Equal(b, sent) {
						t.Fatalf("%s: %d bytes came back as %v of %d, %v", c.path, size, k, len(b), err)
					}
				}
			}
			switch ending {
			case "engine":
				if err := conn.Write(t.Context(), websocket.MessageText, []byte("end")); err != nil {
					t.Fatal(err)
				}
				_, _, err = conn.Read(t.Context())
				if e := (websocket.CloseError{}); !errors.As(err, &e) || e.Code != 4001 || e.Reason != "enough" {
					t.Errorf("%s: ended with %v", c.path, err)
				}
				if err := <-gone; err != nil {
					t.Error(err)
				}
				_ = conn.CloseNow()
			case "client":
				if err := conn.Close(4002, "bye"); err != nil {
					t.Error(err)
				}
				if e := (websocket.CloseError{}); !errors.As(<-gone, &e) || e.Code != 4002 || e.Reason != "bye" {
					t.Errorf("%s: the engine saw %v", c.path, e)
				}
			case "cut":
				_ = conn.CloseNow()
				if err := <-gone; err == nil {
					t.Errorf("%s: the engine saw no end", c.path)
				}
			}
		}
	}
	g.idle()

	// An engine's last words arrive, though it closes its side with them.
	for range 100 {
		conn, _, err := websocket.Dial(t.Context(), g.server.URL+"/services/hello/", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + g.secret}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(4003, ""); err != nil {
			t.Fatal(err)
		}
		<-gone
	}
	g.idle()

	// Refusals are plain answers.
	for path, want := range map[string]int{"/v1/realtime": 400, "/v1/realtime?model=nope": 404, "/services/nope/ws": 404} {
		_, res, err := websocket.Dial(t.Context(), g.server.URL+path, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + g.secret}}})
		if err == nil || res == nil || res.StatusCode != want {
			t.Errorf("%s: %v %v", path, res, err)
		}
	}
}
