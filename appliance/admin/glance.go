package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

const (
	glanceRows   = 20 // of each list
	glanceRecent = 7 * 24 * time.Hour
)

// glance is what one is made of, of the projects that are asked for.
type glance struct {
	now      time.Time
	services []sessions.ServiceView
	figures  map[string]record.ServiceFigures // by service
	sessions sessionsSeen
	waiting  []api.Waiting
	installs []install.View
	tokens   []router.Token
}

func (s *server) getGlance(c *gin.Context) error {
	p := query(c, "all")
	all := p.flag("all")
	if p.err != nil {
		return p.err
	}
	project := p.project()
	if all {
		project = ""
	}
	g := glance{now: s.Now(), services: s.Services.Services(project), figures: map[string]record.ServiceFigures{}}
	reasons := map[string][]sessions.Wait{}
	s.Sessions.EachSession(project, sessions.SessionFilter{}, func(v *sessions.Session) {
		g.sessions.add(v)
		if len(v.Waits) > 0 {
			reasons[v.ID] = v.Waits
		}
	})
	s.Sessions.EachSession(project, sessions.SessionFilter{}, g.sessions.tell)
	if s.Live != nil {
		for _, f := range s.Live.Snapshot(g.now) {
			g.figures[f.ID] = f
		}
	}
	if s.Installs != nil {
		g.installs = s.Installs.Installs(project)
	}
	// Of all projects they are too many to look through, and each is its project's to renew. Who may not list them is not told.
	if project != "" && s.permit(c.Request.Context(), member, project) == nil {
		g.tokens = s.Tokens.List(project, "")
	}
	for i, w := range s.waiting() {
		if project == "" || w.Project == project {
			g.waiting = append(g.waiting, queued(w, i+1, reasons[w.ID]))
		}
	}
	return respond(c, http.StatusOK, g.glance())
}

// glance is pure.
func (g glance) glance() api.Glance {
	return api.Glance{
		At: g.now.UTC(), Services: g.ofServices(), Sessions: g.ofSessions(), Installs: g.ofInstalls(), Expiring: g.expiring(), Happened: g.happened(),
	}
}

// ailments orders what is wrong with services, the worst first; 0: nothing is.
func ailment(v *sessions.ServiceView) int {
	switch {
	case v.Status == sessions.ServiceUnhealthy:
		return 3
	case v.Status == sessions.ServiceDegraded:
		return 2
	case v.Failures > 0 && v.Status == sessions.ServiceProvisioning:
		return 1
	}
	return 0
}

func (g glance) ofServices() api.GlanceServices {
	out := api.GlanceServices{Total: len(g.services), States: map[string]int{}}
	var ailing []*sessions.ServiceView // they are large
	for i := range g.services {
		v := &g.services[i]
		out.States[string(v.Status)]++
		out.RequestsPerSecond += g.figures[v.ID].Long.Rate
		out.InFlight += g.figures[v.ID].InFlight
		if ailment(v) > 0 {
			ailing = append(ailing, v)
		}
	}
	slices.SortFunc(ailing, func(a, b *sessions.ServiceView) int {
		return cmp.Or(cmp.Compare(ailment(b), ailment(a)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	out.Ailing = g.rows(ailing[:min(glanceRows, len(ailing))])
	return out
}

func (g glance) rows(of []*sessions.ServiceView) []api.GlanceService {
	out := []api.GlanceService{}
	for _, v := range of {
		f := g.figures[v.ID]
		out = append(out, api.GlanceService{
			ID: v.ID, Name: v.Name, Project: v.Project, ModelName: v.ModelName, Status: string(v.Status), Reason: v.Sentence, LastError: v.LastError, Failures: v.Failures,
			NextRetry: timePtr(v.RetryAt), HealthyRoutes: v.HealthyRoutes, Replicas: v.Replicas, InFlight: f.InFlight,
			RequestsPerSecond: f.Long.Rate, ErrorsPerSecond: f.Long.ErrorRate, TokensPerSecond: f.Long.Tokens,
		})
	}
	return out
}

// sessionsSeen is what is told of sessions, of which there may be thousands. They are looked through twice: what happened last
// is written down of the few alone that the first look found to be new enough.
type sessionsSeen struct {
	total    int
	states   map[string]int
	types    map[string]int
	moments  [glanceRows]int64 // of the newest, microseconds, the newest first
	happened happenings
}

func (s *sessionsSeen) add(v *sessions.Session) {
	if s.states == nil {
		s.states, s.types = map[string]int{}, map[string]int{}
	}
	if v.Alive() {
		s.total++
		s.states[string(v.Status)]++
		s.types[string(v.Type)]++
	}
	made, ended := momentsOf(v)
	s.note(made)
	s.note(ended)
}

// momentsOf are the moments of a session that are told: zero where there is none.
func momentsOf(v *sessions.Session) (made, ended time.Time) {
	switch {
	case v.Type != sessions.TypeInference:
		return v.CreatedAt, v.EndedAt
	case v.Result == sessions.ResultFailure:
		return made, v.EndedAt
	}
	return made, ended // replicas come and go; those that failed tell something
}

func (s *sessionsSeen) note(at time.Time) {
	n := at.UnixMicro()
	if at.IsZero() || n <= s.moments[glanceRows-1] {
		return
	}
	to := len(s.moments) - 1
	for ; to > 0 && s.moments[to-1] < n; to-- {
		s.moments[to] = s.moments[to-1]
	}
	s.moments[to] = n
}

// tell is the second look.
func (s *sessionsSeen) tell(v *sessions.Session) {
	made, ended := momentsOf(v)
	wants := func(at time.Time) bool { return !at.IsZero() && at.UnixMicro() >= s.moments[glanceRows-1] }
	if wants(made) {
		s.happened.add(api.Happening{At: made, Kind: api.SessionCreated, ID: v.ID, Name: v.Name, Project: v.Project, By: v.CreatedBy})
	}
	if wants(ended) {
		s.happened.add(api.Happening{At: ended, Kind: api.SessionEnded, ID: v.ID, Name: v.Name, Project: v.Project, Result: string(v.Result), Note: v.Reason})
	}
}

func (g glance) ofSessions() api.GlanceSessions {
	out := api.GlanceSessions{
		Total: g.sessions.total, States: g.sessions.states, Types: g.sessions.types, WaitingTotal: len(g.waiting), Waiting: g.waiting[:min(glanceRows, len(g.waiting))],
	}
	if out.States == nil {
		out.States, out.Types = map[string]int{}, map[string]int{}
	}
	if out.Waiting == nil {
		out.Waiting = []api.Waiting{}
	}
	return out
}

// ofInstalls are those that somebody may want to look at: the newest of each model, unless it went well or is forgotten.
func (g glance) ofInstalls() []api.GlanceInstall {
	out, seen := []api.GlanceInstall{}, map[string]bool{}
	for _, v := range g.installs { // newest first
		of := v.Project + "\x00" + v.Model
		if seen[of] || len(out) == glanceRows {
			continue
		}
		seen[of] = true
		if v.Status == install.Done || v.Status == install.Cancelled || v.Status.Ended() && g.now.Sub(v.EndedAt) > glanceRecent {
			continue
		}
		out = append(out, api.GlanceInstall{
			ID: v.ID, Model: v.Model, Project: v.Project, Kind: string(v.Wish.Kind), Source: v.Wish.Source, Status: string(v.Status), Step: string(v.Step()),
			Error: v.Error, Hint: v.Hint, CreatedAt: v.CreatedAt.UTC(),
		})
	}
	return out
}

func (g glance) expiring() []api.GlanceToken {
	out := []api.GlanceToken{}
	for _, t := range g.tokens {
		if !t.RevokedAt.IsZero() || t.ExpiresAt.After(g.now.Add(glanceRecent)) || t.ExpiresAt.Before(g.now.Add(-glanceRecent)) {
			continue
		}
		out = append(out, api.GlanceToken{ID: t.ID, Name: t.Name, Project: t.Project, Service: t.ServiceID, ExpiresAt: t.ExpiresAt.UTC()})
	}
	slices.SortFunc(out, func(a, b api.GlanceToken) int {
		return cmp.Or(a.ExpiresAt.Compare(b.ExpiresAt), cmp.Compare(a.ID, b.ID))
	})
	out = out[:min(glanceRows, len(out))]
	if len(out) == 0 {
		return out
	}
	names := make(map[string]string, len(g.services))
	for i := range g.services {
		names[g.services[i].ID] = g.services[i].Name
	}
	for i := range out {
		out[i].Service = names[out[i].Service] // "" where it is gone
	}
	return out
}

// happenings are the newest of what is added, newest first.
type happenings struct{ rows []api.Happening }

// wants reports whether what happened then is new enough.
func (h *happenings) wants(at time.Time) bool {
	return !at.IsZero() && (len(h.rows) < glanceRows || !at.Before(h.rows[glanceRows-1].At))
}

func (h *happenings) add(one api.Happening) {
	if !h.wants(one.At) {
		return
	}
	one.At = one.At.UTC()
	at, _ := slices.BinarySearchFunc(h.rows, &one, func(a api.Happening, b *api.Happening) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(a.ID, b.ID), -1) // behind those that are alike
	})
	if len(h.rows) == glanceRows {
		if at == glanceRows {
			return
		}
		h.rows = h.rows[:glanceRows-1]
	}
	h.rows = slices.Insert(h.rows, at, one)
}

// happened is what the rows of now still tell of the past.
func (g glance) happened() []api.Happening {
	out := happenings{rows: []api.Happening{}}
	for i := range g.services {
		v := &g.services[i]
		out.add(api.Happening{At: v.CreatedAt, Kind: api.ServiceCreated, ID: v.ID, Name: v.Name, Project: v.Project, By: v.CreatedBy})
	}
	for _, h := range g.sessions.happened.rows {
		out.add(h)
	}
	for _, v := range g.installs {
		out.add(api.Happening{At: v.CreatedAt, Kind: api.InstallBegun, ID: v.ID, Name: v.Model, Project: v.Project, By: v.CreatedBy})
		kind := map[install.Status]string{install.Done: api.InstallSucceeded, install.Failed: api.InstallFailed, install.Cancelled: api.InstallCancelled}[v.Status]
		if kind != "" {
			out.add(api.Happening{At: v.EndedAt, Kind: kind, ID: v.ID, Name: v.Model, Project: v.Project, Note: v.Error})
		}
	}
	return out.rows
}
