package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
)

// personal adds what only a session of a person has.
func personal(out *api.Session, v sessions.Session) {
	out.StartupCommand, out.PreopenPorts, out.DependsOn = v.Task.Command, v.Task.Ports, v.Demand.DependsOn
	out.StartsAt, out.Timeout, out.Retries = timePtr(v.Demand.StartsAt), v.Task.Timeout.Seconds(), v.Task.Retries
	out.Preemptible, out.MinRuntime = v.Demand.Preemptible, v.Demand.MinRuntime.Seconds()
	out.Restarts, out.Outcome = v.Task.Restarts, string(v.Task.Outcome)
	if a := v.Task.Array; a != nil {
		out.ArrayID, out.ArrayIndex = a.ID, &a.Index
	}
	for i, m := range v.Mounts {
		mount := api.SessionMount{Target: m.Target, ReadOnly: m.ReadOnly}
		if i < len(v.Task.Folders) {
			mount.Folder = v.Task.Folders[i]
			if m.Within != "" {
				mount.Sub = strings.TrimPrefix(m.Source, m.Within+"/")
			}
		}
		out.Mounts = append(out.Mounts, mount)
	}
}

// wish reads the session that a request asks for.
func (s *server) wish(c *gin.Context) (w training.Wish, err error) {
	p := query(c)
	var in api.SessionCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return w, err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return w, err
	}
	if err := s.permitReach(c.Request.Context(), in.Image, in.Environ); err != nil {
		return w, err
	}
	if err := s.imageFrom(c.Request.Context(), in.Image); err != nil {
		return w, err
	}
	w = training.Wish{
		Name: in.Name, Project: project, CreatedBy: actorOf(c.Request.Context()).Name, Type: sessions.Type(in.Type), Image: in.Image,
		Command: in.StartupCommand, Env: in.Environ, Ports: in.PreopenPorts, Resources: in.Resources, ResourceOpts: in.ResourceOpts,
		Selector: in.Selector, Priority: in.Priority, Preemptible: in.Preemptible, DependsOn: in.DependsOn, Retries: in.Retries, Array: in.Array,
		ClusterSize: in.ClusterSize, ClusterMode: sessions.ClusterMode(in.ClusterMode), ClusterRun: sessions.ClusterRun(in.ClusterRun),
	}
	for _, m := range in.Mounts {
		w.Mounts = append(w.Mounts, training.Mount{Folder: m.Folder, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	if in.StartsAt != nil {
		w.StartsAt = *in.StartsAt
	}
	if err := readSeconds(duration{"timeout", &in.Timeout, &w.Timeout}, duration{"min_runtime", &in.MinRuntime, &w.MinRuntime},
		duration{"idle_timeout", &in.IdleTimeout, &w.IdleTimeout}, duration{"max_lifetime", &in.MaxLifetime, &w.MaxLifetime}); err != nil {
		return w, err
	}
	if in.Timeout > 0 && w.Timeout < time.Millisecond {
		return w, badField("timeout", "", "%v: less than a thousandth of a second", in.Timeout)
	}
	return w, nil
}

// checkSession says what would come of a session if it were asked for now.
func (s *server) checkSession(c *gin.Context) error {
	w, err := s.wish(c)
	if err != nil {
		return err
	}
	f, count, err := s.People.Foresee(c.Request.Context(), w)
	if err != nil {
		return err
	}
	out := api.SessionCheck{Resources: asked(f.Demand.Slots), Sessions: count, Starts: f.Node != "", Node: f.Node, Ahead: f.Ahead, Waits: append([]api.Wait{}, waits(f.Waits)...)}
	if out.Resources == nil {
		out.Resources = map[string]string{}
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) createSession(c *gin.Context) error {
	w, err := s.wish(c)
	if err != nil {
		return err
	}
	made, err := s.People.Create(c.Request.Context(), w)
	if err != nil {
		return err
	}
	out := api.SessionsCreated{Items: []api.Session{}}
	held := claims(s.boxes())
	for _, v := range made {
		out.Items = append(out.Items, session(v, nil, held))
	}
	c.Header("Location", api.Prefix+"/sessions/"+made[0].ID)
	return respond(c, http.StatusCreated, out)
}

func (s *server) updateSession(c *gin.Context) error {
	p := query(c)
	v, err := s.findSession(c, p)
	if err != nil {
		return err
	}
	var in api.SessionUpdate
	if err := firstError(s.permitEnter(c, v), func() error { return decode(c, &in) }); err != nil {
		return err
	}
	up := sessions.SessionUpdate{Name: in.Name, Priority: in.Priority}
	for _, d := range []struct {
		name string
		from *float64
		to   **time.Duration
	}{{"idle_timeout", in.IdleTimeout, &up.IdleTimeout}, {"max_lifetime", in.MaxLifetime, &up.MaxLifetime}} {
		if d.from == nil {
			continue
		}
		*d.to = new(time.Duration)
		if err := readSeconds(duration{d.name, d.from, *d.to}); err != nil {
			return err
		}
	}
	v, err = s.Sessions.UpdateSession(c.Request.Context(), v.Project, v.ID, up)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.withIdle(session(v, s.serviceNames(p.project()), claims(s.boxes())), v))
}

func (s *server) restartSession(c *gin.Context) error {
	v, err := s.findSession(c, query(c))
	if err := firstError(err, func() error { return s.permitEnter(c, v) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Sessions.RestartSession(ctx, v.Project, v.ID, actorOf(ctx).Name); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) commitSession(c *gin.Context) error {
	var in api.SessionCommit
	p := query(c)
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if in.Image == "" {
		return badField("image", "as in mine:1", "is needed")
	}
	if in.Replace { // the image that has the name may be anybody's
		if err := s.permit(c.Request.Context(), admin, ""); err != nil {
			return err
		}
	}
	v, err := s.findRunning(c, p)
	if err := firstError(err, func() error { return s.permitEnter(c, v) }); err != nil {
		return err
	}
	return s.tellImage(c, func(ctx context.Context, tell func(sessions.Progress)) (sessions.Image, error) {
		return s.Sessions.Commit(ctx, v.Project, v.ID, sessions.Commit{Image: in.Image, Replace: in.Replace, Running: in.Running, By: actorOf(ctx).Name}, tell)
	})
}
