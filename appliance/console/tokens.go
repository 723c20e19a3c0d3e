package console

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

func tokensPages() []Page {
	return []Page{{Pattern: "/tokens", Name: "tokens/list", Section: "tokens", Data: tokensData, Personal: true}}
}

func tokensActions() []Action {
	return []Action{
		{Pattern: "/tokens", Do: createToken},
		{Pattern: "/tokens/{id}/revoke", Do: revokeToken},
		{Pattern: "/keys", Do: createKey},
		{Pattern: "/keys/{id}/revoke", Do: revokeKey},
	}
}

// tokenRow is a token with what it stands for.
type tokenRow struct {
	api.Token
	Service string // its name; "" all of the project
	State   string // good, expiring, expired, revoked, spent
	Spent   float64
	Tone    string
}

// tokenList is what the page of tokens and keys shows.
type tokenList struct {
	Tokens   []tokenRow
	Ended    int // that are left out: they are no good any more
	All      bool
	Services []string // names, to choose from
	Keys     []api.Key
	Others   bool // keys of others are among them
}

func tokensData(v *View) (any, error) {
	out := tokenList{All: v.Parameter("all") == "true"}
	var wait sync.WaitGroup
	var tokens []api.Token
	var services api.ServiceOverview
	var failed [3]error
	if v.May("member") { // others may not see them
		wait.Go(func() { tokens, failed[0] = v.API.Tokens(v.Context(), "") })
		wait.Go(func() {
			services, failed[1] = v.API.ServiceOverview(v.Context(), api.ServiceOverviewFilter{Names: true, Limit: 1})
		})
	}
	wait.Go(func() { out.Keys, failed[2] = v.API.Keys(v.Context()) })
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	names := services.Names
	out.Services = slices.Sorted(maps.Values(names))
	now := v.console.Now()
	for _, t := range slices.Backward(tokens) {
		row := tokenRow{Token: t, Service: names[t.ServiceID], State: tokenState(&t, now)}
		if t.ServiceID != "" && row.Service == "" {
			row.Service = t.ServiceID // it is gone
		}
		if l, s := t.Limits, t.Standing; l != nil && s != nil && l.TokenBudget > 0 {
			row.Spent = float64(s.Spent) / float64(l.TokenBudget)
		}
		if row.State == "revoked" || row.State == "expired" {
			if out.Ended++; !out.All {
				continue
			}
		}
		out.Tokens = append(out.Tokens, row)
	}
	slices.SortStableFunc(out.Keys, func(a, b api.Key) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for i := range out.Keys {
		out.Others = out.Others || out.Keys[i].Owner != v.Me.Name
	}
	return out, nil
}

// soon is how long before its end a token is said to end.
const soon = 14 * 24 * time.Hour

func tokenState(t *api.Token, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case !t.ExpiresAt.After(now):
		return "expired"
	case t.Limits != nil && t.Standing != nil && t.Limits.TokenBudget > 0 && t.Standing.Spent >= t.Limits.TokenBudget:
		return "spent"
	case t.ExpiresAt.Before(now.Add(soon)):
		return "expiring"
	}
	return "good"
}

// wholeField reads a whole number of a form; "" is none.
func wholeField(v *View, field string) (int64, error) {
	text := strings.TrimSpace(v.Field(field))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fieldProblem(field, v.Say("tokens.whole", text))
	}
	return n, nil
}

func createToken(v *View) (Outcome, error) {
	in := api.TokenCreate{Name: strings.TrimSpace(v.Field("name")), Duration: strings.TrimSpace(v.Field("duration"))}
	limits := api.TokenLimits{}
	for field, to := range map[string]*int64{
		"limits.requests_per_minute": &limits.RequestsPerMinute, "limits.tokens_per_minute": &limits.TokensPerMinute,
		"limits.concurrent_requests": &limits.ConcurrentRequests, "limits.token_budget": &limits.TokenBudget,
	} {
		n, err := wholeField(v, field)
		if err != nil {
			return Outcome{}, err
		}
		*to = n
	}
	if limits.TokenBudget != 0 {
		limits.BudgetWindow = v.Field("limits.budget_window")
	}
	if limits != (api.TokenLimits{}) {
		in.Limits = &limits
	}
	issued, err := v.API.IssueToken(v.Context(), v.Field("service"), in)
	return Outcome{Fragment: "fragment-secret", Data: secretOnce{ID: "token-secret", Name: issued.Token.Name, Secret: issued.Secret, Until: &issued.Token.ExpiresAt}}, err
}

// secretOnce is a secret that was just made: it is shown this once.
type secretOnce struct {
	ID, Name, Secret string
	Until            *time.Time
}

func revokeToken(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("tokens.revoked")}, v.API.RevokeToken(v.Context(), "", v.PathValue("id"))
}

func createKey(v *View) (Outcome, error) {
	in := api.KeyCreate{Name: strings.TrimSpace(v.Field("name")), Scope: v.Field("scope"), Project: v.Field("project"), Owner: strings.TrimSpace(v.Field("owner"))}
	if word := v.Field("expires"); word != "" {
		days, err := strconv.Atoi(word)
		if err != nil || days < 1 || days > 3650 {
			return Outcome{}, fieldProblem("expires", v.Say("tokens.whole", word))
		}
		in.ExpiresAt = new(v.console.Now().Add(time.Duration(days) * 24 * time.Hour).UTC())
	}
	issued, err := v.API.CreateKey(v.Context(), in)
	return Outcome{Fragment: "fragment-secret", Data: secretOnce{ID: "key-secret", Name: issued.Key.Name, Secret: issued.Secret, Until: issued.Key.ExpiresAt}}, err
}

func revokeKey(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("tokens.revoked")}, v.API.RevokeKey(v.Context(), v.PathValue("id"))
}

// begun is an answer that is written where nothing went wrong before its first byte: then its headers are set.
type begun struct {
	http.ResponseWriter
	header func(http.Header)
	any    bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.any = true
		b.header(b.Header())
	}
	return b.ResponseWriter.Write(p)
}

// file answers with a file to be saved. What breaks off in the middle is broken off, for a clean end would look whole.
func file(w http.ResponseWriter, name, media string, write func(w *begun) error) error {
	b := &begun{ResponseWriter: w, header: func(h http.Header) {
		h.Set("Content-Type", media)
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}}
	err := write(b)
	if err != nil && b.any {
		panic(http.ErrAbortHandler)
	}
	if err == nil && !b.any {
		_, err = b.Write(nil)
	}
	return err
}
