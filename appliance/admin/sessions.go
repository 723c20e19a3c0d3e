package admin

import (
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

func (s *server) serviceNames(project string) map[string]string {
	names := map[string]string{}
	for _, v := range s.Services.Services(project) {
		names[v.ID] = v.Name
	}
	return names
}

// session says one to a client.
func session(v sessions.Session, services map[string]string, held map[string]*api.Claim) api.Session {
	out := api.Session{
		ID: v.ID, Name: v.Name, Project: v.Project, Type: string(v.Type), CreatedBy: v.CreatedBy, CreatedAt: v.CreatedAt.UTC(),
		ServiceID: v.ServiceID, ServiceName: services[v.ServiceID], Revision: v.Revision, Image: v.Image, Variant: v.Launch.Variant,
		Status: string(v.Status), Reason: v.Reason, Result: string(v.Result), Exit: exitOut(v.Exit), Address: v.Address, PID: v.PID,
		StartedAt: timePtr(v.StartedAt), EndedAt: timePtr(v.EndedAt), TrafficRatio: v.TrafficRatio,
		Priority: v.Demand.Priority, Resources: asked(v.Demand.Slots), Claim: holdings(v, held), Waits: waits(v.Waits),
		Cluster: clusterOut(v),
	}
	if v.Personal() {
		personal(&out, v)
	}
	return out
}

// findSession returns the session that the path names.
func (s *server) findSession(c *gin.Context, p *params) (sessions.Session, error) {
	if p.err != nil {
		return sessions.Session{}, p.err
	}
	ref := c.Param("id")
	v, err := s.Sessions.Session(p.project(), ref)
	return v, withNearest(err, ref, func() []string {
		var names []string
		s.Sessions.EachSession(p.project(), sessions.SessionFilter{}, func(v *sessions.Session) { names = append(names, v.ID, v.Name) })
		return names
	})
}

func (s *server) getSession(c *gin.Context) error {
	p := query(c)
	v, err := s.findSession(c, p)
	if err != nil {
		return err
	}
	held := claims(s.boxes())
	out := session(v, s.serviceNames(p.project()), held)
	for i, m := range out.Mounts {
		if !m.ReadOnly {
			out.Mounts[i].Notice = s.Folders.LastOver(m.Folder)
		}
	}
	if err := s.addContainers(&out, v, held); err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.withIdle(out, v))
}

func (s *server) terminateSession(c *gin.Context) error {
	p := query(c, "forced")
	forced := p.flag("forced")
	v, err := s.findSession(c, p)
	if err := firstError(err, func() error { return s.permitEnter(c, v) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Sessions.TerminateSession(ctx, v.Project, v.ID, actorOf(ctx).Name, forced); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) statusHistory(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	v, err := s.findSession(c, p)
	if err != nil {
		return err
	}
	history, err := s.Sessions.Transitions(c.Request.Context(), v.Project, v.ID)
	if err != nil {
		return err
	}
	// Two changes may share an instant: the order in which they were kept decides.
	type numbered struct {
		api.Transition
		key string
	}
	items := []numbered{}
	for i, t := range history {
		items = append(items, numbered{
			api.Transition{At: t.At.UTC(), From: string(t.From), To: string(t.To), Reason: t.Reason}, fmt.Sprintf("%09d", i),
		})
	}
	return respondPage(c, p, items, func(t numbered) string { return t.key })
}

func (s *server) sessionStats(c *gin.Context) error {
	v, err := s.findSession(c, query(c))
	if err != nil {
		return err
	}
	got, err := s.Sessions.Stats(c.Request.Context(), v.Project, v.ID)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.Stats{
		At: got.At.UTC(), CPUTime: got.CPUTime.Seconds(), Memory: got.Memory, Pids: got.Pids, RxBytes: got.RxBytes, TxBytes: got.TxBytes,
		ReadBytes: got.ReadBytes, WriteBytes: got.WriteBytes,
		DeviceMemory: deviceMemory(s.boxes(), v.ID),
	})
}

func (s *server) sessionLogs(c *gin.Context) error {
	p := query(c, "follow", "tail", "route", "earlier")
	o, earlier := logOptions(p), p.flag("earlier")
	v, err := s.findSession(c, p)
	if err != nil {
		return err
	}
	out := newLogStream(c)
	if earlier {
		body, err := s.Sessions.EarlierLogs(c.Request.Context(), v.Project, v.ID)
		if err != nil {
			return err
		}
		defer body.Close()
		out.begin()
		_, err = io.Copy(out, body)
		return err
	}
	return s.copyLog(c.Request.Context(), out, v.Project, v.ID, o)
}
