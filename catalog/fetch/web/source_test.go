package web_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bytes"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// shelf is a web server with one file.
type shelf struct {
	mu     sync.Mutex
	data   []byte
	tag    string
	token  string
	cut    int
	ranges bool
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case r.URL.Path != "/dir/weights.gguf":
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", s.tag)
	if !s.ranges {
		r.Header.Del("Range")
	}
	if s.cut > 0 && r.Method == http.MethodGet {
		w = &cutWriter{w, s.cut}
		s.cut = 0
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
}

// cutWriter drops the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, _ := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func TestSource(t *testing.T) {
	for name, ranges := range map[string]bool{"with ranges": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			fetchtest.RunOne(t, "weights.gguf", func(t *testing.T, files map[string][]byte) fetchtest.Place {
				s := &shelf{data: files["weights.gguf"], tag: `"1"`, token: "s3cret", ranges: ranges}
				address := serve(t, s.ServeHTTP)
				return fetchtest.Place{
					Source: web.NewSource(web.New(web.Options{}), web.Bearer("s3cret")),
					Ref:    fetch.Ref{Scheme: "http", Where: address + "/dir/weights.gguf?x=1"}, Missing: fetch.Ref{Scheme: "http", Where: address + "/nothing"},
					Change: func(_ string, data []byte) {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.data, s.tag = data, `"`+strings.Repeat("2", len(s.tag))+`"`
					},
					Deny: func() {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.token = "other"
					},
					Cut: func(n int) {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.cut = n
					},
				}
			})
		})
	}
}
