package router

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sort is a sort of client: how it brings its requests.
type sort struct {
	name string
	do   func(*http.Request) (*http.Response, error)
}

// sorts are clients of g of every sort that there is.
func sorts(t *testing.T, g *rig) []sort {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil) // has a certificate
	certificates.StartTLS()
	t.Cleanup(certificates.Close)
	secure := &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	plain, safe := bothFront(t, g.Router, nil), bothFront(t, g.Router, secure)
	via := func(scheme, addr string, major int, change func(*http.Request), protocols ...func(*http.Protocols, bool)) func(*http.Request) (*http.Response, error) {
		transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}
		for _, set := range protocols {
			set(transport.Protocols, true)
		}
		t.Cleanup(transport.CloseIdleConnections)
		return func(req *http.Request) (*http.Response, error) {
			req.URL.Scheme, req.URL.Host = scheme, addr
			if change != nil {
				change(req)
			}
			res, err := transport.RoundTrip(req)
			if err == nil && res.ProtoMajor != major {
				err = fmt.Errorf("answered in %s", res.Proto)
			}
			return res, err
		}
	}
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	chunked := func(req *http.Request) {
		if req.Body != nil {
			req.Body, req.ContentLength = io.NopCloser(req.Body), -1
		}
	}
	return []sort{
		{"HTTP/1.1", via("http", plain, 1, nil, http1)},
		{"HTTP/1.1 with TLS", via("https", safe, 1, nil, http1)},
		{"HTTP/1.1 in chunks", via("http", plain, 1, chunked, http1)},
		{"HTTP/1.1 with Connection: close", via("http", plain, 1, func(req *http.Request) { req.Close = true }, http1)},
		{"HTTP/1.1 with Expect: 100-continue", via("http", plain, 1, func(req *http.Request) { req.Header.Set("Expect", "100-continue") }, http1)},
		{"HTTP/1.0", func(req *http.Request) (*http.Response, error) { return oldest(t, plain, req) }},
		{"HTTP/2", via("http", plain, 2, nil, h2c)},
		{"HTTP/2 with TLS", via("https", safe, 2, nil, http2)},
		{"HTTP/2 without length", via("http", plain, 2, chunked, h2c)},
	}
}

// oldest asks in HTTP/1.0, where an answer ends with its connection.
func oldest(t *testing.T, addr string, req *http.Request) (*http.Response, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.0\r\nHost: %s\r\n", req.Method, req.URL.RequestURI(), orElse(req.Host, addr))
	if err := req.Header.Write(&head); err != nil {
		return nil, err
	}
	if req.Body != nil {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", req.ContentLength)
	}
	head.WriteString("\r\n")
	if _, err := conn.Write(head.Bytes()); err != nil {
		return nil, err
	}
	if req.Body != nil {
		if _, err := io.Copy(conn, req.Body); err != nil {
			return nil, err
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err == nil && len(res.TransferEncoding) > 0 {
		err = fmt.Errorf("%s to a client of HTTP/1.0", res.TransferEncoding)
	}
	return res, err
}

// seenByEngine is what an engine saw of a request.
type seenByEngine struct {
	Method, URI, Host, Type, ID, State, Tokens string
	Sum                                        [32]byte
}

func seenOf(r *http.Request) seenByEngine {
	sum := sha256.New()
	_, _ = io.Copy(sum, r.Body)
	a := seenByEngine{
		Method: r.Method, URI: r.RequestURI, Host: r.Host, Type: r.Header.Get("Content-Type"), ID: r.Header.Get("X-Request-Id"), State: r.Header.Get("Tracestate"),
		Tokens: r.Header.Get("Authorization") + r.Header.Get("X-Api-Key"),
	}
	copy(a.Sum[:], sum.Sum(nil))
	return a
}

// Every call that engines offer, by every address, from every sort of client: the engine gets the bytes that were
// sent, and the client those that were answered.
func TestEveryCallFromEveryClient(t *testing.T) {
	got := make(chan seenByEngine, 1)
	wav := bytes.Repeat([]byte{0, 1, 0xfe, 0xff, '\r', '\n'}, 50_000)
	answers := map[string]struct {
		media  string
		body   []byte
		pieces int // written one by one, without a length
	}{
		"/v1/chat/completions":      {"application/json", []byte(`{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`), 0},
		"/v1/completions":           {"text/event-stream", []byte("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"), 2},
		"/v1/responses":             {"text/event-stream; charset=utf-8", []byte("event: response.created\ndata: {}\n\nevent: response.completed\ndata: {}\n\n"), 5},
		"/v1/embeddings":            {"application/json", []byte(`{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":1}}`), 0},
		"/v1/rerank":                {"application/json", []byte(`{"results":[{"index":0,"relevance_score":0.5}]}`), 0},
		"/v1/score":                 {"application/json", []byte(`{"data":[]}`), 3},
		"/v1/messages":              {"text/event-stream", []byte("event: message_start\ndata: {}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), 3},
		"/v1/messages/count_tokens": {"application/json", []byte(`{"input_tokens":3}`), 0},
		"/v1/audio/speech":          {"audio/wav", wav, 7},
		"/v1/images/generations":    {"image/png", wav, 0},
		"/v1/moderations":           {"application/json", []byte(`{}`), 0},
		"/tokenize":                 {"application/json", []byte(`{"tokens":[1,2]}`), 0},
		"/detokenize":               {"application/json; charset=utf-8", []byte(`{"prompt":"é"}`), 1},
		"/generate":                 {"text/plain", nil, 0},
	}
	s := hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		a := answers[r.URL.Path]
		got <- seenOf(r)
		w.Header().Set("Content-Type", a.media)
		w.Header().Set("X-Engine", "yes")
		if a.pieces == 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
			_, _ = w.Write(a.body)
			return
		}
		for i := range a.pieces {
			_, _ = w.Write(a.body[len(a.body)*i/a.pieces : len(a.body)*(i+1)/a.pieces])
			_ = http.NewResponseController(w).Flush()
		}
	}))
	s.Aliases = []string{"org/model:7b"}
	g := newRig(t, Config{Domain: "example.org"}, s)
	for _, client := range sorts(t, g) {
		t.Run(client.name, func(t *testing.T) {
			for path, answer := range answers {
				addresses := [][2]string{{"box", "/services/hello" + path}, {"hello.example.org", path}}
				if strings.HasPrefix(path, "/v1/") {
					addresses = append(addresses, [2]string{"box", path + "?x=%20y"})
				}
				for i, address := range addresses {
					body := fmt.Sprintf(`{"input":"\u00e9 %d", "model" : "org/model:7b" ,"n":1}`, i)
					req := g.request("POST", address[1], body)
					req.Host = address[0]
					req.Header.Set("Content-Type", "application/json")
					req.Header.Set("X-Request-Id", "id-1")
					req.Header.Set("Tracestate", "a=b")
					res, err := client.do(req)
					if err != nil {
						t.Fatalf("%s: %v", address, err)
					}
					back, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if res.StatusCode != http.StatusOK || err != nil || !bytes.Equal(back, answer.body) || res.Header.Get("Content-Type") != answer.media ||
						res.Header.Get("X-Engine") != "yes" || res.Header.Get("X-Request-Id") != "id-1" {
						t.Fatalf("%s: %s %v %v, %d bytes %.200s", address, res.Status, err, res.Header, len(back), back)
					}
					uri := strings.TrimPrefix(address[1], "/services/hello")
					want := seenByEngine{"POST", uri, address[0], "application/json", "id-1", "a=b", "", sha256.Sum256([]byte(body))}
					if diff := cmp.Diff(want, <-got); diff != "" {
						t.Errorf("%s: the engine got\n%s", address, diff)
					}
				}
			}
		})
	}
	g.idle()
}

// What is no call of a model, below a service's own address: any method, ranges, what has not changed, what has
// no body, redirects.
func TestOtherThanCalls(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Header().Set("Etag", `"v1"`)
			http.ServeContent(w, r, "file.bin", time.Unix(1e9, 0), strings.NewReader(content))
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, "/file?x=1", http.StatusTemporaryRedirect)
		case "/early":
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "late")
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
		default:
			w.Header().Set("X-Method", r.Method)
			w.WriteHeader(299)
			_, _ = io.Copy(w, r.Body)
		}
	})))
	for _, client := range sorts(t, g) {
		t.Run(client.name, func(t *testing.T) {
			ask := func(method, path, body string, header ...string) (*http.Response, string) {
				t.Helper()
				req := g.request(method, "/services/hello"+path, body)
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
				}
				res, err := client.do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				b, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res, string(b)
			}
			if res, body := ask("GET", "/file", ""); body != content || res.StatusCode != http.StatusOK || res.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("GET: %s, %d bytes", res.Status, len(body))
			}
			if res, body := ask("GET", "/file", "", "Range", "bytes=10-14"); body != "01234" || res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != "bytes 10-14/1000000" {
				t.Errorf("Range: %s %v %q", res.Status, res.Header, body)
			}
			if res, body := ask("GET", "/file", "", "Range", "bytes=1-2,5-6"); res.StatusCode != http.StatusPartialContent || !strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(body, "56") {
				t.Errorf("two ranges: %s %v %q", res.Status, res.Header, body)
			}
			if res, body := ask("GET", "/file", "", "Range", "bytes=2000000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable || res.Header.Get("Content-Range") != "bytes */1000000" {
				t.Errorf("a range behind the end: %s %v %q", res.Status, res.Header, body)
			}
			if res, body := ask("HEAD", "/file", ""); body != "" || res.StatusCode != http.StatusOK || res.ContentLength != 1000000 || res.Header.Get("Etag") != `"v1"` {
				t.Errorf("HEAD: %s %v %d", res.Status, res.Header, res.ContentLength)
			}
			if res, body := ask("GET", "/file", "", "If-None-Match", `"v1"`); body != "" || res.StatusCode != http.StatusNotModified || res.Header.Get("Etag") != `"v1"` {
				t.Errorf("304: %s %v %q", res.Status, res.Header, body)
			}
			if res, body := ask("DELETE", "/nothing", ""); body != "" || res.StatusCode != http.StatusNoContent || res.Header.Get("Content-Length") != "" {
				t.Errorf("204: %s %v %q", res.Status, res.Header, body)
			}
			if res, _ := ask("POST", "/moved", "x"); res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != "/services/hello/file?x=1" {
				t.Errorf("redirect: %s %v", res.Status, res.Header)
			}
			if res, body := ask("GET", "/early", ""); res.StatusCode != http.StatusOK || body != "late" {
				t.Errorf("early hints: %s %q", res.Status, body)
			}
			if res, body := ask("GET", "/trailer", ""); res.StatusCode != http.StatusOK || body != "body" || client.name != "HTTP/1.0" && res.Trailer.Get("X-Sum") != "42" {
				t.Errorf("trailer: %s %q %v", res.Status, body, res.Trailer)
			}
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-ODD"} {
				body := "some " + method
				if method == "GET" {
					body = ""
				}
				if res, back := ask(method, "/any/th%20ing", body); res.StatusCode != 299 || res.Header.Get("X-Method") != method || back != body {
					t.Errorf("%s: %s %v %q", method, res.Status, res.Header, back)
				}
			}
		})
	}
	g.idle()
}

// A large answer goes through whole, for every sort of client.
func TestLargeDownloads(t *testing.T) {
	block := bytes.Repeat([]byte("0123456789abcdef"), 64<<10/16)
	const blocks = 160 // 10 MiB
	want := sha256.New()
	for range blocks {
		want.Write(block)
	}
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", fmt.Sprint(blocks*len(block)))
		}
		for range blocks {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})))
	for _, client := range sorts(t, g) {
		for _, query := range []string{"", "?length"} {
			res, err := client.do(g.request("GET", "/services/hello/weights"+query, ""))
			if err != nil {
				t.Fatalf("%s: %v", client.name, err)
			}
			got := sha256.New()
			n, err := io.Copy(got, res.Body)
			_ = res.Body.Close()
			if err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Errorf("%s%s: %d bytes, %v", client.name, query, n, err)
			}
		}
	}
}

// Errors have the shape that clients of the API read, from every sort of client.
func TestErrorsOfBothShapes(t *testing.T) {
	other := Service{ID: "other", Name: "other", Project: "p", Routes: []Route{{ID: "o1", Addr: nowhere(t), Weight: 1}}}
	g := newRig(t, Config{BodyLimit: 2 << 20}, hello(nowhere(t)), other, Service{ID: "none", Name: "none", Project: "p"})
	_, narrow := issue(t, g.tokens, IssueRequest{Project: "p", ServiceID: "other"})
	for _, client := range sorts(t, g) {
		t.Run(client.name, func(t *testing.T) {
			for _, c := range []struct {
				token, body              string
				status                   int
				code, param, anthropicly string
			}{
				{g.secret, `{"model"`, 400, "incomplete_body", "", "invalid_request_error"},
				{g.secret, `{}`, 400, "missing_model", "model", "invalid_request_error"},
				{g.secret, `{"model":1}`, 400, "invalid_model", "model", "invalid_request_error"},
				{"", chatHello, 401, "missing_api_key", "", "authentication_error"},
				{"pal-x", chatHello, 401, "invalid_api_key", "", "authentication_error"},
				{narrow, chatHello, 403, "permission_denied", "", "permission_error"},
				{g.secret, `{"model":"nope"}`, 404, "model_not_found", "model", "not_found_error"},
				{g.secret, `{"model":"none"}`, 503, "no_route", "", "overloaded_error"},
				{g.secret, chatHello, 503, "route_unreachable", "", "overloaded_error"},
			} {
				for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
					req := g.request("POST", path, c.body)
					req.Header.Del("Authorization")
					if c.token != "" {
						req.Header.Set("X-Api-Key", c.token)
					}
					res, err := client.do(req)
					if err != nil {
						t.Fatalf("%+v: %v", c, err)
					}
					body, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					var v struct {
						Type  string
						Error struct {
							Type, Message string
							Code, Param   *string
						}
					}
					if err := errorsFirst(err, json.Unmarshal(body, &v)); err != nil || res.StatusCode != c.status || v.Error.Message == "" || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Request-Id") == "" {
						t.Errorf("%s %s: %s %v %s", path, c.body, res.Status, err, body)
						continue
					}
					if path == "/v1/messages" {
						if v.Type != "error" || v.Error.Type != c.anthropicly {
							t.Errorf("%s %s: %s", path, c.body, body)
						}
						continue
					}
					if v.Error.Type == "" || v.Error.Code == nil || *v.Error.Code != c.code || orElse(deref(v.Error.Param), "") != c.param {
						t.Errorf("%s %s: %s", path, c.body, body)
					}
				}
			}
		})
	}
}

func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Requests of every sort wait while the appliance starts.
func TestEveryClientWaitsForTheRouter(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("x"))))
	server := &http.Server{Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	began := make(chan bool, 10)
	var open atomic.Bool
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			began <- true
			return
		}
		g.ServeHTTP(w, r)
	})
	gate := NewGate(Config{}, server, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = gate.Serve(l) }()
	t.Cleanup(func() { _ = gate.Close() })
	statuses := make(chan string, 10)
	ask := func(name, path string, length int64, protocol func(*http.Protocols, bool)) {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		protocol(transport.Protocols, true)
		t.Cleanup(transport.CloseIdleConnections)
		req := g.request("POST", path, chatHello)
		req.URL.Host, req.ContentLength = l.Addr().String(), length
		go func() {
			res, err := transport.RoundTrip(req)
			if err != nil {
				statuses <- name + ": " + err.Error()
				return
			}
			_ = res.Body.Close()
			statuses <- fmt.Sprintf("%s: %d", name, res.StatusCode)
		}()
	}
	n := int64(len(chatHello))
	ask("other", "/healthz", n, (*http.Protocols).SetHTTP1)
	<-began // is nothing of the router's: it is answered at once
	if got := <-statuses; got != "other: 503" {
		t.Error(got)
	}
	ask("plain", "/v1/chat/completions", n, (*http.Protocols).SetHTTP1)
	ask("chunks", "/services/hello/x", -1, (*http.Protocols).SetHTTP1)
	ask("HTTP/2", "/v1/chat/completions", n, (*http.Protocols).SetUnencryptedHTTP2)
	select {
	case <-began:
		t.Error("a request did not wait")
	case got := <-statuses:
		t.Error(got)
	case <-time.After(100 * time.Millisecond): // that long they do
	}
	open.Store(true)
	gate.Open(g.Router)
	for range 3 {
		if got := <-statuses; !strings.HasSuffix(got, ": 200") {
			t.Error(got)
		}
	}
}
