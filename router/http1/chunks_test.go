package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

var badChunks = map[string]string{
	"no size":                  "\r\n",
	"a size that is no number": "x\r\n",
	"a size with 0x":           "0x5\r\nhello\r\n0\r\n\r\n",
	"a size with a sign":       "+5\r\nhello\r\n0\r\n\r\n",
	"a size below zero":        "-5\r\nhello\r\n0\r\n\r\n",
	"a space before the size":  " 5\r\nhello\r\n0\r\n\r\n",
	"white space, extension":   "5 ;a\r\nhello\r\n0\r\n\r\n",
	"two sizes":                "5 5\r\nhello\r\n0\r\n\r\n",
	"a size that overflows":    "ffffffffffffffff\r\nx",
	"a size that wraps":        "10000000000000005\r\nhello\r\n0\r\n\r\n",
	"a size of many zeros":     strings.Repeat("0", 100) + "5\r\nhello\r\n0\r\n\r\n",
	"bare LF after the size":   "5\nhello\r\n0\r\n\r\n",
	"bare LF in an extension":  "5;a\nhello\r\n0\r\n\r\n",
	"bare CR in an extension":  "5;a\rb\r\nhello\r\n0\r\n\r\n",
	"NUL in an extension":      "5;\x00\r\nhello\r\n0\r\n\r\n",
	"data longer than said":    "5\r\nhello!\r\n0\r\n\r\n",
	"data without an end":      "5\r\nhello0\r\n\r\n",
	"bare LF after the data":   "5\r\nhello\n0\r\n\r\n",
	"an extension too long":    "5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n",
	"extensions and little":    strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\ny\r\n", 20) + "0\r\n\r\n",
	"bare LF in the trailer":   "0\r\nX: y\n\r\n",
	"bare LF as the end":       "0\r\n\n",
	"a trailer too large":      "0\r\nX: " + strings.Repeat("y", maxTrailer) + "\r\n\r\n",
}

func TestChunksRefused(t *testing.T) {
	for name, text := range badChunks {
		var whole, single, skipped Chunks
		if _, _, err := whole.Decode([]byte(text)); err == nil {
			t.Errorf("%s: is taken", name)
		}
		if _, err := skipped.Skip([]byte(text)); err == nil {
			t.Errorf("%s: is skipped", name)
		}
		var err error
		for i := 0; i < len(text) && err == nil; i++ {
			_, _, err = single.Decode([]byte{text[i]})
		}
		if err == nil {
			t.Errorf("%s: is taken byte by byte", name)
		}
	}
}

func TestChunks(t *testing.T) {
	const text = "5;a=\"b c\"\r\nhello\r\n1;x\r\n \r\n00000F \t\r\nto all of world\r\n0;end\r\nX-A: b\r\nX-C: d\r\n\r\n"
	for cut := range len(text) {
		var c Chunks
		p := []byte(text + "GET /")
		first, used, err := c.Decode(p[:cut])
		if err != nil || used != cut || c.Done() {
			t.Fatalf("cut at %d: %d, %v", cut, used, err)
		}
		body := string(first)
		second, used, err := c.Decode(p[cut:])
		if body += string(second); err != nil || !c.Done() || cut+used != len(text) || body != "hello to all of world" {
			t.Fatalf("cut at %d: %q, %d, %v", cut, body, used, err)
		}
		if fields, err := c.Trailer(); err != nil || len(fields) != 2 || string(fields[1].Value) != "d" {
			t.Fatalf("cut at %d: trailer %v, %v", cut, fields, err)
		}
	}
}

func TestTrailersThatComeTooLate(t *testing.T) {
	for _, name := range []string{"Content-Length", "transfer-encoding", "Host", "Authorization", "X-Api-Key", "Trailer", "Connection", "Keep-Alive", "Content-Encoding", "Cookie"} {
		var c Chunks
		if _, _, err := c.Decode([]byte("0\r\nX-A: b\r\n" + name + ": c\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		fields, err := c.Trailer()
		if !errors.Is(err, errTrailerName) || len(fields) != 1 || string(fields[0].Name) != "X-A" {
			t.Errorf("%s: got %v, %v", name, fields, err)
		}
	}
}

// FuzzChunks: what is taken here net/http's reader takes too, with the same body; and it is the same in
// whatever pieces it comes, and where it is only skipped.
func FuzzChunks(f *testing.F) {
	for _, text := range badChunks {
		if len(text) < 1000 {
			f.Add([]byte(text), []byte{1})
		}
	}
	f.Add([]byte("5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nX-A: b\r\n\r\nGET /"), []byte{3, 1, 9})
	f.Add([]byte("a \r\n0123456789\r\n000\r\n\r\n"), []byte{2})
	f.Fuzz(func(t *testing.T, b, cuts []byte) {
		var whole, skipped Chunks
		body, used, err := whole.Decode(bytes.Clone(b))
		skips, skipErr := skipped.Skip(b)
		if skips != used || (skipErr == nil) != (err == nil) || skipped.Done() != whole.Done() {
			t.Fatalf("decoded %d, %v; skipped %d, %v", used, err, skips, skipErr)
		}
		pieces, piecesUsed, piecesErr := inPieces(b, cuts)
		if (piecesErr == nil) != (err == nil) || err == nil && (piecesUsed != used || !bytes.Equal(pieces, body)) {
			t.Fatalf("at once %q, %d, %v; in pieces of %v %q, %d, %v", body, used, err, cuts, pieces, piecesUsed, piecesErr)
		}
		if err != nil {
			return
		}
		theirs, theirErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		if whole.Done() && theirErr != nil || !bytes.Equal(theirs, body) || theirErr != nil && !errors.Is(theirErr, io.ErrUnexpectedEOF) && !errors.Is(theirErr, io.EOF) {
			t.Fatalf("got %q, done %v; want %q, %v", body, whole.Done(), theirs, theirErr)
		}
	})
}

func inPieces(b, cuts []byte) (body []byte, used int, err error) {
	var c Chunks
	for i := 0; used < len(b) && !c.Done(); i++ {
		n := len(b) - used
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		piece, u, err := c.Decode(bytes.Clone(b[used : used+n]))
		if err != nil {
			return nil, 0, err
		}
		body, used = append(body, piece...), used+u
	}
	return body, used, nil
}

func BenchmarkChunk(b *testing.B) {
	event := []byte("120\r\n" + strings.Repeat("x", 288) + "\r\n")
	p := make([]byte, len(event))
	var c Chunks
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		copy(p, event)
		if body, _, err := c.Decode(p); err != nil || len(body) != 288 {
			b.Fatal(err, len(body))
		}
	}
}
