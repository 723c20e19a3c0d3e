package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/sessions"
)

// Installs bring models to the box. *install.Manager is one.
type Installs interface {
	Begin(ctx context.Context, project, by string, w install.Wish) (v install.View, joined bool, err error)
	Installs(project string) []install.View
	Install(project, ref string) (install.View, error)
	Cancel(ctx context.Context, project, ref, by string) (install.View, error)
	// Preview is the recipe that an install of a place of files would make up of them.
	Preview(ctx context.Context, source string, byHand bool) (recipe.Recipe, error)
	// Changed is closed at the next change of any install or model.
	Changed() <-chan struct{}
}

// wantInstalls refuses where no models are installed.
func (s *server) wantInstalls() error {
	if s.Installs == nil || s.Models == nil {
		return fmt.Errorf("this appliance installs no models: %w", sessions.ErrNotSupported)
	}
	return nil
}

// install is one on the wire.
func (s *server) install(v install.View) api.Install {
	out := api.Install{
		ID: v.ID, Model: v.Model, Project: v.Project, Kind: string(v.Wish.Kind), Source: v.Wish.Source, Status: string(v.Status), Step: string(v.Step()),
		Error: v.Error, Hint: v.Hint, Attempt: v.Attempt, CreatedBy: v.CreatedBy, CreatedAt: v.CreatedAt.UTC(), EndedAt: timePtr(v.EndedAt),
		Steps: []api.InstallStep{}, Revision: v.Revision,
	}
	for _, one := range v.Steps {
		out.Steps = append(out.Steps, api.InstallStep{
			Step: string(one.Step), Status: one.Status, Note: one.Note, StartedAt: timePtr(one.StartedAt), EndedAt: timePtr(one.EndedAt),
		})
	}
	if t := v.Transfer; !v.Status.Ended() && t != (install.Transfer{}) {
		out.Transfer = &api.InstallTransfer{
			Files: t.Files, Done: t.Done, Bytes: t.Bytes, Here: t.Here, Reused: t.Reused, Speed: t.Speed, Left: t.Left.Seconds(), Current: t.Current, Message: t.Message,
		}
	}
	if v.Choice != nil {
		out.Variant, out.Plan, out.Warnings = v.Choice.Variant, v.Choice.Sentences, v.Choice.Warnings
	}
	if v.Recipe != nil {
		out.Task = string(v.Recipe.Task)
	}
	if v.Service == "" {
		return out
	}
	there, err := s.Services.Service(v.Project, v.Service)
	if err != nil {
		return out // removed since
	}
	out.Service, out.ModelName = there.Name, there.ModelName
	if v.Status == install.Done {
		out.Endpoint = s.PublicURL + "/v1"
		if v.Recipe != nil {
			out.Example = example(s.PublicURL, out.ModelName, v.Recipe)
		}
	}
	return out
}

func (s *server) createInstall(c *gin.Context) error {
	p := query(c)
	var in api.InstallCreate
	if err := firstError(firstError(p.err, s.wantInstalls), func() error { return decode(c, &in) }); err != nil {
		return err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.permitSource(ctx, in.Source); err != nil {
		return err
	}
	v, joined, err := s.Installs.Begin(ctx, project, actorOf(ctx).Name, install.Wish{
		Kind: install.KindInstall, Source: in.Source, ByHand: s.ownsBox(ctx), Name: in.Name, Variant: in.Variant, Devices: in.Devices, Context: in.Context, Concurrency: in.Concurrency,
		Replicas: in.Replicas, AcceptLicense: in.AcceptLicense, NoService: in.NoService, NoCalibrate: in.NoCalibrate, Force: in.Force,
	})
	return s.accepted(c, v, joined, err)
}

// accepted answers with an install that is under way.
func (s *server) accepted(c *gin.Context, v install.View, joined bool, err error) error {
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/installs/"+v.ID)
	out := s.install(v)
	out.Joined = joined
	return respond(c, http.StatusAccepted, out)
}

func (s *server) listInstalls(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if err := firstError(p.err, s.wantInstalls); err != nil {
		return err
	}
	items := []api.Install{}
	for _, v := range s.Installs.Installs(p.project()) {
		items = append(items, s.install(v))
	}
	return respondPage(c, p, items, func(v api.Install) string { return newestFirst(v.CreatedAt) + v.ID })
}

// findInstall finds the one that a request is about.
func (s *server) findInstall(c *gin.Context, p *params) (install.View, error) {
	if err := firstError(p.err, s.wantInstalls); err != nil {
		return install.View{}, err
	}
	v, err := s.Installs.Install(p.project(), c.Param("id"))
	return v, withNearest(err, c.Param("id"), func() (names []string) {
		for _, one := range s.Installs.Installs(p.project()) {
			names = append(names, one.Model)
		}
		return names
	})
}

func (s *server) getInstall(c *gin.Context) error {
	v, err := s.findInstall(c, query(c))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.install(v))
}

func (s *server) cancelInstall(c *gin.Context) error {
	v, err := s.findInstall(c, query(c))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if v, err = s.Installs.Cancel(ctx, v.Project, v.ID, actorOf(ctx).Name); err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.install(v))
}

// watchInstall sends the install now and after every change of it as server-sent events.
func (s *server) watchInstall(c *gin.Context) error {
	v, err := s.findInstall(c, query(c))
	if err != nil {
		return err
	}
	return s.events(c, "install", s.Installs.Changed, func() (any, error) {
		now, err := s.Installs.Install(v.Project, v.ID)
		return s.install(now), err
	})
}
