package daemon

import (
	"context"
	"fmt"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
)

// beyond says what of a wish that a pipeline makes is not for the user in whose name it runs. Its texts are known only when a
// job runs, and so the API cannot have looked at them. Names that are no user's are those of the box itself and its keys.
func (d *daemon) beyond(by, image string, env map[string]string) error {
	u, err := d.people.User(by)
	if err != nil && !d.people.Ever(by) || err == nil && u.Admin {
		return nil
	}
	if err := admin.Beyond(image, env, d.Config.People.HostSessions); err != nil {
		return err
	}
	return imageOfOthers(image, d.registryOfOthers)
}

// imageOfOthers refuses an image whose registry may not be named by who does not own the box.
func imageOfOthers(image string, registry func(host string) error) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil //nolint:nilerr // who runs it says what is wrong
	}
	if err := registry(reference.Domain(named)); err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	return nil
}

// boundDesk takes wishes of pipelines, within what those may who have made them.
type boundDesk struct {
	*training.Desk
	d *daemon
}

// Create implements keeper.Desk.
func (b boundDesk) Create(ctx context.Context, w training.Wish) ([]sessions.Session, error) {
	if err := b.d.beyond(w.CreatedBy, w.Image, w.Env); err != nil {
		return nil, refused{err}
	}
	return b.Desk.Create(ctx, w)
}

// Check implements keeper.Desk.
func (b boundDesk) Check(ctx context.Context, w training.Wish) catalog.Problems {
	ps := b.Desk.Check(ctx, w)
	if err := b.d.beyond(w.CreatedBy, w.Image, w.Env); err != nil {
		ps = append(ps, catalog.Problem{Field: "image", Message: err.Error()})
	}
	return ps
}

// boundServices are those that pipelines make and change, within the same.
type boundServices struct {
	*sessions.Manager
	d *daemon
}

// CreateService implements keeper.Services.
func (b boundServices) CreateService(ctx context.Context, req sessions.ServiceRequest) (sessions.ServiceView, error) {
	if err := b.d.beyond(req.CreatedBy, req.Recipe.Image, req.Recipe.Env); err != nil {
		return sessions.ServiceView{}, refused{err}
	}
	return b.Manager.CreateService(ctx, req)
}

// UpdateService implements keeper.Services.
func (b boundServices) UpdateService(ctx context.Context, project, ref string, up sessions.ServiceUpdate) (sessions.ServiceView, error) {
	if up.Recipe != nil {
		if err := b.d.beyond(up.By, up.Recipe.Image, up.Recipe.Env); err != nil {
			return sessions.ServiceView{}, refused{err}
		}
	}
	return b.Manager.UpdateService(ctx, project, ref, up)
}

// refused is an error that no second try mends.
type refused struct{ error }

func (r refused) Unwrap() []error { return []error{r.error, sessions.ErrInvalid} }
