package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// kindAutoscaled is the kind of an event that is a decision of the autoscaler.
const kindAutoscaled = "autoscaled"

func (s *server) listEvents(c *gin.Context) error {
	p := query(c, "limit", "kind")
	limit, kind := p.number("limit", api.DefaultLimit, 1, api.MaxLimit), p.text("kind")
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	var decisions []api.Event
	events, err := s.eventsOf(ctx, v, kind, limit)
	if err == nil && s.Autoscaling != nil && (kind == "" || kind == kindAutoscaled) {
		decisions, err = s.decisionsOf(ctx, v, limit)
	}
	if err != nil {
		return err
	}
	page := api.Page[api.Event]{Items: append(withoutDecided(events, decisions), decisions...)}
	// Each of the two is in its order already, and stays so where times are equal.
	slices.SortStableFunc(page.Items, func(a, b api.Event) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	page.Items = page.Items[:min(limit, len(page.Items))]
	return respond(c, http.StatusOK, page)
}

// withoutDecided leaves out what a decision tells too: that the number of routes was changed by it. An event whose decision
// was not kept stays.
func withoutDecided(events, decisions []api.Event) []api.Event {
	at := map[string][]time.Time{}
	for _, d := range decisions {
		at[d.Message] = append(at[d.Message], d.At)
	}
	out := []api.Event{}
	for _, e := range events {
		same := func(t time.Time) bool { return e.At.Sub(t).Abs() < sameMoment }
		if e.Kind != kindAutoscaled || !slices.ContainsFunc(at[e.Message], same) {
			out = append(out, e)
		}
	}
	return out
}

// sameMoment is how far apart a decision and its effect are at most: the number is written in between.
const sameMoment = 10 * time.Second

// eventsOf are the newest of a kind; "" is any. Those of one kind are looked for in all that are kept.
func (s *server) eventsOf(ctx context.Context, v sessions.ServiceView, kind string, limit int) ([]api.Event, error) {
	read := limit
	if kind != "" {
		read = api.MaxLimit
	}
	all, err := s.Revisions.Events(ctx, v.Project, v.ID, read)
	var out []api.Event
	for _, e := range all {
		if kind == "" || kind == e.Kind {
			out = append(out, api.Event{At: e.At, Kind: e.Kind, SessionID: e.SessionID, Message: e.Message})
		}
	}
	return out[:min(limit, len(out))], err
}

func (s *server) decisionsOf(ctx context.Context, v sessions.ServiceView, limit int) ([]api.Event, error) {
	all, err := s.Autoscaling.Decisions(ctx, v.ID, limit)
	var out []api.Event
	for i := range all {
		d := decisionOut(&all[i])
		out = append(out, api.Event{At: d.At, Kind: kindAutoscaled, Message: d.Reason, Decision: &d})
	}
	return out, err
}
