package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// pingEvery is how often a watch says that it lives, so that no one in between takes it for dead.
const pingEvery = 15 * time.Second

// watchService sends the service now and after every change of it as server-sent events: "service" with a Service,
// and at the end "gone" with a Problem.
func (s *server) watchService(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	return s.events(c, "service", s.Revisions.Changed, func() (any, error) {
		view, err := s.Services.Service(v.Project, v.ID)
		if err != nil {
			return nil, err
		}
		return s.serviceFor(ctx, view, s.folderNamesOf(ctx, view.Project), claims(s.boxes())), nil
	})
}

// events sends what look returns, now and whenever it has changed, and at the end gone with a Problem.
func (s *server) events(c *gin.Context, name string, changes func() <-chan struct{}, look func() (any, error)) error {
	ctx := c.Request.Context()
	rc := http.NewResponseController(c.Writer)
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no")
	c.Writer.WriteHeader(http.StatusOK)
	send := func(event string, data []byte) error {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if event == "" {
			fmt.Fprint(c.Writer, ": ping\n\n")
		} else {
			fmt.Fprintf(c.Writer, "event: %s\ndata: %s\n\n", event, data)
		}
		return rc.Flush()
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var last []byte
	for {
		changed := changes() // before the look: what changes after it wakes us
		v, err := look()
		if err != nil {
			problem := problemOf(ctx, err)
			problem.RequestID = requestIDOf(ctx)
			data, err := json.Marshal(problem)
			if err != nil {
				return err
			}
			return send("gone", data)
		}
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if !bytes.Equal(data, last) {
			if err := send(name, data); err != nil {
				return err
			}
			last = data
		}
		select {
		case <-changed:
		case <-ping.C:
			if err := send("", nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
