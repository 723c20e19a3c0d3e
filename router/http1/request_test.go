package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// refused is what requests are refused for that two readers could read in two ways, or that nobody sends
// with good intent; by status.
var refused = map[string]struct {
	head   string
	status int
}{
	"both lengths":                 {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	"both lengths, chunked first":  {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
	"two codings":                  {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	"the same coding twice":        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
	"a list of codings":            {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
	"chunked, chunked":             {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
	"another coding":               {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
	"an empty coding":              {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n", 501},
	"a coding in quotes":           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501},
	"a coding with a vertical tab": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400},
	"a coding of HTTP/1.0":         {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	"two lengths":                  {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
	"the same length twice":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
	"a list of lengths":            {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n", 400},
	"an empty length":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400},
	"a length with a plus":         {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", 400},
	"a length below zero":          {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400},
	"a length in hex":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n", 400},
	"a length with a space":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1 5\r\n\r\n", 400},
	"a length with a point":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5.0\r\n\r\n", 400},
	"a length that overflows":      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n", 400},
	"a length that wraps":          {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\n", 400},
	"obs-fold":                     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n ,6\r\n\r\n", 400},
	"obs-fold with a tab":          {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\tc: d\r\n\r\n", 400},
	"a first header folded":        {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
	"bare LF after the line":       {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
	"bare LF after a header":       {"GET / HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n", 400},
	"bare LF as the end":           {"GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
	"bare CR in a value":           {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rX-C: d\r\n\r\n", 400},
	"bare CR at a value's end":     {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\r\n\r\n", 400},
	"bare CR in a name":            {"GET / HTTP/1.1\r\nHost: x\r\nContent\rLength: 5\r\n\r\n", 400},
	"bare CR in the line":          {"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400},
	"NUL in a value":               {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\n\r\n", 400},
	"NUL in a name":                {"GET / HTTP/1.1\r\nHost: x\r\nX\x00A: b\r\n\r\n", 400},
	"NUL in the target":            {"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"DEL in a value":               {"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\x7fc\r\n\r\n", 400},
	"two Hosts":                    {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
	"the same Host twice":          {"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400},
	"no Host":                      {"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400},
	"a Host with a path":           {"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
	"a Host with a user":           {"GET / HTTP/1.1\r\nHost: x@y\r\n\r\n", 400},
	"a Host with a space":          {"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400},
	"a list of Hosts":              {"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400},
	"a space before the colon":     {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n", 400},
	"a tab before the colon":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n", 400},
	"a header without a colon":     {"GET / HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n", 400},
	"a header without a name":      {"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400},
	"a name that is no token":      {"GET / HTTP/1.1\r\nHost: x\r\nX(A): b\r\n\r\n", 400},
	"a name beyond ASCII":          {"GET / HTTP/1.1\r\nHost: x\r\nContent-L\xc4\x99ngth: 5\r\n\r\n", 400},
	"HTTP/0.9":                     {"GET /\r\n\r\n", 400},
	"HTTP/1.2":                     {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
	"HTTP/2.0":                     {"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
	"HTTP/0.9 in words":            {"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505},
	"HTTP/1.10":                    {"GET / HTTP/1.10\r\nHost: x\r\n\r\n", 400},
	"HTTP/01.1":                    {"GET / HTTP/01.1\r\nHost: x\r\n\r\n", 400},
	"http/1.1":                     {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
	"no version":                   {"GET / \r\nHost: x\r\n\r\n", 400},
	"no target":                    {"GET  HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"no method":                    {" / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"a space in the target":        {"GET / / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"two spaces":                   {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"a tab in the line":            {"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"a space behind the version":   {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
	"a method that is no token":    {"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"an empty line first":          {"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	"a length in the trailer":      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-A, Content-Length\r\n\r\n", 400},
	"a coding in the trailer":      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: transfer-encoding\r\n\r\n", 400},
	"a token in the trailer":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n", 400},
	"257 headers":                  {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 256) + "\r\n", 431},
	"64 KiB and more":              {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", MaxHead) + "\r\n\r\n", 431},
	"64 KiB without an end":        {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", MaxHead), 431},
	"65 names of the connection":   {"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + strings.Repeat("y,", maxNamed+1) + "\r\n\r\n", 400},
}

func TestRequestsRefused(t *testing.T) {
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			var r Request
			checkRefused(t, r.Take([]byte(c.head), 0), c.status)
			// A byte at a time the end is the same.
			var err error
			looked := 0
			for n := 1; n <= len(c.head) && (err == nil || errors.Is(err, ErrIncomplete)); n++ {
				err = r.Take([]byte(c.head[:n]), looked)
				looked = n
			}
			checkRefused(t, err, c.status)
		})
	}
}

func checkRefused(t *testing.T, err error, status int) {
	t.Helper()
	if why, ok := errors.AsType[*Error](err); !ok || why.Status != status {
		t.Errorf("got %v, want status %d", err, status)
	}
}

func TestRequest(t *testing.T) {
	const head = "POST /v1/x?a=b HTTP/1.1\r\nhOST: x:80\r\nAuthorization:Bearer t\r\nContent-Length: \t5 \r\nTE: trailers\r\n" +
		"Connection: x-one, Keep-Alive\r\nX-One: 1\r\nX-Two: \xc3\xa9\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n\r\n"
	var r Request
	for range 2 { // parsed again, it is the same
		if err := r.Take([]byte(head+"12345GET"), 0); err != nil {
			t.Fatal(err)
		}
		if r.Len != len(head) || string(r.Method) != "POST" || string(r.Target) != "/v1/x?a=b" || r.Minor != 1 || r.ContentLength != 5 ||
			string(r.Host) != "x:80" || string(r.Authorization) != "Bearer t" || string(r.ContentType) != "a/b" ||
			r.Chunked || r.Close || r.Upgrade || !r.Trailers {
			t.Errorf("got %+v", r)
		}
		var passed []string
		for i := range r.Fields {
			if f := &r.Fields[i]; !f.OfOneConnection() {
				passed = append(passed, string(f.Name)+"="+string(f.Value))
			}
		}
		want := []string{"hOST=x:80", "Authorization=Bearer t", "Content-Length=5", "X-Two=\xc3\xa9", "Content-Type=a/b", "content-type=c/d"}
		if !slices.Equal(passed, want) {
			t.Errorf("got %q, want %q", passed, want)
		}
	}
}

func TestWhatTheConnectionSays(t *testing.T) {
	for head, want := range map[string]struct{ close, upgrade bool }{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                                    {},
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                               {close: true},
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: a, ,CLOSE\r\n\r\n":                           {close: true},
		"GET / HTTP/1.0\r\n\r\n":                                                               {close: true},
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                     {},
		"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n":                              {close: true},
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n":       {upgrade: true},
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n":                              {},
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n":                             {},
		"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade, keep-alive\r\n\r\n":      {},
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: host, content-length, x-host, close\r\n\r\n": {close: true},
	} {
		var r Request
		if err := r.Take([]byte(head), 0); err != nil || r.Close != want.close || r.Upgrade != want.upgrade {
			t.Errorf("%q: close %v, upgrade %v, %v", head, r.Close, r.Upgrade, err)
		}
	}
}

// What frames or names a message cannot be taken away as a matter of the connection.
func TestConnectionNamesNoFraming(t *testing.T) {
	var r Request
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: b\r\nConnection: host, content-length, x-a\r\n\r\n"
	if err := r.Take([]byte(head), 0); err != nil {
		t.Fatal(err)
	}
	if r.Fields[0].Known != Host || r.Fields[1].Known != ContentLength || r.Fields[2].Known != HopByHop {
		t.Errorf("got %+v", r.Fields)
	}
}

func TestPreface(t *testing.T) {
	for text, want := range map[string][2]bool{
		"": {false, true}, "PRI": {false, true}, preface: {true, true}, preface + "x": {true, true},
		"PRI / HTTP/2.0\r\n\r\n": {}, preface[:20] + "GET /": {}, "POST": {},
	} {
		if whole, may := Preface([]byte(text)); whole != want[0] || may != want[1] {
			t.Errorf("%q: %v, %v", text, whole, may)
		}
	}
}

// A head that comes byte by byte costs little more than one that comes at once.
func TestHeadByteByByte(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 60<<10) + "\r\n\r\n")
	var r Request
	for n := range len(head) {
		if err := r.Take(head[:n], max(n-1, 0)); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	if err := r.Take(head, len(head)-1); err != nil {
		t.Fatal(err)
	}
}

// FuzzRequest: what is taken here net/http takes too, with the same method, target, host, headers and
// framing; and it is the same in whatever pieces it comes.
func FuzzRequest(f *testing.F) {
	for _, c := range refused {
		if len(c.head) < 1000 {
			f.Add([]byte(c.head), uint16(7))
		}
	}
	f.Add([]byte("POST /v1/x?a=b HTTP/1.1\r\nhOST: x:80\r\nContent-Length: 5\r\nConnection: x-one\r\nPragma: no-cache\r\n\r\n12345"), uint16(30))
	f.Add([]byte("POST /%7e HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), uint16(1))
	f.Add([]byte("POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: CHUNKED\r\nTrailer: x\r\nA:\tb\t\r\n\r\n0\r\n\r\n"), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole, pieces Request
		err := whole.Take(b, 0)
		n := int(cut) % (len(b) + 1)
		cutErr := pieces.Take(b[:n], 0)
		if errors.Is(cutErr, ErrIncomplete) {
			cutErr = pieces.Take(b, n)
		}
		if (err == nil) != (cutErr == nil) || errors.Is(cutErr, ErrIncomplete) && waits(b, 0) == nil {
			t.Fatalf("at once: %v; cut at %d: %v", err, n, cutErr)
		}
		if err != nil {
			return
		}
		if whole.Len != pieces.Len || fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Fatalf("at once %+v, cut at %d %+v", whole, n, pieces)
		}
		if whole.Target[0] != '/' {
			return // for others than the router, or nobody
		}
		if _, err := url.ParseRequestURI(string(whole.Target)); err != nil {
			return // escapes are the router's to look at
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		sameRequest(t, &whole, theirs)
	})
}

func sameRequest(t *testing.T, r *Request, theirs *http.Request) {
	t.Helper()
	if string(r.Method) != theirs.Method || string(r.Target) != theirs.RequestURI || string(r.Host) != theirs.Host ||
		r.Minor != theirs.ProtoMinor || r.Close != theirs.Close {
		t.Fatalf("got %s %s %s 1.%d %v, want %+v", r.Method, r.Target, r.Host, r.Minor, r.Close, theirs)
	}
	if chunked := slices.Equal(theirs.TransferEncoding, []string{"chunked"}); chunked != r.Chunked {
		t.Fatalf("chunked %v, want %v", r.Chunked, theirs.TransferEncoding)
	}
	if !r.Chunked && max(r.ContentLength, 0) != theirs.ContentLength {
		t.Fatalf("length %d, want %d", r.ContentLength, theirs.ContentLength)
	}
	sameFields(t, r.Fields, theirs.Header)
}

// sameFields compares with what net/http keeps among the headers.
func sameFields(t *testing.T, fields []Field, theirs http.Header) {
	t.Helper()
	ours := http.Header{}
	for i := range fields {
		switch f := &fields[i]; f.Known {
		case Host, TransferEncoding, Trailer:
		default:
			ours.Add(string(f.Name), string(f.Value))
		}
	}
	theirs.Del("Trailer") // is left where nothing is in chunks
	theirs.Del("Host")
	if ours.Get("Pragma") == "no-cache" && ours["Cache-Control"] == nil {
		theirs.Del("Cache-Control") // is made up
	}
	if len(ours) != len(theirs) {
		t.Fatalf("got %q, want %q", ours, theirs)
	}
	for name, values := range ours {
		if !slices.Equal(values, theirs[name]) {
			t.Fatalf("%s: got %q, want %q", name, values, theirs[name])
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	head := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: bench.local\r\nAuthorization: Bearer pal-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\nContent-Type: application/json\r\nContent-Length: 1024\r\nUser-Agent: openai/1.0\r\nAccept: application/json\r\n\r\n")
	var r Request
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Take(head, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// A head of 60 KiB that comes byte by byte, by byte of it.
func BenchmarkHeadByteByByte(b *testing.B) {
	head := []byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 60<<10))
	var r Request
	b.ReportAllocs()
	for n := 1; b.Loop(); n = n%len(head) + 1 {
		if err := r.Take(head[:n], n-1); err != nil && !errors.Is(err, ErrIncomplete) {
			b.Fatal(err)
		}
	}
}
