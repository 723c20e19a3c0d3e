package admin

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router/record/trace"
)

// Traces are what came to services. *trace.Recorder is one.
type Traces interface {
	// Window returns what arrived at a service since a time, in that order.
	Window(ctx context.Context, serviceID string, since time.Time) ([]trace.Request, error)
}

// traceSince is how far back a trace goes where nobody says it.
const traceSince = "24h"

// serviceTrace sends what came to a service as CSV, as a rehearsal reads it.
func (s *server) serviceTrace(c *gin.Context) error {
	p := query(c, "since")
	word := p.text("since")
	if word == "" {
		word = traceSince
	}
	since, _ := p.span("since", word, s.Now())
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	if s.Traces == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "what comes to services is not recorded here")
	}
	all, err := s.Traces.Window(c.Request.Context(), v.ID, since)
	if err != nil {
		return err
	}
	c.Header("Content-Type", "text/csv; charset=utf-8; header=present")
	c.Writer.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(&patient{c.Writer, http.NewResponseController(c.Writer)}, 64<<10)
	_, _ = out.WriteString(api.TraceHeader + "\n")
	var line []byte
	for _, q := range all {
		line = time.UnixMilli(q.At).UTC().AppendFormat(line[:0], "2006-01-02T15:04:05.000Z07:00")
		line = strconv.AppendUint(append(line, ','), uint64(q.Prompt), 10)
		line = strconv.AppendUint(append(line, ','), uint64(q.Output), 10)
		if _, err := out.Write(append(line, '\n')); err != nil {
			return errors.Join(http.ErrAbortHandler, err) // the client has gone; half a trace must not look like a whole one
		}
	}
	return out.Flush()
}

// patient is an answer each write of which may take writeTimeout.
type patient struct {
	http.ResponseWriter
	rc *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.ResponseWriter.Write(b)
}
