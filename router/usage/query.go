package usage

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Dimension is what sums may be told apart by.
type Dimension string

// The dimensions. Those of time begin in the query's Zone; an hour counts in the day in which it begins.
const (
	ByToken   Dimension = "token"
	ByUser    Dimension = "user" // whose the token is
	ByProject Dimension = "project"
	ByService Dimension = "service" // by project and name: one that was made again under its name is the same
	ByModel   Dimension = "model"
	ByStatus  Dimension = "status" // class of how requests ended
	ByHour    Dimension = "hour"
	ByDay     Dimension = "day"
	ByMonth   Dimension = "month"
)

// Dimensions returns all that there are.
func Dimensions() []Dimension {
	return []Dimension{ByToken, ByProject, ByService, ByModel, ByUser, ByStatus, ByHour, ByDay, ByMonth}
}

// OfTime reports whether d is a length of time.
func (d Dimension) OfTime() bool { return d == ByHour || d == ByDay || d == ByMonth }

// Query chooses what is summed. Zero fields choose all.
type Query struct {
	From, To time.Time   // hours that begin in [From, To)
	By       []Dimension // each once, at most one of time
	Zone     *time.Location

	Project string
	Tokens  []string // ids
	Service string   // its name or its id
	Model   string

	Users  map[string]string // whose each token is, by its id: of ByUser
	Prices *Prices           // nil: nothing is charged
}

// Has reports whether the query tells sums apart by d.
func (q *Query) Has(d Dimension) bool { return slices.Contains(q.By, d) }

// Time returns the query's dimension of time, "" where it has none.
func (q *Query) Time() Dimension {
	for _, d := range q.By {
		if d.OfTime() {
			return d
		}
	}
	return ""
}

// Whole widens the query to whole hours, which are all that is kept: From to the beginning of its hour, To to the end.
func (q Query) Whole() Query {
	q.From = q.From.Truncate(time.Hour)
	if to := q.To.Truncate(time.Hour); to.Before(q.To) {
		q.To = to.Add(time.Hour)
	}
	return q
}

// Group is what was used under one value of each dimension that was asked for; its other fields are empty.
type Group struct {
	Start   time.Time // of the hour, day or month
	Token   string    // id
	User    string    // "": without a token, or nobody knows whose it was
	Project string
	Service string
	Model   string
	Status  string // aborted, 2xx, ..., cut
	Failed  int64  // requests that ended in 4xx, 5xx or cut off
	Aborted int64  // requests whose client went

	Cost     float64 // of what has a price
	Unpriced int64   // tokens that have none
	Sums
}

// Report is what Query asked for: by time, in a time the largest users first.
type Report struct {
	From, To time.Time // whole hours
	Groups   []Group
	Total    Group
}

// Report sums up what the store has, which is first brought up to date. Requests that have not ended are not in it.
func (m *Meter) Report(ctx context.Context, q Query) (Report, error) {
	if err := m.Flush(ctx); err != nil {
		return Report{}, err
	}
	q = q.Whole()
	rows, err := m.store.Usage(ctx, q)
	if err != nil {
		return Report{}, err
	}
	out := Fold(rows, &q)
	out.From, out.To = q.From, q.To
	return out, nil
}

// Fold sums rows up to the query's groups.
func Fold(rows []Row, q *Query) Report {
	type key struct {
		start                                        int64
		token, user, project, service, model, status string
	}
	var out Report
	index := map[key]int{}
	unit := q.Time()
	for i := range rows {
		r := &rows[i]
		g := r.group(q, unit)
		k := key{g.Start.Unix(), g.Token, g.User, g.Project, g.Service, g.Model, g.Status}
		at, known := index[k]
		if !known {
			at = len(out.Groups)
			index[k] = at
			out.Groups = append(out.Groups, g)
		}
		cost, known := q.Prices.Tokens(r.Model, r.Service, r.Prompt, r.Completion)
		for _, g := range []*Group{&out.Groups[at], &out.Total} {
			g.row(r)
			if g.Cost += cost; !known && q.Prices != nil {
				g.Unpriced += r.Tokens()
			}
		}
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Tokens(), a.Tokens()), cmp.Compare(b.Requests, a.Requests),
			strings.Compare(a.Project, b.Project), strings.Compare(a.Service, b.Service), strings.Compare(a.Model, b.Model),
			strings.Compare(a.Token, b.Token), strings.Compare(a.User, b.User), strings.Compare(a.Status, b.Status))
	})
	return out
}

// group is the empty group that r belongs to.
func (r *Row) group(q *Query, unit Dimension) Group {
	var g Group
	if unit != "" {
		g.Start = begin(r.Hour, unit, q.Zone)
	}
	if q.Has(ByToken) {
		g.Token = r.Token
	}
	if q.Has(ByUser) {
		g.User = q.Users[r.Token]
	}
	if q.Has(ByProject) || q.Has(ByService) {
		g.Project = r.Project
	}
	if q.Has(ByService) {
		g.Service = r.Service
	}
	if q.Has(ByModel) {
		g.Model = r.Model
	}
	if q.Has(ByStatus) {
		g.Status = r.Class.String()
	}
	return g
}

func (g *Group) row(r *Row) {
	g.Add(&r.Sums)
	switch {
	case r.Class == ClassAborted:
		g.Aborted += r.Requests
	case r.Class.Failed():
		g.Failed += r.Requests
	}
}

// Tokens is prompt and completion together.
func (u *Sums) Tokens() int64 { return u.Prompt + u.Completion }

// begin is the beginning of the hour, day or month that at lies in; nil is UTC.
func begin(at time.Time, unit Dimension, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	at = at.In(zone)
	switch unit {
	case ByDay:
		return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone)
	case ByMonth:
		return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, zone)
	}
	return at
}

// Spent returns the tokens, of prompts and answers, that were used since the hour of from began: by the id of what they
// were charged to, and by project. Budgets are taken up again with it after a restart.
func Spent(ctx context.Context, s Store, from time.Time) (tokens, projects map[string]int64, err error) {
	q := Query{From: from, By: []Dimension{ByToken, ByProject}}.Whole()
	rows, err := s.Usage(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	tokens, projects = map[string]int64{}, map[string]int64{}
	for i := range rows {
		if id := rows[i].Token; id != "" && id != Other {
			tokens[id] += rows[i].Tokens()
		}
		projects[rows[i].Project] += rows[i].Tokens()
	}
	return tokens, projects, nil
}

// Constant returns by how much the query's Zone is ahead of UTC, and whether that is so for all that the query chooses:
// then days can be told apart by arithmetic.
func (q *Query) Constant() (time.Duration, bool) {
	if q.Zone == nil || q.Zone == time.UTC {
		return 0, true
	}
	from := q.From.In(q.Zone)
	_, seconds := from.Zone()
	_, end := from.ZoneBounds()
	return time.Duration(seconds) * time.Second, end.IsZero() || !q.To.IsZero() && !end.Before(q.To)
}
