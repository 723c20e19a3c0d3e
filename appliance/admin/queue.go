package admin

import (
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// waiting are the sessions without a place, in order; none where there is no queue.
func (s *server) waiting() []sessions.Waiting {
	if s.Queue == nil {
		return nil
	}
	return s.Queue.Queue()
}

func (s *server) listQueue(c *gin.Context) error {
	p := query(c, "all", "limit", "cursor")
	all := p.flag("all")
	if p.err != nil {
		return p.err
	}
	reasons := map[string][]sessions.Wait{}
	s.Sessions.EachSession("", sessions.SessionFilter{Live: true}, func(v *sessions.Session) {
		if len(v.Waits) > 0 {
			reasons[v.ID] = v.Waits
		}
	})
	items := []api.Waiting{}
	for i, w := range s.waiting() { // the place is one among all, whoever asks
		if all || w.Project == p.project() {
			items = append(items, queued(w, i+1, reasons[w.ID]))
		}
	}
	return respondPage(c, p, items, func(w api.Waiting) string { return fmt.Sprintf("%09d", w.Position) })
}

func queued(w sessions.Waiting, position int, reasons []sessions.Wait) api.Waiting {
	return api.Waiting{
		Position: position, Session: w.ID, Name: w.Name, Project: w.Project, Type: string(w.Type), ServiceName: w.ServiceName,
		CreatedBy: w.Owner, Priority: w.Priority, Resources: asked(w.Slots), Since: w.Since.UTC(), Waits: append([]api.Wait{}, waits(reasons)...),
	}
}

func waits(all []sessions.Wait) []api.Wait {
	var out []api.Wait
	for _, w := range all {
		out = append(out, api.Wait{Predicate: string(w.Predicate), Sentence: w.Sentence, Would: w.Would})
	}
	return out
}

// holdings adds what live sessions hold, as the pool has it now, or as it is kept with them where there is no pool.
func holdings(v sessions.Session, held map[string]*api.Claim) *api.Claim {
	switch c, ok := held[v.ID]; {
	case ok:
		return c
	case v.Claim != nil && !v.Status.Terminal():
		return claim(accel.Entry{Claim: *v.Claim, State: accel.ClaimHeld}, nil, nil)
	}
	return nil
}

// deviceMemory is what a session's processes hold of the devices that it has a claim on, bytes; -1 where that is not
// known of any.
func deviceMemory(boxes []Box, session string) int64 {
	sum, known := int64(0), false
	for _, b := range boxes {
		for _, held := range b.Claims {
			if held.Session != session {
				continue
			}
			for _, used := range held.Used {
				sum, known = sum+used, true
			}
		}
	}
	if !known {
		return -1
	}
	return sum
}
