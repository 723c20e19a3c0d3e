package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

var refusedAnswers = map[string]string{
	"no status line":         "\r\n\r\n",
	"another protocol":       "ICY 200 OK\r\n\r\n",
	"HTTP/2.0":               "HTTP/2.0 200 OK\r\n\r\n",
	"a status of two digits": "HTTP/1.1 20 OK\r\n\r\n",
	"a status of four":       "HTTP/1.1 2000 OK\r\n\r\n",
	"a status below 100":     "HTTP/1.1 099 OK\r\n\r\n",
	"a status in words":      "HTTP/1.1 abc OK\r\n\r\n",
	"NUL in the reason":      "HTTP/1.1 200 O\x00K\r\n\r\n",
	"two lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
	"a length with a plus":   "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
	"a length with a list":   "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
	"two codings":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	"another coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"obs-fold":               "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\n",
	"a space in a name":      "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
	"CR in a value":          "HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: c\r\n\r\n",
	"a length in a trailer":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n",
	"an endless head":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxAnswerHead),
	"1025 headers":           "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxAnswerFields+1) + "\r\n",
}

func TestAnswersRefused(t *testing.T) {
	for name, head := range refusedAnswers {
		var r Response
		if err := r.Take([]byte(head), 0); err == nil || errors.Is(err, ErrIncomplete) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	for head, want := range map[string]Response{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n":                                    {Status: 200, ContentLength: 5},
		"HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n":                  {Status: 200, ContentLength: 5},
		"HTTP/1.1 200 OK\nContent-Length: 5\n\n":                                          {Status: 200, ContentLength: 5},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n":                           {Status: 200, ContentLength: -1, Chunked: true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n":      {Status: 200, ContentLength: -1, Chunked: true, Close: true},
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n": {Status: 200, ContentLength: -1, Chunked: true, Close: true},
		"HTTP/1.0 200 OK\r\n\r\n":                                                         {Status: 200, ContentLength: -1, Close: true},
		"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n":                                    {Status: 101, ContentLength: -1, Upgrade: true},
	} {
		var r Response
		if err := r.Take([]byte(head), 0); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		if r.Status != want.Status || r.ContentLength != want.ContentLength || r.Chunked != want.Chunked || r.Close != want.Close || r.Upgrade != want.Upgrade || r.Len != len(head) {
			t.Errorf("%q: got %+v", head, r)
		}
	}
}

// FuzzResponse: what is taken here net/http takes too, with the same status, headers and framing; and it is
// the same in whatever pieces it comes.
func FuzzResponse(f *testing.F) {
	for _, head := range refusedAnswers {
		if len(head) < 1000 {
			f.Add([]byte(head), uint16(7))
		}
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345"), uint16(20))
	f.Add([]byte("HTTP/1.0 204\nConnection: keep-alive\nA:\n\n"), uint16(3))
	f.Add([]byte("HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n0\r\n\r\n"), uint16(40))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		var whole, pieces Response
		err := whole.Take(b, 0)
		n := int(cut) % (len(b) + 1)
		cutErr := pieces.Take(b[:n], 0)
		if errors.Is(cutErr, ErrIncomplete) {
			cutErr = pieces.Take(b, n)
		}
		if (err == nil) != (cutErr == nil) || errors.Is(cutErr, ErrIncomplete) && answerWaits(b, 0) == nil {
			t.Fatalf("at once: %v; cut at %d: %v", err, n, cutErr)
		}
		if err != nil {
			return
		}
		if fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Fatalf("at once %+v, cut at %d %+v", whole, n, pieces)
		}
		if whole.Chunked && whole.Minor == 0 {
			return // net/http reads the chunks as they are; both end the connection
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		sameResponse(t, &whole, theirs)
	})
}

func sameResponse(t *testing.T, r *Response, theirs *http.Response) {
	t.Helper()
	if r.Status != theirs.StatusCode || r.Minor != min(theirs.ProtoMinor, 1) {
		t.Fatalf("got %d 1.%d, want %s 1.%d", r.Status, r.Minor, theirs.Status, theirs.ProtoMinor)
	}
	if theirs.Close && !r.Close && (r.Chunked || r.ContentLength >= 0) {
		t.Fatalf("the connection would be kept, want it closed: %+v", theirs)
	}
	if r.HasBody([]byte("GET")) {
		if chunked := slices.Equal(theirs.TransferEncoding, []string{"chunked"}); chunked != r.Chunked {
			t.Fatalf("chunked %v, want %v", r.Chunked, theirs.TransferEncoding)
		}
		if r.ContentLength != theirs.ContentLength {
			t.Fatalf("length %d, want %d", r.ContentLength, theirs.ContentLength)
		}
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Known {
		case TransferEncoding, Trailer, ContentLength:
		default:
			if !slices.Contains(theirs.Header.Values(string(f.Name)), string(f.Value)) {
				t.Fatalf("%s: %q is not in %q", f.Name, f.Value, theirs.Header)
			}
		}
	}
}
