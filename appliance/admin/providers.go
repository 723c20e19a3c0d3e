package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/people/oidc"
)

// Providers prove users elsewhere. *oidc.Door is one.
type Providers interface {
	All() []people.Provider
	Begin(ctx context.Context, name, back, next string) (to, keep string, err error)
	End(ctx context.Context, name, kept string, q url.Values) (oidc.Arrival, error)
}

func (s *server) listProviders(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.Provider{}
	if s.Providers != nil {
		for _, p := range s.Providers.All() {
			items = append(items, api.Provider{Name: p.Name, Title: p.Label(), Issuer: p.Issuer, Start: api.Prefix + "/login/oidc/" + url.PathEscape(p.Name) + "/start"})
		}
	}
	return respondPage(c, p, items, func(p api.Provider) string { return p.Name })
}

// base is how browsers call this appliance: as it is advertised, else as this one calls it.
func (s *server) base(r *http.Request) string {
	switch {
	case s.Advertised != "":
		return s.Advertised
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// The cookies that bind a log-in by a provider to the browser that has begun it.
const (
	plainJourney  = "palisade_oidc"
	secureJourney = "__Host-" + plainJourney
)

// setJourney has a browser keep what it must bring back; "": it need not any more.
func setJourney(w http.ResponseWriter, base, keep string) {
	k := &http.Cookie{Name: plainJourney, Value: keep, Path: "/", MaxAge: int(oidc.Life.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if strings.HasPrefix(base, "https://") {
		k.Name, k.Secure = secureJourney, true
	}
	if keep == "" {
		k.MaxAge = -1
	}
	http.SetCookie(w, k)
}

func journeyOf(r *http.Request, base string) string {
	name := plainJourney
	if strings.HasPrefix(base, "https://") {
		name = secureJourney
	}
	k, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return k.Value
}

// startProvider sends a browser to a provider. One that calls the appliance by another name than the provider knows comes back
// by that first: it would keep nothing for the other.
func (s *server) startProvider(c *gin.Context) error {
	p, r := query(c, "next"), c.Request
	if p.err != nil {
		return p.err
	}
	next := oidc.Local(p.text("next"))
	base, name := s.base(r), c.Param("name")
	if at, err := url.Parse(base); err == nil && !strings.EqualFold(at.Host, r.Host) {
		c.Redirect(http.StatusSeeOther, base+api.Prefix+"/login/oidc/"+url.PathEscape(name)+"/start?"+url.Values{"next": {next}}.Encode())
		return nil
	}
	if s.Providers == nil {
		return s.turnAway(c, name, &oidc.Fault{Kind: oidc.Unknown, Text: "no provider is set"})
	}
	to, keep, err := s.Providers.Begin(r.Context(), name, base+api.Prefix+"/login/oidc/"+url.PathEscape(name)+"/callback", next)
	if err != nil {
		return s.turnAway(c, name, err)
	}
	setJourney(c.Writer, base, keep)
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

// enterByProvider lets somebody in who comes back from a provider.
func (s *server) enterByProvider(c *gin.Context) error {
	r, name := c.Request, c.Param("name")
	base := s.base(r)
	kept := journeyOf(r, base)
	setJourney(c.Writer, base, "")
	if s.Providers == nil {
		return s.turnAway(c, name, &oidc.Fault{Kind: oidc.Unknown, Text: "no provider is set"})
	}
	in, err := s.Providers.End(r.Context(), name, kept, r.URL.Query())
	if err != nil {
		return s.turnAway(c, name, err)
	}
	c.Request = r.WithContext(context.WithValue(r.Context(), actorKey, Actor{Name: shortText(in.Outside.Name, auditNames), Via: byCookie}))
	e, err := s.Users.LogInWith(r.Context(), in.Outside, s.fromOf(r))
	if err != nil {
		return s.turnAway(c, name, err)
	}
	c.Request = r.WithContext(context.WithValue(r.Context(), actorKey, Actor{Name: e.User.Name, Via: byCookie}))
	if err := s.giveParts(r.Context(), in, e.User.Name); err != nil {
		return s.turnAway(c, name, errors.Join(err, s.Users.LogOut(r.Context(), e.Secret)))
	}
	letIn(c, http.StatusSeeOther)
	giveSession(c.Writer, strings.HasPrefix(base, "https://") || s.byTLS(r), e.Secret, e.Session.CreatedAt.Add(s.sessionMost(e.Session)))
	c.Redirect(http.StatusSeeOther, in.Next)
	return nil
}

// giveParts gives somebody the parts in projects that their groups give. One of a project that is not there is left out: the
// settings are ahead of it.
func (s *server) giveParts(ctx context.Context, in oidc.Arrival, user string) error {
	if len(in.Provider.ProjectRoles) == 0 {
		return nil
	}
	set, drop := oidc.Plan(in.Provider.Name, user, s.Projects.Parts(user), oidc.Given(in.Provider, in.Groups))
	for _, m := range set {
		if _, there := s.Projects.Find(m.Project); !there {
			s.Log.WarnContext(ctx, "a group gives a part in a project that is not there", "provider", in.Provider.Name, "project", m.Project, "hint", "palisade project create "+m.Project)
			continue
		}
		if _, err := s.Projects.SetMember(ctx, m, true); err != nil {
			return fmt.Errorf("giving %s their part in project %s: %w", user, m.Project, err)
		}
	}
	for _, project := range drop {
		if err := s.Projects.RemoveMember(ctx, project, user, true); err != nil && !errors.Is(err, people.ErrNotFound) {
			return fmt.Errorf("ending %s's part in project %s: %w", user, project, err)
		}
	}
	return nil
}

// turnAway says why somebody is not let in: a person on the page of the log-in, by the kind alone, a program by a problem.
func (s *server) turnAway(c *gin.Context, provider string, err error) error {
	kind, p := refusedBy(err)
	ctx := c.Request.Context()
	cause := err
	if f, is := errors.AsType[*oidc.Fault](err); is && f.Cause != nil {
		cause = f.Cause
	}
	s.Log.WarnContext(ctx, "nobody was let in by a provider", "provider", shortText(provider, auditNames), "kind", kind, "error", cause, "request_id", requestIDOf(ctx))
	c.Set(turnedAway, error(p))
	c.Set(unworthy, kind == string(oidc.Stale) || kind == string(oidc.Unknown)) // anybody may ask so, as often as they like
	if !strings.Contains(c.GetHeader("Accept"), "text/html") {
		return p
	}
	c.Redirect(http.StatusSeeOther, "/console/login?"+url.Values{"problem": {kind}, "provider": {shortText(provider, 40)}}.Encode())
	return nil
}

// turnedAway is under what a request carries why somebody was not let in, whatever they were answered.
const turnedAway = "palisade.turned-away"

// refusedBy is the kind of a refusal, and the problem that it is.
func refusedBy(err error) (kind string, p *api.Problem) {
	f, is := errors.AsType[*oidc.Fault](err)
	known, isKnown := errors.AsType[*people.Fault](err)
	switch {
	case is:
		kind = string(f.Kind)
		status := map[oidc.Kind]int{
			oidc.Unknown: http.StatusNotFound, oidc.Away: http.StatusServiceUnavailable, oidc.Broken: http.StatusServiceUnavailable,
			oidc.Stale: http.StatusConflict, oidc.Cancelled: http.StatusUnauthorized,
		}[f.Kind]
		word := map[int]string{
			http.StatusNotFound: api.KindNotFound, http.StatusServiceUnavailable: api.KindUnavailable, http.StatusConflict: api.KindState, http.StatusUnauthorized: api.KindUnauthorized,
		}[status]
		if word == "" {
			status, word = http.StatusForbidden, api.KindForbidden
		}
		p = api.NewProblem(word, status, "%s", f.Text)
		p.Hint = f.Advice
	case errors.Is(err, people.ErrWrong):
		kind, p = "disabled", api.NewProblem(api.KindForbidden, http.StatusForbidden, "this user may not log in here any more")
		p.Hint = "ask an administrator of the box"
	case isKnown:
		kind = map[error]string{people.ErrExists: "exists", people.ErrNotFound: "stranger"}[known.Kind]
		if kind == "" {
			kind = "refused"
		}
		p = api.NewProblem(api.KindForbidden, http.StatusForbidden, "%s", known.Text)
		p.Hint = known.Advice
	default:
		kind, p = "broken", api.NewProblem(api.KindUnavailable, http.StatusServiceUnavailable, "the log-in could not be finished")
		p.Hint = "try again; the reason is in the appliance's log"
	}
	return kind, p
}
