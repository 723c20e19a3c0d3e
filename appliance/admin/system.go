package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
)

func (s *server) version(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	v := s.Version
	v.Gateway = s.PublicURL + "/v1"
	return respond(c, http.StatusOK, v)
}

func (s *server) doctor(c *gin.Context) error {
	p := query(c, "max_age")
	age := p.seconds("max_age")
	if p.err != nil {
		return p.err
	}
	out := api.Doctor{Healthy: true, Checks: s.looked.atBox(s.Now(), age, func() []api.Check { return s.Doctor(c.Request.Context()) })}
	if out.Checks == nil {
		out.Checks = []api.Check{}
	}
	for _, check := range out.Checks {
		out.Healthy = out.Healthy && check.Status != api.CheckFailed
	}
	return respond(c, http.StatusOK, out)
}

// lastLook keeps what was seen of the box: pages that are open ask again and again, and a look takes its time.
type lastLook struct {
	mu     sync.Mutex
	at     time.Time
	checks []api.Check
}

// atBox returns checks that are at most age old. Several who ask at once look once.
func (l *lastLook) atBox(now time.Time, age time.Duration, look func() []api.Check) []api.Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.checks == nil || now.Sub(l.at) >= age || now.Before(l.at) {
		l.checks, l.at = look(), now
	}
	return l.checks
}

func (s *server) restart(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	if s.Restart == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "this daemon cannot be restarted from within")
	}
	ctx := c.Request.Context()
	done, err := s.Restart(ctx, actorOf(ctx).Name)
	if err != nil && !isKnown(ctx, err) { // whoever may restart the daemon may know why it was not
		p := api.NewProblem(api.KindState, http.StatusConflict, "the daemon goes on as before: %s", err)
		if h, ok := errors.AsType[hinter](err); ok {
			p.Hint = h.Hint()
		}
		return p
	}
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, done)
}

func isKnown(ctx context.Context, err error) bool {
	return problemOf(ctx, err).Kind() == api.KindConflict
}

func (s *server) runtimes(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	return respondPage(c, p, s.Runtimes(), func(r api.Runtime) string { return r.Name })
}

func openAPIYAML(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", api.OpenAPI())
	return nil
}

func openAPIJSON(c *gin.Context) error {
	doc, err := api.OpenAPIJSON()
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	c.Data(http.StatusOK, "application/json", json.RawMessage(doc))
	return nil
}
