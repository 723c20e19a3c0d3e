package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/sessions"
)

// Limits are what projects and people may have. *people.LimitBook is one.
type Limits interface {
	Of(kind people.LimitKind, name string) people.Effective
	Row(kind people.LimitKind, name string) (people.LimitRow, bool)
	Set(ctx context.Context, kind people.LimitKind, name string, limits people.Limits, by string) (people.LimitRow, error)
	Clear(ctx context.Context, kind people.LimitKind, name string) error
	Forget(ctx context.Context, kind people.LimitKind, name string) error // of one that was removed
}

// LimitUse says what of their limits projects and people use now.
type LimitUse interface {
	Used(ctx context.Context, kind people.LimitKind, name string) (LimitUsed, error)
}

// LimitUsed is what is used now.
type LimitUsed struct {
	Quota   sessions.Quota
	Storage int64
	Usage   quota.State
}

func (s *server) getProjectLimits(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	return s.respondLimits(c, people.LimitProject, p.Name)
}

func (s *server) setProjectLimits(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	return s.setLimits(c, people.LimitProject, p.Name)
}

func (s *server) clearProjectLimits(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	return s.clearLimits(c, people.LimitProject, p.Name)
}

// limitedUser is the name of the user that the path names.
func (s *server) limitedUser(c *gin.Context) (string, error) {
	if p := query(c); p.err != nil {
		return "", p.err
	}
	u, err := s.Users.User(c.Param("name"))
	return u.Name, err
}

func (s *server) getUserLimits(c *gin.Context) error {
	name, err := s.limitedUser(c)
	if err != nil {
		return err
	}
	return s.respondLimits(c, people.LimitUser, name)
}

func (s *server) setUserLimits(c *gin.Context) error {
	name, err := s.limitedUser(c)
	if err != nil {
		return err
	}
	return s.setLimits(c, people.LimitUser, name)
}

func (s *server) clearUserLimits(c *gin.Context) error {
	name, err := s.limitedUser(c)
	if err != nil {
		return err
	}
	return s.clearLimits(c, people.LimitUser, name)
}

func (s *server) getMyLimits(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	return s.respondLimits(c, people.LimitUser, actorOf(c.Request.Context()).Name)
}

func (s *server) setLimits(c *gin.Context, kind people.LimitKind, name string) error {
	var in api.LimitsSet
	if err := decode(c, &in); err != nil {
		return err
	}
	limits, err := limitsIn(in.Set)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if _, err := s.Limits.Set(ctx, kind, name, limits, actorOf(ctx).Name); err != nil {
		return err
	}
	return s.respondLimits(c, kind, name)
}

func (s *server) clearLimits(c *gin.Context, kind people.LimitKind, name string) error {
	if err := s.Limits.Clear(c.Request.Context(), kind, name); err != nil {
		return err
	}
	return noContent(c)
}

// usageNames are the words of limits of requests.
func usageNames() []string {
	return []string{"tokens_per_minute", "requests_per_minute", "concurrent_requests", "token_budget", "budget_window"}
}

// limitsIn reads bounds as people write them.
func limitsIn(set map[string]string) (people.Limits, error) {
	l := people.Limits{Slots: map[string]string{}, Usage: map[string]string{}}
	counts := map[string]*int{people.BoundSessions: &l.Sessions, people.BoundServices: &l.Services, people.BoundRoutes: &l.Routes}
	usage := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		word := strings.TrimSpace(set[name])
		lifted := word == people.Unbounded
		switch {
		case word == "":
			return l, badField("set."+name, "leave it out to leave it to the settings; none lifts what they say", "it says nothing")
		case counts[name] != nil && lifted:
			*counts[name] = people.UnboundedMost
		case counts[name] != nil:
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 || n > 1_000_000 {
				return l, badField("set."+name, "a number from 1; none lifts the bound", "%.40q is no number of %s", word, name)
			}
			*counts[name] = n
		case name == people.BoundStorage && lifted:
			l.Storage = people.UnboundedMost
		case name == people.BoundStorage:
			n, err := accel.ParseSize(word)
			if err != nil || n < 1 {
				return l, badField("set."+name, "such as 200g or 1t; none lifts the bound", "%.40q is no size", word)
			}
			l.Storage = n
		case slices.Contains(usageNames(), name):
			if l.Usage[name] = word; !lifted {
				usage[name] = word
			}
		default:
			if l.Slots[name] = word; lifted {
				word = "1" // what is no resource cannot be lifted either
			}
			if _, err := sessions.ParseQuota(map[string]string{name: word}); err != nil {
				return l, badField("set."+name, "a resource with its amount (cpu 8, mem 64g, cuda.device 2), or sessions, services, routes, storage, "+strings.Join(usageNames(), ", "), "%s", err.Error())
			}
		}
	}
	if _, err := quota.Parse(usage); err != nil {
		if e, is := errors.AsType[*quota.FieldError](err); is {
			return l, badField("set."+e.Field, e.Hint(), "%s", e.Text)
		}
		return l, err
	}
	return l, nil
}

// wordsOf is limitsIn the other way round.
func wordsOf(l people.Limits) map[string]string {
	out := map[string]string{}
	maps.Copy(out, l.Slots)
	maps.Copy(out, l.Usage)
	for name, n := range map[string]int64{
		people.BoundSessions: int64(l.Sessions), people.BoundServices: int64(l.Services), people.BoundRoutes: int64(l.Routes), people.BoundStorage: l.Storage,
	} {
		switch {
		case n < 0:
			out[name] = people.Unbounded
		case n > 0:
			out[name] = strconv.FormatInt(n, 10)
		}
	}
	return out
}

func (s *server) respondLimits(c *gin.Context, kind people.LimitKind, name string) error {
	used, err := s.LimitUse.Used(c.Request.Context(), kind, name)
	if err != nil {
		return err
	}
	row, _ := s.Limits.Row(kind, name)
	return respond(c, http.StatusOK, api.Limits{
		Kind: string(kind), Name: name, Bounds: boundsOf(s.Limits.Of(kind, name), used), Set: wordsOf(row.Limits),
		ChangedBy: row.ChangedBy, ChangedAt: timePtr(row.ChangedAt),
	})
}

// boundsOf shows each bound with what is used of it: the resources, how many there are, storage, and what limits requests.
func boundsOf(e people.Effective, used LimitUsed) []api.LimitBound {
	var out []api.LimitBound
	add := func(name string, limit, has int64, format func(int64) string) {
		b := api.LimitBound{Name: name, Used: format(has), From: string(e.From[name])}
		if limit > 0 || limit == 0 && e.Slots[name] != "" {
			b.Limit = format(limit)
			b.Part = float64(has) / float64(max(limit, 1))
		}
		out = append(out, b)
	}
	bounded, _ := sessions.ParseQuota(e.Slots) // it was looked at when it was set
	slots := slices.Collect(maps.Keys(bounded.Slots))
	slots = append(slots, accel.SlotCPU, accel.SlotMem)
	slots = slices.AppendSeq(slots, maps.Keys(used.Quota.Slots))
	slices.SortFunc(slots, func(a, b accel.Slot) int { return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(a, b)) })
	for _, slot := range slices.Compact(slots) {
		has := used.Quota.Slots[slot]
		if _, is := bounded.Slots[slot]; is {
			has = bounded.HeldOf(slot, used.Quota.Slots)
		}
		add(string(slot), int64(bounded.Slots[slot]), int64(has), func(n int64) string { return accel.Format(slot, accel.Amount(n)) })
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	add(people.BoundSessions, int64(e.Sessions), int64(used.Quota.Sessions), count)
	add(people.BoundServices, int64(e.Services), int64(used.Quota.Services), count)
	add(people.BoundRoutes, int64(e.Routes), int64(used.Quota.Routes), count)
	add(people.BoundStorage, e.Storage, used.Storage, bytesize.Format)
	u, _ := quota.Parse(e.Usage)
	usage := func(name string, limit, has int64) {
		if limit > 0 || e.From[name] != "" {
			add(name, limit, has, count)
		}
	}
	usage("tokens_per_minute", u.TokensPerMinute, max(used.Usage.Tokens.Limit-used.Usage.Tokens.Remaining, 0))
	usage("requests_per_minute", u.RequestsPerMinute, max(used.Usage.Requests.Limit-used.Usage.Requests.Remaining, 0))
	usage("concurrent_requests", u.Concurrent, used.Usage.InFlight)
	usage("token_budget", u.Budget, used.Usage.Spent)
	return out
}

// rankOf puts cores and memory before accelerators.
func rankOf(slot accel.Slot) int {
	return cmp.Or(slices.Index([]accel.Slot{accel.SlotCPU, accel.SlotMem}, slot)+1, 3)
}
