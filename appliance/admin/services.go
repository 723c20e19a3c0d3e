package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/sessions"
)

// DefaultVariant is the runtime variant of a service whose owner names none.
const DefaultVariant = "custom"

func (s *server) listServices(c *gin.Context) error {
	p := query(c, "status", "name", "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	names, held := s.folderNamesOf(c.Request.Context(), p.project()), claims(s.boxes())
	items := []api.Service{}
	for _, v := range s.Services.Services(p.project()) {
		if !strings.EqualFold(string(v.Status), p.text("status")) && p.text("status") != "" {
			continue
		}
		if strings.Contains(v.Name, p.text("name")) {
			items = append(items, s.serviceFor(c.Request.Context(), v, names, held))
		}
	}
	return respondPage(c, p, items, func(v api.Service) string { return v.Name + "\x00" + v.ID })
}

// checkService says what would come of a service if it were asked for now.
func (s *server) checkService(c *gin.Context) error {
	req, _, err := s.serviceRequest(c)
	if err != nil {
		return err
	}
	f, err := s.Services.ForeseeService(c.Request.Context(), req)
	if err != nil {
		return err
	}
	out := api.ServiceCheck{
		Resources: asked(f.Demand.Slots), Replicas: req.Replicas, Start: f.Placed, Nodes: append([]string{}, f.Nodes...), Ahead: f.Ahead,
		Fit: f.Fits, Waits: append([]api.Wait{}, waits(f.Waits)...), Warnings: fieldErrors(f.Warnings),
	}
	if out.Resources == nil {
		out.Resources = map[string]string{}
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) createService(c *gin.Context) error {
	req, scaling, err := s.serviceRequest(c)
	if err != nil {
		return err
	}
	v, err := s.Services.CreateService(c.Request.Context(), req)
	if err != nil {
		return err
	}
	if err := s.keepAutoscaling(c.Request.Context(), v, scaling); err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/services/"+v.ID)
	return s.respondService(c, http.StatusCreated, v)
}

// serviceRequest reads the service that is asked for, and its autoscaling; nil where it says nothing of that.
func (s *server) serviceRequest(c *gin.Context) (req sessions.ServiceRequest, scaling *autoscaler.Kept, err error) {
	p := query(c)
	var in api.ServiceCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return req, nil, err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return req, nil, err
	}
	for name, value := range in.Environ {
		if value == notShown {
			return req, nil, shownAsHidden(name)
		}
	}
	if err := s.permitReach(c.Request.Context(), in.Image, in.Environ); err != nil {
		return req, nil, err
	}
	if in.Image == "" {
		return req, nil, badField("image", "an image reference, or \"host\" for plain processes of this box", "is needed")
	}
	if err := s.imageFrom(c.Request.Context(), in.Image); err != nil {
		return req, nil, err
	}
	req = sessions.ServiceRequest{
		Name: in.Name, Project: project, CreatedBy: actorOf(c.Request.Context()).Name, Replicas: 1, Public: in.OpenToPublic, Priority: in.Priority,
		Recipe: sessions.Recipe{
			Image: in.Image, Folder: in.Folder, Variant: in.RuntimeVariant, DefinitionPath: in.ModelDefinitionPath,
			MountDestination: in.ModelMount, Env: in.Environ, Resources: in.Resources, ResourceOpts: in.ResourceOpts,
			Selector: in.Selector,
			Mounts:   mountsIn(in.Mounts),

			ClusterSize: in.ClusterSize, ClusterMode: sessions.ClusterMode(in.ClusterMode),
		},
	}
	if in.RuntimeVariant == "" {
		req.Recipe.Variant = DefaultVariant
	}
	if in.Replicas != nil {
		req.Replicas = *in.Replicas
	}
	if in.Policy != nil {
		policy, err := policyIn(*in.Policy, sessions.DefaultPolicy())
		if err != nil {
			return req, nil, err
		}
		req.Policy = &policy
	}
	if req.Routing, err = routingIn(in.Routing, sessions.DefaultRouting()); err != nil {
		return req, nil, err
	}
	scaling, err = s.checkAutoscaling(in.Autoscaling, func() autoscaler.Kept { return autoscaler.Kept{Policy: firstPolicy(req.Replicas)} })
	if err != nil {
		return req, nil, err
	}
	if scaling != nil && in.Replicas == nil {
		req.Replicas = min(max(req.Replicas, scaling.Policy.Min), scaling.Policy.Max)
	}
	return req, scaling, nil
}

func firstError(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

func (s *server) respondService(c *gin.Context, status int, v sessions.ServiceView) error {
	c.Header("ETag", api.ETag(v.Version))
	return respond(c, status, s.serviceFor(c.Request.Context(), v, s.folderNamesOf(c.Request.Context(), v.Project), claims(s.boxes())))
}

// find returns the service that the path names; a name that is nearly right is suggested.
func (s *server) find(c *gin.Context, p *params) (sessions.ServiceView, error) {
	if p.err != nil {
		return sessions.ServiceView{}, p.err
	}
	ref := c.Param("id")
	v, err := s.Services.Service(p.project(), ref)
	return v, withNearest(err, ref, func() []string {
		var names []string
		for _, v := range s.Services.Services(p.project()) {
			names = append(names, v.Name)
		}
		return names
	})
}

func (s *server) getService(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	return s.respondService(c, http.StatusOK, v)
}

// checkMatch holds a request's If-Match against the service that it would change.
func checkMatch(c *gin.Context, v sessions.ServiceView) error {
	return checkVersion(c, fmt.Sprintf("service %q", v.Name), v.Version)
}

// checkVersion holds a request's If-Match against the version of what it would change.
func checkVersion(c *gin.Context, what string, version int64) error {
	want := c.GetHeader("If-Match")
	if want == "" || want == "*" || want == api.ETag(version) {
		return nil
	}
	p := api.NewProblem(api.KindPrecondition, http.StatusPreconditionFailed, "%s has changed: it is at version %d, not %s", what, version, want)
	p.Hint = "read it again, and make the change once more"
	return p
}

func (s *server) updateService(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	var in api.ServiceUpdate
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := checkMatch(c, v); err != nil {
		return err
	}
	for name, value := range in.Environ {
		if value != nil && *value == notShown {
			return shownAsHidden(name)
		}
	}
	if in.Image != nil {
		if err := s.imageFrom(c.Request.Context(), *in.Image); err != nil {
			return err
		}
	}
	up := sessions.ServiceUpdate{
		Name: in.Name, Public: in.OpenToPublic, Replicas: in.Replicas, Priority: in.Priority, Recipe: mergeRecipe(v.Recipe, in),
		By: actorOf(c.Request.Context()).Name,
	}
	if up.Recipe != nil {
		if err := s.permitReach(c.Request.Context(), up.Recipe.Image, up.Recipe.Env); err != nil {
			return err
		}
	}
	if in.Policy != nil {
		policy, err := policyIn(*in.Policy, v.Policy)
		if err != nil {
			return err
		}
		up.Policy = &policy
	}
	if up.Routing, err = routingIn(in.Routing, v.Routing); err != nil {
		return err
	}
	scaling, err := s.checkAutoscaling(in.Autoscaling, func() autoscaler.Kept { return s.policyOf(v) })
	if err != nil {
		return err
	}
	v, err = s.Services.UpdateService(c.Request.Context(), v.Project, v.ID, up)
	if err != nil {
		return err
	}
	if err := s.keepAutoscaling(c.Request.Context(), v, scaling); err != nil {
		return err
	}
	return s.respondService(c, http.StatusOK, v)
}

func (s *server) destroyService(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	if err := checkMatch(c, v); err != nil {
		return err
	}
	if v.Status == sessions.ServiceDestroying {
		return noContent(c) // it goes already; asking twice is no mistake
	}
	if err := s.Services.DestroyService(c.Request.Context(), v.Project, v.ID, actorOf(c.Request.Context()).Name); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) scaleService(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	var in api.Scale
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.To == nil {
		return badField("to", "the number of routes wanted; 0 keeps the address alone", "is needed")
	}
	by := actorOf(c.Request.Context()).Name
	if in.Reason == "" {
		in.Reason = "asked for"
	}
	v, err = s.Services.ScaleService(c.Request.Context(), v.Project, v.ID, sessions.Scale{To: *in.To, By: by, Reason: in.Reason})
	if err != nil {
		return err
	}
	return s.respondService(c, http.StatusOK, v)
}

func (s *server) listRoutes(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	return respondPage(c, p, routes(v, claims(s.boxes())), func(r api.Route) string { return stamp(r.CreatedAt) + r.ID })
}

// findRoute returns the service and the route that the path names.
func (s *server) findRoute(c *gin.Context) (sessions.ServiceView, api.Route, error) {
	v, err := s.find(c, query(c))
	if err != nil {
		return v, api.Route{}, err
	}
	ref := c.Param("rid")
	for _, r := range v.Routes {
		if r.ID == ref || r.Name == ref {
			return v, route(r, claims(s.boxes())), nil
		}
	}
	return v, api.Route{}, fmt.Errorf("route %q of service %q: %w", ref, v.Name, sessions.ErrNotFound)
}

func (s *server) getRoute(c *gin.Context) error {
	_, r, err := s.findRoute(c)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, r)
}

func (s *server) updateRoute(c *gin.Context) error {
	v, r, err := s.findRoute(c)
	if err != nil {
		return err
	}
	var in api.RouteUpdate
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.TrafficRatio == nil {
		return badField("traffic_ratio", "the weight of the route; 0 takes it out of the balance", "is needed")
	}
	if err := s.Revisions.SetTrafficRatio(c.Request.Context(), v.Project, v.ID, r.ID, *in.TrafficRatio); err != nil {
		return err
	}
	r.TrafficRatio = *in.TrafficRatio
	return respond(c, http.StatusOK, r)
}

func (s *server) serviceErrors(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	out := api.ServiceErrors{Failures: v.Failures, LastError: v.LastError, NextRetry: timePtr(v.RetryAt), Routes: []api.RouteError{}}
	for _, r := range v.Routes {
		if r.Status == sessions.RouteUnhealthy || r.Status == sessions.RouteFailedToStart {
			reason := r.Reason
			if r.Status == sessions.RouteUnhealthy {
				reason = r.Health
			}
			out.Routes = append(out.Routes, api.RouteError{SessionID: r.ID, Status: string(r.Status), Reason: reason})
		}
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) clearErrors(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	if err := s.Revisions.ClearErrors(c.Request.Context(), v.Project, v.ID, actorOf(c.Request.Context()).Name); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) listRevisions(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	v, err := s.find(c, p)
	if err != nil {
		return err
	}
	revisions, err := s.Revisions.Revisions(c.Request.Context(), v.Project, v.ID)
	if err != nil {
		return err
	}
	names := s.folderNamesOf(c.Request.Context(), v.Project)
	items := []api.Revision{}
	for _, r := range revisions {
		items = append(items, api.Revision{
			Number: r.Number, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, Recipe: s.recipeFor(c.Request.Context(), v.Project, recipeOut(r.Recipe, names)),
			Current: r.Number == v.Revision, Good: r.Number == v.GoodRevision, Failed: r.Failed,
		})
	}
	return respondPage(c, p, items, func(r api.Revision) string { return fmt.Sprintf("%09d", r.Number) })
}

func (s *server) rollBack(c *gin.Context) error {
	v, err := s.find(c, query(c))
	if err != nil {
		return err
	}
	var in api.RollBack
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request.Context()
	number := in.Revision
	if number == 0 {
		if number, err = s.lastGood(ctx, v); err != nil {
			return err
		}
	}
	if number == v.Revision {
		return fmt.Errorf("revision %d is the one that runs: %w", number, sessions.ErrForbidden)
	}
	v, err = s.Revisions.RollBack(ctx, v.Project, v.ID, number, actorOf(ctx).Name)
	if err != nil {
		return err
	}
	return s.respondService(c, http.StatusOK, v)
}

// lastGood is the newest revision before the current one that did not fail.
func (s *server) lastGood(ctx context.Context, v sessions.ServiceView) (int, error) {
	revisions, err := s.Revisions.Revisions(ctx, v.Project, v.ID)
	if err != nil {
		return 0, err
	}
	best := 0
	for _, r := range revisions {
		if r.Number < v.Revision && r.Failed == "" {
			best = max(best, r.Number)
		}
	}
	if best == 0 {
		return 0, &hinted{
			fmt.Errorf("service %q has no earlier revision to go back to: %w", v.Name, sessions.ErrForbidden),
			"see: palisade service revisions " + v.Name,
		}
	}
	return best, nil
}
