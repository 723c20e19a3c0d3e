package hubtest

import (
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"
)

// Fault is what goes wrong with one request. Tests may write their own.
type Fault func(next http.Handler) http.Handler

type fault struct {
	where Where
	files string
	times int // left; below 0: without end
	do    Fault
}

// Break lets the next requests go wrong: times of them, all where times is below 0. files is a pattern of path.Match over
// the file's name; empty: any. Of several faults that fit, the first one that was asked for counts.
func (h *Hub) Break(where Where, files string, times int, do Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, &fault{where, files, times, do})
}

// Mend takes all faults away.
func (h *Hub) Mend() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = nil
}

// broken returns next with the fault that is due, if any.
func (h *Hub) broken(where Where, file string, next http.Handler) http.Handler {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, f := range h.faults {
		if fits, err := path.Match(f.files, file); f.where != where || f.files != "" && (err != nil || !fits) {
			continue
		}
		if f.times--; f.times == 0 {
			h.faults = slices.Delete(h.faults, i, i+1)
		}
		return f.do(next)
	}
	return next
}

// Refuse answers with a status, and with headers: name, value, name, value.
func Refuse(status int, headers ...string) Fault {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			write(w, status, map[string]string{"error": http.StatusText(status)})
		})
	}
}

// Redirect sends whoever asks elsewhere.
func Redirect(to string) Fault { return Refuse(http.StatusFound, "Location", to) }

// Whole gives the whole file, whatever part was asked for: a server that knows no ranges.
func Whole() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Del("Range")
			next.ServeHTTP(noRanges{w}, r)
		})
	}
}

type noRanges struct{ http.ResponseWriter }

func (n noRanges) WriteHeader(status int) {
	n.Header().Del("Accept-Ranges")
	n.ResponseWriter.WriteHeader(status)
}

// Cut ends the connection after so many bytes of the body.
func Cut(after int64) Fault {
	return at(after, func(*http.Request) { panic(http.ErrAbortHandler) })
}

// Hold stops after so many bytes of the body until release is closed or who asked has gone; held, where it is not nil, gets
// one word for each request that is being held.
func Hold(after int64, release <-chan struct{}, held chan<- struct{}) Fault {
	return at(after, func(r *http.Request) {
		if held != nil {
			select {
			case held <- struct{}{}:
			case <-r.Context().Done():
			}
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
}

// at does something once, when so many bytes of the body are out.
func at(after int64, do func(*http.Request)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			out := &body{ResponseWriter: w, left: after, then: func() { do(r) }}
			next.ServeHTTP(out, r)
			out.end()
		})
	}
}

type body struct {
	http.ResponseWriter
	left int64
	then func() // nil: done
}

func (b *body) Write(p []byte) (int, error) {
	if b.then == nil || int64(len(p)) < b.left {
		b.left -= int64(len(p))
		return b.ResponseWriter.Write(p)
	}
	n, err := b.ResponseWriter.Write(p[:b.left])
	if err != nil {
		return n, err
	}
	b.end()
	more, err := b.ResponseWriter.Write(p[n:])
	return n + more, err
}

// end flushes, so that what was to come before has come, and does what is to be done.
func (b *body) end() {
	if b.then == nil {
		return
	}
	then := b.then
	b.then = nil
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	then()
}

// Slow lets so many bytes pass in a second, for people who watch and for programs that are to be killed meanwhile.
func Slow(bytesPerSecond int) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&slow{ResponseWriter: w, r: r, each: max(1, bytesPerSecond/20)}, r)
		})
	}
}

type slow struct {
	http.ResponseWriter
	r    *http.Request
	each int // bytes in a twentieth of a second
}

func (s *slow) Write(p []byte) (done int, err error) {
	for len(p) > 0 && err == nil {
		n := min(len(p), s.each)
		n, err = s.ResponseWriter.Write(p[:n])
		done, p = done+n, p[n:]
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		select {
		case <-s.r.Context().Done():
			return done, s.r.Context().Err()
		case <-time.After(time.Second / 20):
		}
	}
	return done, err
}

// Alter changes the first byte of the body.
func Alter() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&altered{ResponseWriter: w}, r) })
	}
}

type altered struct {
	http.ResponseWriter
	done bool
}

func (a *altered) Write(p []byte) (int, error) {
	if !a.done && len(p) > 0 {
		a.done = true
		p = slices.Clone(p)
		p[0] ^= 0x40
	}
	return a.ResponseWriter.Write(p)
}

// Longer gives n bytes more than were asked for, and does not say before how many come.
func Longer(n int) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(noLength{w}, r)
			_, _ = w.Write(make([]byte, n))
		})
	}
}

type noLength struct{ http.ResponseWriter }

func (l noLength) WriteHeader(status int) {
	l.Header().Del("Content-Length")
	l.Header().Del("Accept-Ranges")
	l.ResponseWriter.WriteHeader(status)
}

// ETag answers with another ETag than the one that the file has.
func ETag(tag string) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(retagged{w, tag}, r) })
	}
}

type retagged struct {
	http.ResponseWriter
	tag string
}

func (t retagged) WriteHeader(status int) {
	for _, name := range []string{"ETag", "X-Linked-ETag"} {
		if t.Header().Get(name) != "" {
			t.Header().Set(name, strconv.Quote(t.tag))
		}
	}
	t.ResponseWriter.WriteHeader(status)
}

func (h *Hub) note(r Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r)
}

// serveContent answers with a file or a part of it, and counts what went out.
func (h *Hub) serveContent(w http.ResponseWriter, r *http.Request, c content) {
	name := c.name
	if !fs.ValidPath(name) {
		name = "x" // CommitNames keeps it there
	}
	f, err := c.files.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&counted{w, h}, r, "", time.Time{}, f.(io.ReadSeeker))
}

type counted struct {
	http.ResponseWriter
	hub *Hub
}

// Write counts before it writes: whoever got the bytes finds them counted.
func (c *counted) Write(p []byte) (int, error) {
	c.count(len(p))
	n, err := c.ResponseWriter.Write(p)
	c.count(n - len(p))
	return n, err
}

func (c *counted) count(n int) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.hub.served += int64(n)
}
