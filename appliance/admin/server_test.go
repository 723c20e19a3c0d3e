package admin

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestPanics: before the answer has begun a panic is a problem; after, and for http.ErrAbortHandler, the
// connection breaks.
func TestPanics(t *testing.T) {
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		status int // 0: the connection breaks
		log    string
	}{
		{"at once", func(http.ResponseWriter, *http.Request) { panic("oh") }, 500, "panic=oh"},
		{"in mid-answer", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("half")); panic("oh") }, 0, "panic=oh"},
		{"on purpose", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "aborted=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			s := &server{Deps: Deps{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: time.Now}}
			w := httptest.NewRecorder()
			var broke any
			func() {
				defer func() { broke = recover() }()
				s.outermost(c.h).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			}()
			err, _ := broke.(error)
			if errors.Is(err, http.ErrAbortHandler) != (c.status == 0) || c.status != 0 && w.Code != c.status {
				t.Errorf("status %d, panic %v", w.Code, broke)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("log lacks %q: %s", c.log, &log)
			}
		})
	}
}
