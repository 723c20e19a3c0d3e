package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
)

// openLimits reads what projects and people may have, and puts it into force, now and after each change. All rooms that hold
// to it are there.
func (d *daemon) openLimits(ctx context.Context) error {
	settings, err := d.Config.LimitSettings()
	if err != nil {
		return err
	}
	if d.limits, err = people.OpenLimits(ctx, d.store, settings, time.Now); err != nil {
		return err
	}
	opening := true
	return d.limits.Follow(ctx, func(ctx context.Context) error {
		if err := d.enforceLimits(ctx); err != nil {
			return err
		}
		if d.turn != nil && opening { // nobody has changed anything that the others are to know before this life is open
			opening = false
			d.following.run(func(ctx context.Context) { _ = d.nudge(ctx, nudgeLimits) })
			return nil
		}
		return d.nudge(ctx, nudgeLimits)
	})
}

// enforceLimits tells the rooms what the book says. The manager comes last: it publishes the table, by which services get what
// their projects pay with.
func (d *daemon) enforceLimits(ctx context.Context) error {
	var q sessions.Quotas
	var of folders.Quotas
	var err error
	projects, users := map[string]quota.Limits{}, map[string]quota.Limits{}
	if q.Projects, of.Projects, err = d.limitsOf(people.LimitProject, projects); err != nil {
		return err
	}
	if q.Users, of.People, err = d.limitsOf(people.LimitUser, users); err != nil {
		return err
	}
	q.Project, q.User = q.Projects[people.Everybody], q.Users[people.Everybody]
	delete(q.Projects, people.Everybody)
	delete(q.Users, people.Everybody)
	d.folders.SetQuotas(of)
	err = d.limitRequests(ctx, projects, users)
	d.manager.SetQuotas(q)
	return err
}

// limitRequests tells the router what projects and people may use.
func (d *daemon) limitRequests(ctx context.Context, projects, users map[string]quota.Limits) error {
	spent := func(ctx context.Context, from time.Time) (tokens, projects map[string]int64, err error) {
		return usage.Spent(ctx, d.store, from)
	}
	if err := d.tokens.Limit(ctx, projects, spent); err != nil {
		return err
	}
	return d.tokens.LimitPeople(ctx, users, spent)
}

// limitsOf are the limits of one kind, by name and for Everybody, in the words of the rooms; those of requests go into usage.
func (d *daemon) limitsOf(kind people.LimitKind, usage map[string]quota.Limits) (map[string]sessions.Quota, map[string]int64, error) {
	quotas, storage := map[string]sessions.Quota{}, map[string]int64{}
	for _, name := range append(d.limits.Named(kind), people.Everybody) {
		e := d.limits.Of(kind, name)
		q, err := sessions.ParseQuota(e.Slots)
		if err != nil {
			return nil, nil, fmt.Errorf("limits of %s %s: %w", kind, name, err)
		}
		q.Sessions, q.Services, q.Routes = e.Sessions, e.Services, e.Routes
		quotas[name], storage[name] = q, e.Storage
		if usage[name], err = quota.Parse(e.Usage); err != nil {
			return nil, nil, fmt.Errorf("limits of %s %s: %w", kind, name, err)
		}
	}
	return quotas, storage, nil
}

// limitUse implements admin.LimitUse.
type limitUse struct{ d *daemon }

// Used implements admin.LimitUse.
func (u limitUse) Used(ctx context.Context, kind people.LimitKind, name string) (out admin.LimitUsed, err error) {
	person := kind == people.LimitUser
	if person {
		out.Quota, out.Usage = u.d.manager.UsedByUser(name), u.d.tokens.Person(name)
	} else {
		out.Quota, out.Usage = u.d.manager.UsedByProject(name), u.d.tokens.Project(name).State(time.Now())
	}
	out.Storage, err = u.d.folders.HeldBy(ctx, name, person)
	return out, err
}
