package admin

import (
	"context"
	"maps"
	"math"
	"net/url"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// timePtr leaves a time that is not there out of the answer.
func timePtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// stamp writes a time so that text order is the order of time.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// serviceFor is a service as somebody may see it.
func (s *server) serviceFor(ctx context.Context, v sessions.ServiceView, folderNames map[string]string, held map[string]*api.Claim) api.Service {
	out := s.service(v, folderNames, held)
	out.Recipe = s.recipeFor(ctx, v.Project, out.Recipe)
	return out
}

// notShown stands for a value that is not for who looks.
const notShown = "***"

// shownAsHidden refuses a value that was never seen: it would be written over the one that it stands for.
func shownAsHidden(name string) error {
	return badField("environ."+name, "the value itself, or leave the name out to keep what there is", "%q stands for a value that is not shown", notShown)
}

// recipeFor covers values of the environment for who may not change the service: many a token stands there.
func (s *server) recipeFor(ctx context.Context, project string, r api.Recipe) api.Recipe {
	if len(r.Environ) > 0 && !s.rights.grant(actorOf(ctx), project).meets(member) {
		r.Environ = named(r.Environ)
	}
	return r
}

func (s *server) service(v sessions.ServiceView, folderNames map[string]string, held map[string]*api.Claim) api.Service {
	out := api.Service{
		ID: v.ID, Name: v.Name, Project: v.Project, CreatedBy: v.CreatedBy, CreatedAt: v.CreatedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(),
		Version: v.Version, ModelName: v.ModelName, Status: string(v.Status), Reason: v.Sentence, Replicas: v.Replicas,
		ScaledBy: v.ScaledBy, ScaledAt: timePtr(v.ScaledAt), ReadyAt: timePtr(v.ReadyAt),
		HealthyRoutes: v.HealthyRoutes, OpenToPublic: v.Public, Endpoint: s.PublicURL + "/services/" + url.PathEscape(v.Name),
		Policy: policyOut(v.Policy), Routing: routingOut(v.Routing), Priority: v.Priority, Recipe: recipeOut(v.Recipe, folderNames), Revision: v.Revision, GoodRevision: v.GoodRevision,
		Failures: v.Failures, LastError: v.LastError, NextRetry: timePtr(v.RetryAt), Warnings: fieldErrors(v.Warnings), Routes: routes(v, held),
	}
	out.Autoscaling, out.AutoscalingPaused = s.scalingOf(v)
	return out
}

func routes(v sessions.ServiceView, held map[string]*api.Claim) []api.Route {
	out := []api.Route{}
	for _, r := range v.Routes {
		out = append(out, route(r, held))
	}
	return out
}

func route(r sessions.RouteView, held map[string]*api.Claim) api.Route {
	return api.Route{
		ID: r.ID, SessionID: r.ID, Status: string(r.Status), SessionStatus: string(r.Session), Reason: r.Reason, Health: r.Health,
		Revision: r.Revision, TrafficRatio: r.Weight, Address: r.Address, InFlight: r.InFlight,
		CreatedAt: r.CreatedAt.UTC(), StartedAt: timePtr(r.StartedAt), ReadyAt: timePtr(r.ReadyAt), Exit: exitOut(r.Exit), Claim: held[r.ID], Waits: waits(r.Waits),
		Containers: containersOut(r.Containers, held),
	}
}

func exitOut(e *sessions.Exit) *api.Exit {
	if e == nil {
		return nil
	}
	return &api.Exit{Reason: string(e.Reason), Code: e.Code, Signal: e.Signal, Message: e.Message, FinishedAt: timePtr(e.FinishedAt)}
}

func recipeOut(r sessions.Recipe, folderNames map[string]string) api.Recipe {
	out := api.Recipe{
		Image: r.Image, Folder: r.Folder, FolderName: folderName(r.Folder, folderNames), RuntimeVariant: r.Variant, ModelDefinitionPath: r.DefinitionPath,
		ModelMount: r.MountDestination, Environ: r.Env, Resources: r.Resources, ResourceOpts: r.ResourceOpts,
		Selector: r.Selector, ClusterSize: r.ClusterSize, ClusterMode: string(r.ClusterMode),
	}
	for _, m := range r.Mounts {
		out.Mounts = append(out.Mounts, api.Mount{Folder: m.Folder, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return out
}

// folderName is the name of a folder, or of a directory in one; "" where it is gone.
func folderName(ref string, names map[string]string) string {
	id, sub := folders.SplitRef(ref)
	if names[id] == "" {
		return ""
	}
	return folders.JoinRef(names[id], sub)
}

func mountsIn(mounts []api.Mount) []sessions.FolderMount {
	var out []sessions.FolderMount
	for _, m := range mounts {
		out = append(out, sessions.FolderMount{Folder: m.Folder, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return out
}

// mergeRecipe lays an update over a recipe; nil when the update says nothing of it.
func mergeRecipe(r sessions.Recipe, in api.ServiceUpdate) *sessions.Recipe {
	changed := in.Reload
	lay := func(to *string, from *string) {
		if from != nil {
			*to, changed = *from, true
		}
	}
	lay(&r.Image, in.Image)
	lay(&r.Folder, in.Folder)
	lay(&r.Variant, in.RuntimeVariant)
	lay(&r.DefinitionPath, in.ModelDefinitionPath)
	lay(&r.MountDestination, in.ModelMount)
	for _, m := range []struct {
		to   *map[string]string
		from map[string]*string
	}{{&r.Env, in.Environ}, {&r.Resources, in.Resources}, {&r.ResourceOpts, in.ResourceOpts}, {&r.Selector, in.Selector}} {
		if m.from == nil {
			continue
		}
		changed = true
		merged := maps.Clone(*m.to)
		if merged == nil {
			merged = map[string]string{}
		}
		for k, v := range m.from {
			if v == nil {
				delete(merged, k)
			} else {
				merged[k] = *v
			}
		}
		*m.to = merged
	}
	if in.ClusterSize != nil {
		r.ClusterSize, changed = *in.ClusterSize, true
	}
	if in.ClusterMode != nil {
		r.ClusterMode, changed = sessions.ClusterMode(*in.ClusterMode), true
	}
	if in.Mounts != nil {
		r.Mounts, changed = mountsIn(*in.Mounts), true
	}
	if !changed {
		return nil
	}
	return &r
}

func policyOut(p sessions.Policy) api.Policy {
	return api.Policy{
		UnhealthyTTL: new(p.UnhealthyTTL.Seconds()), OnUnhealthy: new(p.OnUnhealthy),
		TerminationGrace: new(p.TerminationGrace.Seconds()), StartTimeout: new(p.StartTimeout.Seconds()),
		MaxSurge: new(p.MaxSurge), MaxUnavailable: new(p.MaxUnavailable),
	}
}

// maxSeconds is the longest duration of a policy: ten years, well inside time.Duration.
const maxSeconds = 10 * 365 * 24 * 3600

// duration is a number of seconds in a request; nil leaves what is there.
type duration struct {
	field string
	from  *float64
	to    *time.Duration
}

// readSeconds reads durations of a request.
func readSeconds(all ...duration) error {
	for _, d := range all {
		if d.from == nil {
			continue
		}
		if math.IsNaN(*d.from) || *d.from < 0 || *d.from > maxSeconds {
			return badField(d.field, "", "%v: must be a number of seconds, 0 or more", *d.from)
		}
		*d.to = time.Duration(*d.from * float64(time.Second))
	}
	return nil
}

// policyIn lays what a request says over base.
func policyIn(in api.Policy, base sessions.Policy) (sessions.Policy, error) {
	if err := readSeconds(
		duration{"policy.unhealthy_ttl", in.UnhealthyTTL, &base.UnhealthyTTL},
		duration{"policy.termination_grace", in.TerminationGrace, &base.TerminationGrace},
		duration{"policy.start_timeout", in.StartTimeout, &base.StartTimeout},
	); err != nil {
		return base, err
	}
	if in.OnUnhealthy != nil {
		base.OnUnhealthy = *in.OnUnhealthy
	}
	if in.MaxSurge != nil {
		base.MaxSurge = *in.MaxSurge
	}
	if in.MaxUnavailable != nil {
		base.MaxUnavailable = *in.MaxUnavailable
	}
	return base, nil
}

// folderNamesOf maps folder ids to names. People read names; a folder that is gone has none.
func (s *server) folderNamesOf(ctx context.Context, project string) map[string]string {
	names := map[string]string{}
	all, err := s.Folders.List(ctx, project)
	if err != nil && ctx.Err() != nil {
		return names // the client has gone: nobody reads them
	}
	if err != nil {
		s.Log.WarnContext(ctx, "folders' names could not be read", "error", err)
		return names
	}
	for _, f := range all {
		names[f.ID] = f.Name
	}
	return names
}
