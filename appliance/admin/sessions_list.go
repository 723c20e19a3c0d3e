package admin

import (
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// sessionFilter reads which sessions a request is about.
func (s *server) sessionFilter(p *params) (sessions.SessionFilter, error) {
	f := sessions.SessionFilter{Live: !p.flag("all"), Owner: p.text("owner"), Search: p.text("search"), Array: p.text("array"), NoSubs: !p.flag("all") || p.text("array") != ""}
	if len(f.Search) > 256 && p.err == nil {
		p.err = badField("?search", "", "%d bytes: at most 256", len(f.Search))
	}
	if p.err != nil {
		return f, p.err
	}
	if ref := p.text("service"); ref != "" {
		f.Service = ref
		// A service that is gone may still have sessions, under its id.
		if v, err := s.Services.Service(p.project(), ref); err == nil {
			f.Service = v.ID
		}
	}
	for _, word := range p.values["status"] {
		if word != "" {
			f.Status, f.Live = append(f.Status, sessions.Status(strings.ToUpper(word))), false
		}
	}
	for _, word := range p.values["type"] {
		if word != "" {
			f.Types = append(f.Types, sessions.Type(word))
		}
	}
	return f, nil
}

func (s *server) listSessions(c *gin.Context) error {
	p := query(c, "type...", "status...", "service", "owner", "search", "array", "order", "offset", "all", "limit", "cursor")
	f, err := s.sessionFilter(p)
	if err != nil {
		return err
	}
	limit, offset := p.number("limit", api.DefaultLimit, 1, api.MaxLimit), p.number("offset", 0, 0, maxOffset)
	order := p.text("order")
	switch {
	case p.err != nil:
		return p.err
	case order != "" && order != "oldest" && order != "newest":
		return badField("?order", "oldest or newest", "%q is no order", order)
	case order == "newest" && p.text("cursor") != "":
		return badField("?cursor", "with order=newest there is ?offset", "there is none where the newest come first")
	case order != "newest" && p.text("offset") != "":
		return badField("?offset", "with order=newest there is one; else take the \"next\" of an answer as ?cursor", "there is none where the oldest come first")
	}
	if order == "newest" {
		part, total := s.Sessions.NewestSessions(p.project(), f, offset, limit)
		return respond(c, 200, api.SessionPage{Items: s.toldOf(p, part), Total: total})
	}
	all := s.Sessions.Sessions(p.project(), f)
	out := api.SessionPage{Items: []api.Session{}, Total: len(all)}
	key := func(v sessions.Session) string { return stamp(v.CreatedAt) + v.ID }
	all, out.Next, err = pageOf(p, all, key)
	if err != nil {
		return err
	}
	out.Items = s.toldOf(p, all)
	return respond(c, 200, out)
}

// toldOf says sessions to a client.
func (s *server) toldOf(p *params, all []sessions.Session) []api.Session {
	var names map[string]string
	if slices.ContainsFunc(all, func(v sessions.Session) bool { return v.ServiceID != "" }) {
		names = s.serviceNames(p.project())
	}
	held := claims(s.boxes())
	items := make([]api.Session, 0, len(all))
	for _, v := range all {
		items = append(items, s.withIdle(session(v, names, held), v))
	}
	return items
}
