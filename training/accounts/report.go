package accounts

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
	ByUser    Dimension = "user"
	ByProject Dimension = "project"
	BySession Dimension = "session"
	ByType    Dimension = "type"
	ByHour    Dimension = "hour"
	ByDay     Dimension = "day"
	ByMonth   Dimension = "month"
)

// Dimensions returns all that there are.
func Dimensions() []Dimension {
	return []Dimension{ByUser, ByProject, BySession, ByType, ByHour, ByDay, ByMonth}
}

// OfTime reports whether d is a length of time.
func (d Dimension) OfTime() bool { return d == ByHour || d == ByDay || d == ByMonth }

// Query chooses what is summed. Zero fields choose all.
type Query struct {
	From, To time.Time   // hours that begin in [From, To)
	By       []Dimension // each once, at most one of time
	Zone     *time.Location

	Project string
	User    string
	Session string // its id, or a name that it had
	Type    string

	Uncounted bool // how many sessions there were in a time need not be known: sums over time come from fewer rows
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

// Constant returns by how much the query's Zone is ahead of UTC, and whether that is so for all that the query chooses: then days can
// be told apart by arithmetic.
func (q *Query) Constant() (time.Duration, bool) {
	if q.Zone == nil || q.Zone == time.UTC {
		return 0, true
	}
	from := q.From.In(q.Zone)
	_, seconds := from.Zone()
	_, end := from.ZoneBounds()
	return time.Duration(seconds) * time.Second, end.IsZero() || !q.To.IsZero() && !end.Before(q.To)
}

// Group is what was held and used under one value of each dimension that was asked for; its other fields are empty.
type Group struct {
	Start    time.Time // of the hour, day or month
	User     string
	Project  string
	Session  string // id
	Name     string // of that session, the last that it had
	Type     string
	Sessions int // how many there were; 0 in a query that is Uncounted
	Sums
}

// Report is what Query asked for: by time, in a time the largest first.
type Report struct {
	From, To time.Time // whole hours
	Groups   []Group
	Total    Group
}

// Report sums up what was held and used up to now.
func (m *Meter) Report(ctx context.Context, q Query) (Report, error) {
	if err := m.count(ctx); err != nil {
		return Report{}, err
	}
	if err := m.Flush(ctx); err != nil {
		return Report{}, err
	}
	q.From = q.From.Truncate(time.Hour)
	if to := q.To.Truncate(time.Hour); to.Before(q.To) {
		q.To = to.Add(time.Hour)
	}
	rows, err := m.store.SessionUsage(ctx, q)
	if err != nil {
		return Report{}, err
	}
	out := Fold(rows, &q)
	out.From, out.To = q.From, q.To
	return out, nil
}

// Fold sums rows up to the query's groups.
func Fold(rows []Sum, q *Query) Report {
	type key struct {
		start                        int64
		user, project, session, kind string
	}
	var out Report
	index, seen, all := map[key]int{}, map[key]map[string]bool{}, map[string]bool{}
	newest := map[key]time.Time{}
	unit := q.Time()
	for i := range rows {
		r := &rows[i]
		g := r.group(q, unit)
		k := key{g.Start.Unix(), g.User, g.Project, g.Session, g.Type}
		at, known := index[k]
		if !known {
			at = len(out.Groups)
			index[k], seen[k] = at, map[string]bool{}
			out.Groups = append(out.Groups, g)
		}
		of := &out.Groups[at]
		if g.Session != "" && !r.Hour.Before(newest[k]) {
			of.Name, newest[k] = r.Name, r.Hour
		}
		of.Add(r.Sums)
		out.Total.Add(r.Sums)
		if r.Session == "" { // several: no session is in two of them
			of.Sessions += r.Sessions
			out.Total.Sessions += r.Sessions
			continue
		}
		if !seen[k][r.Session] {
			seen[k][r.Session] = true
			of.Sessions++
		}
		if !all[r.Session] {
			all[r.Session] = true
			out.Total.Sessions++
		}
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Shares, a.Shares), cmp.Compare(b.Cores, a.Cores), cmp.Compare(b.CPU, a.CPU),
			cmp.Compare(b.Held, a.Held), strings.Compare(a.Project, b.Project), strings.Compare(a.User, b.User), strings.Compare(a.Session, b.Session),
			strings.Compare(a.Type, b.Type))
	})
	return out
}

// group is the empty group that r belongs to.
func (r *Row) group(q *Query, unit Dimension) Group {
	var g Group
	if unit != "" {
		g.Start = begin(r.Hour, unit, q.Zone)
	}
	if q.Has(ByUser) {
		g.User = r.User
	}
	if q.Has(ByProject) {
		g.Project = r.Project
	}
	if q.Has(BySession) {
		g.Session, g.Name, g.User, g.Project, g.Type = r.Session, r.Name, r.User, r.Project, r.Type
	}
	if q.Has(ByType) {
		g.Type = r.Type
	}
	return g
}

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
