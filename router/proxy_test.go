package router

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoutesAlternate(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("a")), engine(t, says("b"))))
	got := ""
	for range 6 {
		_, answer := g.chat()
		got += answer
	}
	if got != "ababab" {
		t.Errorf("got %s", got)
	}
	if n := g.metric("palisade_router_requests_total", "service", "hello", "kind", "chat", "code", "2xx"); n != 6 {
		t.Errorf("%v requests counted", n)
	}
	if n := g.metric("palisade_router_request_duration_seconds", "service", "hello"); n != 6 {
		t.Errorf("%v durations", n)
	}
}

func TestRefusals(t *testing.T) {
	var touched atomic.Int32
	addr := engine(t, func(http.ResponseWriter, *http.Request) { touched.Add(1) })
	s := hello(addr)
	other := Service{ID: "other", Name: "other", Project: "q", Routes: []Route{{ID: "o1", Addr: addr, Weight: 1}}}
	empty := Service{ID: "empty", Name: "empty", Project: "p", Status: "PROVISIONING"}
	g := newRig(t, Config{BufferLimit: 2 << 20, BodyLimit: 4 << 20}, s, other, empty)
	_, narrow := issue(t, g.tokens, IssueRequest{Project: "p", ServiceID: "empty"})
	_, dead := issue(t, g.tokens, IssueRequest{Name: "dead", Project: "p"})
	if err := g.tokens.Revoke(t.Context(), "dead"); err != nil {
		t.Fatal(err)
	}
	big := `"` + strings.Repeat("a", 3<<20) + `"`
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		code, param                     string
	}{
		{"no token", "POST", "/v1/chat/completions", "", chatHello, 401, "missing_api_key", ""},
		{"malformed", "POST", "/v1/chat/completions", "sk-1", chatHello, 401, "invalid_api_key", ""},
		{"unknown", "POST", "/v1/chat/completions", newSecret(), chatHello, 401, "invalid_api_key", ""},
		{"revoked", "POST", "/v1/chat/completions", dead, chatHello, 401, "revoked_api_key", ""},
		{"other service", "POST", "/v1/chat/completions", narrow, chatHello, 403, "permission_denied", ""},
		{"other service by name", "POST", "/services/hello/v1/x", narrow, chatHello, 403, "permission_denied", ""},
		{"other project", "POST", "/v1/chat/completions", g.secret, `{"model":"other"}`, 404, "model_not_found", "model"},
		{"unknown model", "POST", "/v1/chat/completions", g.secret, `{"model":"nope"}`, 404, "model_not_found", "model"},
		{"unknown service", "GET", "/services/nope/x", g.secret, "", 404, "service_not_found", ""},
		{"unknown service, no token", "GET", "/services/nope/x", "", "", 401, "missing_api_key", ""},
		{"no name", "GET", "/services/", g.secret, "", 404, "unknown_url", ""},
		{"v1 twice", "POST", "/v1/v1/chat/completions", g.secret, chatHello, 404, "unknown_url", ""},
		{"not an address", "GET", "/nope", g.secret, "", 404, "unknown_url", ""},
		{"no JSON", "POST", "/v1/chat/completions", g.secret, `model=hello`, 400, "invalid_json", ""},
		{"JSON that breaks", "POST", "/v1/chat/completions", g.secret, `{"model":"hello",}`, 400, "invalid_json", ""},
		{"cut off", "POST", "/v1/chat/completions", g.secret, `{"model":"hello"`, 400, "incomplete_body", ""},
		{"no body", "POST", "/v1/chat/completions", g.secret, "", 400, "missing_model", "model"},
		{"no model", "POST", "/v1/chat/completions", g.secret, `{"messages":[]}`, 400, "missing_model", "model"},
		{"empty model", "POST", "/v1/chat/completions", g.secret, `{"model":""}`, 400, "missing_model", "model"},
		{"model 7", "POST", "/v1/chat/completions", g.secret, `{"model":7}`, 400, "invalid_model", "model"},
		{"two models", "POST", "/v1/chat/completions", g.secret, `{"model":"hello","model":"other"}`, 400, "invalid_model", "model"},
		{"model behind the limit", "POST", "/v1/chat/completions", g.secret, `{"x":` + big + `,"model":"hello"}`, 413, "body_too_large", ""},
		{"too large", "POST", "/v1/chat/completions", g.secret, `{"model":"hello","x":` + big + "," + `"y":` + big + `}`, 413, "body_too_large", ""},
		{"no model in the query", "GET", "/v1/realtime", g.secret, "", 400, "missing_model", "model"},
		{"two models in the query", "GET", "/v1/realtime?model=a&model=b", g.secret, "", 400, "invalid_model", "model"},
		{"no route", "POST", "/v1/chat/completions", g.secret, `{"model":"empty"}`, 503, "no_route", ""},
		{"climbing", "GET", "/services/hello/%2e%2e/%2e%2e/api", g.secret, "", 400, "invalid_path", ""},
		{"climbing by slashes", "GET", "/services/hello/..%2f..%2fapi", g.secret, "", 400, "invalid_path", ""},
		{"name of dots", "GET", "/services/%2e%2e/api", g.secret, "", 404, "service_not_found", ""},
		{"write to models", "POST", "/v1/models", g.secret, "{}", 405, "method_not_allowed", ""},
		{"unknown model's entry", "GET", "/v1/models/nope", g.secret, "", 404, "model_not_found", "model"},
		{"other project's entry", "GET", "/v1/models/other", g.secret, "", 404, "model_not_found", "model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := g.request(c.method, c.path, c.body)
			req.Header.Set("Authorization", "Bearer "+c.token)
			if c.token == "" {
				req.Header.Del("Authorization")
			}
			res := g.send(req)
			var v struct {
				Error struct {
					Message, Type string
					Param, Code   *string
				}
			}
			if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
				t.Fatal(err)
			}
			code, param := "", ""
			if v.Error.Code != nil {
				code = *v.Error.Code
			}
			if v.Error.Param != nil {
				param = *v.Error.Param
			}
			if res.StatusCode != c.status || code != c.code || param != c.param || v.Error.Message == "" || v.Error.Type == "" {
				t.Errorf("got %d %+v code %s param %s; want %d %s %s", res.StatusCode, v.Error, code, param, c.status, c.code, c.param)
			}
			if strings.Contains(v.Error.Message, "PROVISIONING") != (c.status == 503) || (res.Header.Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("message %q, Retry-After %q", v.Error.Message, res.Header.Get("Retry-After"))
			}
			if (res.Header.Get("Www-Authenticate") != "") != (c.status == 401) || res.Header.Get("X-Request-Id") == "" {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
	if n := touched.Load(); n != 0 {
		t.Errorf("engines were asked %d times", n)
	}
	if n := g.metric("palisade_router_refused_total", "code", "missing_api_key"); n != 2 {
		t.Errorf("%v refused for no token", n)
	}
}

// A name that no model has is most often a mistyped one: the few that the token is for are named, and no others.
func TestAWrongModelIsToldTheRightOnes(t *testing.T) {
	other := Service{ID: "svc-o", Name: "hidden", Project: "q"}
	second := Service{ID: "svc-2", Name: "second", Project: "p"}
	g := newRig(t, Config{}, hello(), other, second)
	_, narrow := issue(t, g.tokens, IssueRequest{Project: "p", ServiceID: "svc-2"})
	want := func(secret, names string) {
		t.Helper()
		for _, req := range []*http.Request{
			g.request("POST", "/v1/chat/completions", `{"model":"gpt-4"}`), g.request("GET", "/v1/models/gpt-4", ""),
		} {
			req.Header.Set("Authorization", "Bearer "+secret)
			if status, body := g.ask(req); status != 404 || !strings.Contains(body, names) || strings.Contains(body, "hidden") {
				t.Errorf("%s: got %d %s, want %q", req.URL.Path, status, body, names)
			}
		}
	}
	want(g.secret, `It is for \"hello\", \"second\".`)
	want(narrow, `It is for \"second\".`)
	many := []Service{other}
	for i := range mostNamed + 1 {
		many = append(many, Service{ID: "svc-m" + strconv.Itoa(i), Name: "m" + strconv.Itoa(i), Project: "p"})
	}
	g.SetServices(many)
	want(g.secret, "GET /v1/models lists those")
}

func TestErrorsOfMessagesHaveAnthropicsShape(t *testing.T) {
	g := newRig(t, Config{}, hello())
	for _, path := range []string{"/v1/messages", "/services/hello/v1/messages"} {
		status, body := g.ask(g.request("POST", path, chatHello))
		if want := `{"type":"error","error":{"type":"overloaded_error","message":`; status != 503 || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestTokensInAllForms(t *testing.T) {
	type seen struct{ authorization, apiKey string }
	got := make(chan seen, 1)
	s := hello(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		got <- seen{r.Header.Get("Authorization"), r.Header.Get("X-Api-Key")}
	}))
	s.EngineKey = "engine-key"
	g := newRig(t, Config{}, s)
	for header, value := range map[string]string{"Authorization": "Bearer " + g.secret, "authorization": "BackendAI " + g.secret, "X-Api-Key": g.secret} {
		req := g.request("POST", "/v1/messages", chatHello)
		req.Header.Del("Authorization")
		req.Header.Set(header, value)
		if status, body := g.ask(req); status != 200 {
			t.Errorf("%s: %d %s", header, status, body)
		}
		if s := <-got; s != (seen{"Bearer engine-key", ""}) {
			t.Errorf("the engine got %+v", s)
		}
	}
}

// The engine sees the request as the client wrote it: path, query, body, headers.
func TestPassedOnAsItIs(t *testing.T) {
	type seen struct{ Method, URI, Host, Body, ID, Trace, Prefix, Auth string }
	got := make(chan seen, 1)
	g := newRig(t, Config{Domain: "example.org"}, hello(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, r.Host, string(b), r.Header.Get("X-Request-Id"), r.Header.Get("Traceparent"), r.Header.Get("X-Forwarded-Prefix"), r.Header.Get("Authorization")}
	})))
	body := " {\"messages\": [ ],\n\"\\u006dodel\":\"hello\" }\t"
	for _, c := range []struct{ method, host, path, body, uri, prefix string }{
		{"POST", "box", "/v1/chat/completions?x=1;y=%2F&z", body, "/v1/chat/completions?x=1;y=%2F&z", ""},
		{"POST", "box", "/services/hello/v1/chat/completions", body, "/v1/chat/completions", "/services/hello"},
		{"PATCH", "box", "/services/hello/a%2Fb//c%20d/|^[]%7Bx?", "", "/a%2Fb//c%20d/|^[]%7Bx?", "/services/hello"},
		{"GET", "box", "/services/hello//double", "", "//double", "/services/hello"},
		{"DELETE", "box", "/services/hello", "", "/", "/services/hello"},
		{"PURGE", "box", "/services/hello/x", "abc", "/x", "/services/hello"},
		{"GET", "hello.example.org", "/services/x?y", "", "/services/x?y", ""},
		{"GET", "hello.example.org:8080", "/v1/models", "", "/v1/models", ""},
	} {
		text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nX-Request-Id: abc\r\nTraceparent: 00-1-2-01\r\nContent-Length: %d\r\n\r\n%s",
			c.method, c.path, c.host, g.secret, len(c.body), c.body)
		if res := g.raw(text); res.StatusCode != http.StatusOK || res.Header.Get("X-Request-Id") != "abc" {
			t.Errorf("%s: %s %v", c.path, res.Status, res.Header)
			continue
		}
		if diff := cmp.Diff(seen{c.method, c.uri, c.host, c.body, "abc", "00-1-2-01", c.prefix, ""}, <-got); diff != "" {
			t.Errorf("%s %s:\n%s", c.method, c.path, diff)
		}
	}
}

func TestSegmentsThatClimbAreRefusedRaw(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, says("x"))))
	for _, path := range []string{"/services/hello/../x", "/services/hello/..", "/services/hello/./x", "/services/hello/..\\x", "/v1/../x"} {
		res := g.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + g.secret + "\r\n\r\n")
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

// A body in one piece and one in chunks, small and large, the model first or last: the engine gets
// the same bytes.
func TestBodiesArriveWhole(t *testing.T) {
	type seen struct {
		length int64
		sum    [32]byte
	}
	got := make(chan seen, 1)
	g := newRig(t, Config{}, hello(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.ContentLength, sha256.Sum256(b)}
	})))
	for _, size := range []int{100, 5 << 10, replayLimit - 100, replayLimit + 5, 3 << 20, 50 << 20} {
		for _, path := range []string{"/services/hello/x", "/v1/chat/completions"} {
			for _, format := range []string{`{"model":"hello","x":"%s"}`, `{"x":"%s","model":"hello"}`} {
				for _, chunked := range []bool{false, true} {
					if size > 10<<20 && (chunked || path == "/services/hello/x" || format[2] == 'm') {
						continue // one of those is enough
					}
					body := fmt.Sprintf(format, strings.Repeat("a", size))
					req := g.request("POST", path, body)
					if chunked {
						req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
					}
					if status, answer := g.ask(req); status != 200 {
						t.Fatalf("%d bytes to %s: %d %s", size, path, status, answer)
					}
					s := <-got
					if s.sum != sha256.Sum256([]byte(body)) || s.length != int64(len(body)) && !chunked {
						t.Errorf("%d bytes to %s (chunked %v) did not arrive", size, path, chunked)
					}
				}
			}
		}
	}
	g.idle()
	if n := g.buffered.Load(); n != 0 {
		t.Errorf("%d bytes are still accounted for", n)
	}
}

func TestForms(t *testing.T) {
	type seen struct{ model, file string }
	got := make(chan seen, 1)
	g := newRig(t, Config{BufferLimit: 4 << 20}, hello(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(32 << 20)
		f, _, err := r.FormFile("file")
		if err != nil {
			got <- seen{err.Error(), ""}
			return
		}
		b, _ := io.ReadAll(f)
		got <- seen{r.FormValue("model"), fmt.Sprintf("%d", len(b))}
	})))
	form := func(modelFirst bool, size int, model string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		if modelFirst {
			_ = w.WriteField("model", model)
		}
		part, _ := w.CreateFormFile("file", "model")
		_, _ = part.Write(make([]byte, size))
		if !modelFirst && model != "" {
			_ = w.WriteField("model", model)
		}
		_ = w.Close()
		return b.String(), w.FormDataContentType()
	}
	for _, c := range []struct {
		first  bool
		size   int
		model  string
		status int
	}{
		{true, 10, "hello", 200}, {false, 10, "hello", 200}, {false, 3 << 20, "hello", 200}, {true, 20 << 20, "hello", 200},
		{false, 20 << 20, "hello", 413}, {false, 10, "", 400}, {true, 10, "nope", 404}, {true, 10, strings.Repeat("x", 600), 400},
	} {
		body, contentType := form(c.first, c.size, c.model)
		req := g.request("POST", "/v1/audio/transcriptions", body)
		req.Header.Set("Content-Type", contentType)
		status, answer := g.ask(req)
		if status != c.status {
			t.Errorf("%+v: %d %s", c, status, answer)
		}
		if status == 200 {
			if s := <-got; s != (seen{c.model, fmt.Sprint(c.size)}) {
				t.Errorf("%+v: the engine got %+v", c, s)
			}
		}
	}
	body, contentType := form(false, 1000, "hello")
	for _, bad := range []struct{ contentType, body string }{{"multipart/form-data", body}, {contentType, body[:len(body)-150]}, {contentType, "x"}} {
		req := g.request("POST", "/v1/audio/transcriptions", bad.body)
		req.Header.Set("Content-Type", bad.contentType)
		if status, answer := g.ask(req); status != 400 || !strings.Contains(answer, "invalid_form") {
			t.Errorf("got %d %s", status, answer)
		}
	}
}

func TestModelInTheQuery(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RequestURI)
	})))
	if status, body := g.ask(g.request("GET", "/v1/files?model=hello&x=1", "")); status != 200 || body != "/v1/files?model=hello&x=1" {
		t.Errorf("got %d %s", status, body)
	}
	// What is bound to one service need not name it where there is no body to do so.
	req := g.request("GET", "/v1/responses/resp_1", "")
	_, narrow := issue(t, g.tokens, IssueRequest{Project: "p", ServiceID: "svc"})
	req.Header.Set("Authorization", "Bearer "+narrow)
	if status, body := g.ask(req); status != 200 || body != "/v1/responses/resp_1" {
		t.Errorf("got %d %s", status, body)
	}
	// A compressed body cannot be looked into.
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = io.WriteString(zip, chatHello)
	_ = zip.Close()
	for path, want := range map[string]int{"/v1/chat/completions": 415, "/v1/chat/completions?model=hello": 200, "/services/hello/v1/chat/completions": 200} {
		req := g.request("POST", path, b.String())
		req.Header.Set("Content-Encoding", "gzip")
		if status, body := g.ask(req); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestModels(t *testing.T) {
	open := Service{ID: "o", Name: "open", Project: "q", Public: true, CreatedAt: at("2026-01-02T03:04:05Z")}
	mine := Service{ID: "m", Name: "mine", Project: "p", Aliases: []string{"org/model:7b"}}
	g := newRig(t, Config{}, open, mine, Service{ID: "x", Name: "hidden", Project: "q"})
	const openEntry = `{"id":"open","object":"model","created":1767323045,"owned_by":"q"}`
	for _, c := range []struct {
		path, authorization, want string
		status                    int
	}{
		{"/v1/models", "Bearer " + g.secret, `{"object":"list","data":[{"id":"mine","object":"model","created":0,"owned_by":"p"},` + openEntry + `]}`, 200},
		{"/v1/models", "", `{"object":"list","data":[` + openEntry + `]}`, 200},
		{"/v1/models/", "Bearer none", `{"object":"list","data":[` + openEntry + `]}`, 200},
		{"/v1/models/open", "", openEntry, 200},
		{"/v1/models/org/model:7b", "Bearer " + g.secret, `{"id":"org/model:7b","object":"model","created":0,"owned_by":"p"}`, 200},
		{"/v1/models/org%2Fmodel%3A7b", "Bearer " + g.secret, `{"id":"org/model:7b","object":"model","created":0,"owned_by":"p"}`, 200},
		{"/v1/models/mine", "", "", 401},
		{"/v1/models/hidden", "Bearer " + g.secret, "", 404},
	} {
		req := g.request("GET", c.path, "")
		req.Header.Set("Authorization", c.authorization)
		status, body := g.ask(req)
		if status != c.status || c.want != "" && body != c.want+"\n" {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
}

func TestAnswersPassedOn(t *testing.T) {
	g := newRig(t, Config{}, hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/redirect":
			h.Set("Location", "/docs/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "/headers":
			h.Set("X-Own", "1")
			h.Set("Connection", "X-Hop")
			h.Set("X-Hop", "1")
			h.Set("Keep-Alive", "timeout=5")
			h.Set("X-Request-Id", "the engine's")
			w.WriteHeader(http.StatusTeapot)
		case "/trailers":
			h.Set("Trailer", "X-Announced")
			_, _ = io.WriteString(w, "body")
			h.Set("X-Announced", "1")
			h.Set(http.TrailerPrefix+"X-Late", "2")
		case "/early":
			h.Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			h.Del("Link")
			_, _ = io.WriteString(w, "final")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		}
	})))
	get := func(path string) *http.Response {
		req := g.request("GET", "/services/hello"+path, "")
		return g.send(req)
	}
	g.server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if res := get("/redirect"); res.Header.Get("Location") != "/services/hello/docs/" || res.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("redirect: %d %v", res.StatusCode, res.Header)
	}
	res := get("/headers")
	h := res.Header
	if res.StatusCode != http.StatusTeapot || h.Get("X-Own") != "1" || h.Get("X-Hop") != "" || h.Get("Keep-Alive") != "" || len(h["X-Request-Id"]) != 1 || h.Get("X-Request-Id") == "the engine's" {
		t.Errorf("headers: %d %v", res.StatusCode, h)
	}
	res = get("/trailers")
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "body" || res.Trailer.Get("X-Announced") != "1" || res.Trailer.Get("X-Late") != "2" {
		t.Errorf("trailers: %q %v %v", body, err, res.Trailer)
	}
	if res := get("/none"); res.StatusCode != http.StatusNoContent {
		t.Errorf("none: %d", res.StatusCode)
	}
	var early string
	req := g.request("GET", "/services/hello/early", "")
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			early = fmt.Sprint(code, h.Get("Link"))
			return nil
		},
	}))
	res = g.send(req)
	if body, _ := io.ReadAll(res.Body); early != "103</style.css>" && early != "103 </style.css>" || string(body) != "final" || res.Header.Get("Link") != "" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("early hints: %q, then %q %v", early, body, res.Header)
	}
	if status, body := g.ask(g.request("HEAD", "/services/hello/headers", "")); status != 418 || body != "" {
		t.Errorf("HEAD: %d %q", status, body)
	}
}

func TestRequestTrailers(t *testing.T) {
	got := make(chan string, 1)
	g := newRig(t, Config{}, hello(engine(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Trailer.Get("X-Sum")
	})))
	req := g.request("POST", "/services/hello/upload", "body")
	req.ContentLength = -1
	req.Trailer = http.Header{"X-Sum": {"abc"}}
	if status, _ := g.ask(req); status != 200 {
		t.Errorf("got %d", status)
	}
	if sum := <-got; sum != "abc" {
		t.Errorf("trailer %q", sum)
	}
}
