package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestCredentialsDoNotFollowToAnotherHost(t *testing.T) {
	seen := ""
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization") + r.Header.Get("X-Key")
	})
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("X-Key") != "k":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case r.URL.Path == "/there":
			http.Redirect(w, r, other+"/x", http.StatusTemporaryRedirect)
		}
	})
	credentials := web.Bearer("s3cret")
	credentials.Set("X-Key", "k")
	resp, err := web.New(web.Options{}).Do(t.Context(), web.Request{URL: home + "/here", Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen != "" {
		t.Errorf("another host was told %q", seen)
	}
}

// plain answers requests to any host by a function.
type plain func(*http.Request) *http.Response

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := p(r)
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	resp.Request = r
	return resp, nil
}

func TestRedirects(t *testing.T) {
	to := func(status int, where string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Location": {where}}}
	}
	c := web.New(web.Options{Redirects: 3, Transport: plain(func(r *http.Request) *http.Response {
		switch r.URL.Path {
		case "/down":
			return to(302, "http://host/ok")
		case "/round":
			return to(302, "/round")
		case "/nowhere":
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{}}
		case "/odd":
			return to(302, "file:///etc/passwd")
		case "/user":
			return to(302, "https://a:b@host/ok")
		}
		if r.URL.User != nil {
			return &http.Response{StatusCode: http.StatusInternalServerError}
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}
	})})
	for path, wrong := range map[string]string{
		"/down": "redirects from https to plain http", "/round": "more than 3 times", "/nowhere": "redirects to no address", "/odd": "redirects to no address", "/user": "", "/ok": "",
	} {
		resp, err := c.Do(t.Context(), web.Request{URL: "https://host" + path + "?sig=s3cret"})
		if err == nil {
			resp.Body.Close()
		}
		if (wrong == "") != (err == nil) || err != nil && (!errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v, want %q", path, err, wrong)
		}
	}
	resp, err := c.Do(t.Context(), web.Request{URL: "https://host/down", Stay: true})
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("an answer that was to stay: %v", err)
	}
	resp.Body.Close()
}

func TestAnswersThatAreErrors(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("after") {
			w.Header().Set("Retry-After", r.URL.Query().Get("after"))
		}
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		fmt.Fprint(w, "because\x1b[31m of it\nmore")
	})
	for path, want := range map[string]struct {
		kind  error
		after time.Duration
	}{
		"/401": {kind: fetch.ErrDenied}, "/403": {kind: fetch.ErrDenied}, "/404": {kind: fetch.ErrNotFound}, "/410": {kind: fetch.ErrNotFound}, "/416": {kind: fetch.ErrChanged},
		"/400": {kind: fetch.ErrRefused}, "/451": {kind: fetch.ErrRefused}, "/501": {kind: fetch.ErrRefused}, "/500": {}, "/502": {}, "/408": {},
		"/429?after=7": {after: 7 * time.Second}, "/503?after=1": {after: time.Second}, "/429?after=x": {}, "/429?after=-5": {},
	} {
		_, err := web.New(web.Options{}).Do(t.Context(), web.Request{URL: address + path})
		e, is := errors.AsType[*web.Error](err)
		if !is || !errors.Is(e.Kind, want.kind) || want.kind != nil && !errors.Is(err, want.kind) {
			t.Errorf("%s: %v is %v, want %v", path, err, e.Kind, want.kind)
			continue
		}
		if !strings.HasSuffix(err.Error(), ": because[31m of it") {
			t.Errorf("%s: it says %q", path, err)
		}
		later, is := errors.AsType[*fetch.Later](err)
		if is != (want.after > 0) || is && later.After != want.after {
			t.Errorf("%s: to be tried again %v", path, later)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	listener.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for address, says := range map[string]string{closed: "cannot be reached", tls.URL: "its certificate is not accepted", silent: "no answer in time", "ftp://x/y": "no address", "http://": "no address"} {
		_, err := web.New(web.Options{Header: 50 * time.Millisecond}).Do(t.Context(), web.Request{URL: address})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", address, err, says)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("given up")
	cancel(why)
	if _, err := web.New(web.Options{}).Do(ctx, web.Request{URL: silent}); !errors.Is(err, why) {
		t.Errorf("given up: %v", err)
	}
}

// drip sends a byte, and then nothing more until it is closed.
type drip struct {
	sent bool
	done <-chan struct{}
}

func (d *drip) Read(p []byte) (int, error) {
	if !d.sent {
		d.sent = true
		return copy(p, "a"), nil
	}
	<-d.done
	return 0, context.Canceled
}
func (d *drip) Close() error { return nil }

func TestAnAnswerOfWhichNothingComesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := web.New(web.Options{Transport: plain(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, ContentLength: 10, Header: http.Header{}, Body: &drip{done: r.Context().Done()}}
		})})
		body, _, err := c.Read(t.Context(), web.Request{URL: "http://host/x"}, web.Range{Length: 10, Bytes: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := body.Read(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // who is slow to read does not end it
		start := time.Now()
		if _, err = body.Read(make([]byte, 10)); !errors.Is(err, fetch.ErrTruncated) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestRanges(t *testing.T) {
	const text = "0123456789"
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"/file": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"a"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		},
		"/whole": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) },
		"/packed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, text)
		},
		"/long": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush() // so that no length is said
			fmt.Fprint(w, text+"more")
		},
		"/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, text[:4])
		},
		"/elsewhere": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-4/10")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, text[:5])
		},
		"/odd": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) },
		"/204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) })
	for _, c := range []struct {
		path string
		part web.Range
		want string
		kind error
	}{
		{"/file", web.Range{Length: -1, Bytes: 10}, text, nil},
		{"/file", web.Range{Length: 10, Bytes: 10, ETag: `"a"`}, text, nil},
		{"/file", web.Range{Offset: 3, Length: 4, Bytes: 10, ETag: `"a"`}, "3456", nil},
		{"/file", web.Range{Offset: 3, Length: -1, Bytes: -1, ETag: `W/"a"`}, "3456789", nil},
		{"/file", web.Range{Offset: 3, Length: 4, Bytes: 10, ETag: `"b"`}, "", fetch.ErrChanged},
		{"/file", web.Range{Length: 10, Bytes: 10, ETag: `"b"`}, "", fetch.ErrChanged},
		{"/file", web.Range{Offset: 3, Length: 4, Bytes: 11}, "", fetch.ErrChanged},
		{"/file", web.Range{Offset: 11, Length: 4, Bytes: 15}, "", fetch.ErrChanged},
		{"/whole", web.Range{Offset: 3, Length: 4, Bytes: 10}, "", fetch.ErrNoRange},
		{"/whole", web.Range{Offset: 0, Length: 4, Bytes: 10}, "0123", nil},
		{"/whole", web.Range{Length: 10, Bytes: 10}, text, nil},
		{"/whole", web.Range{Length: 9, Bytes: 9}, "", fetch.ErrChanged},
		{"/packed", web.Range{Length: 10, Bytes: 10}, "", fetch.ErrRefused},
		{"/long", web.Range{Length: 10, Bytes: 10}, text, fetch.ErrTooLong},
		{"/cut", web.Range{Length: 10, Bytes: 10}, text[:4], fetch.ErrTruncated},
		{"/elsewhere", web.Range{Offset: 3, Length: 4, Bytes: 10}, "", fetch.ErrNoRange},
		{"/odd", web.Range{Offset: 3, Length: 4, Bytes: 10}, "", fetch.ErrRefused},
		{"/204", web.Range{Length: 10, Bytes: 10}, "", fetch.ErrRefused},
	} {
		body, _, err := web.New(web.Options{}).Read(t.Context(), web.Request{URL: address + c.path}, c.part)
		got := []byte{}
		if err == nil {
			got, err = io.ReadAll(body)
			body.Close()
		}
		if string(got) != c.want || !errors.Is(err, c.kind) || err != nil && c.kind == nil {
			t.Errorf("%s %+v: %q, %v; want %q, %v", c.path, c.part, got, err, c.want, c.kind)
		}
	}
}

func TestListedName(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead && r.URL.Query().Has("nohead") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.URL.Query().Has("name") {
			w.Header().Set("Content-Disposition", `attachment; filename="`+r.URL.Query().Get("name")+`"`)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("12345"))
	})
	for path, want := range map[string]string{
		"/a/x.gguf": "x.gguf", "/a/x.gguf?nohead=1": "x.gguf", "/a?name=y.gguf": "y.gguf", "/a?name=../y.gguf": "a", "/a?name=..": "a", "/%2e%2e%2fx": "x", "/a%0ab": "file",
	} {
		ref := fetch.Ref{Scheme: "http", Where: address + path}
		in, err := web.NewSource(web.New(web.Options{}), nil).List(t.Context(), ref)
		if err != nil || len(in.Files) != 1 || in.Files[0].Name != want || in.Files[0].Bytes != 5 {
			t.Errorf("%s: %+v, %v; want %s", path, in.Files, err, want)
		}
	}
}

func TestWhatCanBeReadOnTheWay(t *testing.T) {
	for text, is := range map[string]bool{
		"https://example.com/x": false, "http://example.com/x": true, "http://example.com:80/x": true, "http://127.0.0.1:8080/x": false, "http://[::1]/x": false,
		"http://localhost/x": false, "http://a.localhost/x": false, "http://localhost.example.com/x": true, "http://ours:5000/x": false, "http://ours:5001/x": true,
	} {
		at, err := url.Parse(text)
		if err != nil || web.Exposed(at, []string{"ours:5000"}) != is {
			t.Errorf("%s: not %v, %v", text, is, err)
		}
	}
}
