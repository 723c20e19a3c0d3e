package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/sessions"
)

const (
	// writeTimeout bounds one write to a client: one that reads nothing must not hold a session's log open.
	writeTimeout = time.Minute
	// maxTail is the most lines that a request may ask for by number.
	maxTail = 1_000_000
	// longLine is where a line of several routes' logs is broken, so that each fits in memory.
	longLine = 64 << 10
)

func logOptions(p *params) sessions.LogOptions {
	return sessions.LogOptions{Follow: p.flag("follow"), Tail: p.number("tail", 0, 0, maxTail)}
}

// logStream is an answer that goes out as it is written. Several may write; each write is kept together.
type logStream struct {
	c     *gin.Context
	rc    *http.ResponseController
	mu    sync.Mutex
	begun bool
}

func newLogStream(c *gin.Context) *logStream {
	return &logStream{c: c, rc: http.NewResponseController(c.Writer)}
}

// begin sends the head, so that the client knows that it is heard though nothing is written yet.
func (l *logStream) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		return
	}
	l.begun = true
	l.c.Header("Content-Type", "text/plain; charset=utf-8")
	l.c.Header("X-Accel-Buffering", "no")
	l.c.Writer.WriteHeader(http.StatusOK)
	l.c.Writer.WriteHeaderNow()
	_ = l.rc.Flush()
}

func (l *logStream) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := l.c.Writer.Write(p)
	if err == nil {
		err = l.rc.Flush()
	}
	return n, err
}

// copyLog sends one session's log as it is.
func (s *server) copyLog(ctx context.Context, out *logStream, project, id string, o sessions.LogOptions) error {
	body, err := s.openLog(ctx, project, id, o)
	if err != nil {
		return err
	}
	defer body.Close()
	out.begin()
	_, err = io.Copy(out, body)
	return err
}

// openLog opens a log that is closed when ctx ends: a read that waits for more must not outlast its reader.
func (s *server) openLog(ctx context.Context, project, id string, o sessions.LogOptions) (io.ReadCloser, error) {
	body, err := s.Sessions.Logs(ctx, project, id, o)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", id, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	return &closeOnce{ReadCloser: body, stop: stop}, nil
}

type closeOnce struct {
	io.ReadCloser
	stop func() bool
}

func (c *closeOnce) Close() error {
	if !c.stop() {
		return nil // the context's end has closed it
	}
	return c.ReadCloser.Close()
}

func (s *server) serviceLogs(c *gin.Context) error {
	p := query(c, "follow", "tail", "route")
	o := logOptions(p)
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	ctx, out := c.Request.Context(), newLogStream(c)
	if ref := p.text("route"); ref != "" {
		for _, r := range v.Routes {
			if r.ID == ref || r.Name == ref {
				return s.copyLog(ctx, out, v.Project, r.ID, o)
			}
		}
		// One that has ended is no route any more, but its log is kept.
		ses, err := s.Sessions.Session(v.Project, ref)
		if err != nil || ses.ServiceID != v.ID {
			return &hinted{fmt.Errorf("route %q of service %q: %w", ref, v.Name, sessions.ErrNotFound), "see: palisade service routes " + v.Name}
		}
		return s.copyLog(ctx, out, v.Project, ses.ID, o)
	}
	ids := s.logIDs(v)
	switch {
	case o.Follow:
		out.begin()
		return s.followService(ctx, out, v, o)
	case len(ids) == 1:
		return s.copyLog(ctx, out, v.Project, ids[0], o)
	}
	var none error
	for _, id := range ids {
		err := s.copyLines(ctx, out, v.Project, id, o)
		switch {
		case isNoLog(err): // it waits for a place, or for its image; the others have something to tell
			none = err
		case err != nil:
			return err
		}
	}
	if !out.begun && none != nil {
		return none
	}
	out.begin()
	return nil
}

// isNoLog reports whether a session has no log yet, or none any more.
func isNoLog(err error) bool {
	return errors.Is(err, sessions.ErrNotFound) || errors.Is(err, sessions.ErrNoInstance)
}

// logIDs are the sessions whose logs a service's log is made of: those that live, or the newest that ended.
func (s *server) logIDs(v sessions.ServiceView) []string {
	var live []string
	var newest sessions.Session
	for _, ses := range s.Sessions.Sessions(v.Project, sessions.SessionFilter{Service: v.ID}) {
		if !ses.Status.Terminal() {
			live = append(live, ses.ID)
		}
		if ses.CreatedAt.After(newest.CreatedAt) {
			newest = ses
		}
	}
	if len(live) == 0 && newest.ID != "" {
		return []string{newest.ID}
	}
	return live
}

// followService sends what all routes write, those that come later too, until the client goes or the service does.
func (s *server) followService(ctx context.Context, out *logStream, v sessions.ServiceView, o sessions.LogOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	attached := map[string]bool{}
	for {
		changed := s.Revisions.Changed() // before the look: what changes after it wakes us
		for _, id := range s.logIDs(v) {
			if attached[id] {
				continue
			}
			body, err := s.openLog(ctx, v.Project, id, o)
			if isNoLog(err) {
				continue // one that starts wakes us again
			}
			attached[id] = true
			wg.Go(func() {
				if err == nil {
					err = sendLines(out, id, body)
				}
				if err != nil {
					s.Log.DebugContext(ctx, "following a log ended", "session", id, "error", err)
				}
			})
		}
		if _, err := s.Services.Service(v.Project, v.ID); errors.Is(err, sessions.ErrNotFound) {
			wg.Wait()
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// copyLines sends one of several routes' logs.
func (s *server) copyLines(ctx context.Context, out *logStream, project, id string, o sessions.LogOptions) error {
	body, err := s.openLog(ctx, project, id, o)
	if err != nil {
		return err
	}
	out.begin()
	return sendLines(out, id, body)
}

// sendLines sends a log with the session's id before each line, and closes it.
func sendLines(out io.Writer, id string, body io.ReadCloser) error {
	defer body.Close()
	br := bufio.NewReaderSize(body, longLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			text := id + " | " + string(line)
			if line[len(line)-1] != '\n' {
				text += "\n"
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
