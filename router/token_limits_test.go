package router

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// spentBook is a Spent of fixed rows, by the start of the window that is asked for.
type spentBook struct {
	tokens, projects map[string]int64
	asked            []time.Time
	fail             error
}

func (b *spentBook) spent(_ context.Context, from time.Time) (tokens, projects map[string]int64, err error) {
	b.asked = append(b.asked, from)
	return b.tokens, b.projects, b.fail
}

func TestTokenLimits(t *testing.T) {
	store := &memoryStore{}
	tokens, c := newTestTokens(t, store)
	limits := quota.Limits{RequestsPerMinute: 2, Budget: 1000, Window: quota.Day}
	tok, _ := issue(t, tokens, IssueRequest{Name: "ci", Project: "p", Duration: "30d", Limits: limits})
	free, _ := issue(t, tokens, IssueRequest{Name: "free", Project: "p"})
	if tok.Limits != limits || store.rows[tok.ID].Limits != limits {
		t.Errorf("limits %+v, stored %+v", tok.Limits, store.rows[tok.ID].Limits)
	}
	if !tokens.Payers(&free, "p").None() || !tokens.Payers(nil, "p").None() || !tokens.Payers(&Token{ID: "tok-gone", Limits: limits}, "p").None() {
		t.Error("who has no limits pays")
	}
	payers := tokens.Payers(&tok, "p")
	if payers[0] == nil || payers[1] != nil || tokens.Payers(&tok, "p") != payers {
		t.Fatal("not the token's own subject")
	}
	for range 2 {
		g, _, ok := payers.Take(c.at, quota.Ask{Bytes: 4, Answer: 8})
		if !ok {
			t.Fatal("refused")
		}
		g.Settle(c.at, 100)
	}
	_, r, ok := payers.Take(c.at, quota.Ask{})
	if ok || r.Subject != `token "ci"` || r.Kind != quota.Requests {
		t.Errorf("%v %+v", ok, r)
	}
	if s := tokens.Standing(tok.ID); s.Requests.Remaining != 0 || s.Spent != 200 {
		t.Errorf("standing %+v", s)
	}
	if s := tokens.Standing("tok-gone"); s != (quota.State{}) {
		t.Errorf("standing of nobody %+v", s)
	}
	// What it has used is not forgotten with its end.
	if err := tokens.Revoke(t.Context(), tok.ID); err != nil {
		t.Fatal(err)
	}
	if s := tokens.Standing(tok.ID); s.Spent != 200 {
		t.Errorf("revoked: %+v", s)
	}
	for _, l := range []quota.Limits{{Concurrent: -1}, {Window: "year"}, {Window: quota.Day}} {
		_, _, err := tokens.Issue(t.Context(), IssueRequest{Project: "p", Duration: "1h", Limits: l})
		if e, ok := errors.AsType[*inputError](err); !ok || !errors.Is(err, ErrInvalid) || e.Hint() == "" {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// A restart goes on with what was spent in each budget's window, and asks for no window twice.
func TestBudgetsOverARestart(t *testing.T) {
	store := &memoryStore{}
	tokens, c := newTestTokens(t, store)
	day := quota.Limits{Budget: 1000, Window: quota.Day}
	one, _ := issue(t, tokens, IssueRequest{Name: "one", Project: "p", Duration: "30d", Limits: day})
	two, _ := issue(t, tokens, IssueRequest{Name: "two", Project: "p", Duration: "30d", Limits: day})
	ever, _ := issue(t, tokens, IssueRequest{Name: "ever", Project: "p", Duration: "30d", Limits: quota.Limits{Budget: 50}})
	issue(t, tokens, IssueRequest{Name: "over", Project: "p", Duration: "1s", Limits: quota.Limits{Budget: 50, Window: quota.Hour}})
	c.at = c.at.Add(36 * time.Hour)

	again, err := NewTokens(t.Context(), store, c.now)
	if err != nil {
		t.Fatal(err)
	}
	book := &spentBook{tokens: map[string]int64{one.ID: 400, ever.ID: 60}, projects: map[string]int64{"p": 460, "q": 7}}
	limits := map[string]quota.Limits{"p": {Budget: 5000, Window: quota.Month}, "free": {}, OtherProjects: {Budget: 10, Window: quota.Day}}
	if err := again.Limit(t.Context(), limits, book.spent); err != nil {
		t.Fatal(err)
	}
	if len(book.asked) != 3 {
		t.Errorf("asked for %v", book.asked)
	}
	for id, want := range map[string]int64{one.ID: 400, two.ID: 0, ever.ID: 60} {
		if s := again.Standing(id); s.Spent != want {
			t.Errorf("%s: %d spent, want %d", id, s.Spent, want)
		}
	}
	for name, want := range map[string]int64{"p": 460, "q": 7, "r": 0} {
		s := again.Project(name)
		if s.State(c.at).Spent != want || again.Project(name) != s {
			t.Errorf("project %s: %+v, want %d", name, s.State(c.at), want)
		}
	}
	if again.Project("free") != nil {
		t.Error("a project that is named without limits has some")
	}
	if _, r, ok := again.Payers(&one, "q").Take(c.at, quota.Ask{Bytes: 4, Answer: 8}); ok || r.Subject != `project "q"` {
		t.Errorf("%v %+v", ok, r)
	}
	if s := again.Project("q").State(c.at.Add(24 * time.Hour)); s.Spent != 0 {
		t.Errorf("a day later: %+v", s)
	}

	book.fail = errors.New("disk gone")
	if err := again.Limit(t.Context(), limits, book.spent); !errors.Is(err, book.fail) {
		t.Errorf("got %v", err)
	}
	err = again.Limit(t.Context(), map[string]quota.Limits{"p": {Concurrent: -1}}, book.spent)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `project "p"`) {
		t.Errorf("got %v", err)
	}
}

func TestOtherProjectsAllAtOnce(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	if err := tokens.Limit(t.Context(), map[string]quota.Limits{OtherProjects: {Concurrent: 100}}, (&spentBook{}).spent); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				if _, _, ok := tokens.Payers(nil, name).Take(c.at, quota.Ask{}); !ok {
					t.Error("refused")
				}
			}
		})
	}
	all.Wait()
	if n := tokens.Project("c").State(c.at).InFlight; n != 8 {
		t.Errorf("%d in flight, want 8: they are not one subject", n)
	}
}

// The secret may lie in a buffer that is used again.
func TestCheckOfBytes(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	tok, secret := issue(t, tokens, IssueRequest{ServiceID: "s"})
	buf := []byte(secret)
	for range 3 { // the first hashes, the others remember
		if e, err := checkAt(tokens, buf, c.at); err != nil || e.ID != tok.ID {
			t.Fatal(err)
		}
	}
	buf[len(buf)-1] ^= 1
	if _, err := checkAt(tokens, buf, c.at); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("got %v", err)
	}
	if _, err := checkAt(tokens, append(buf, 'a'), c.at); !errors.Is(err, ErrTokenMalformed) {
		t.Errorf("too long: %v", err)
	}
	if _, err := checkAt(tokens, []byte(secret), c.at.Add(time.Hour)); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("remembered, and expired: %v", err)
	}
	if err := tokens.Revoke(t.Context(), tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := checkAt(tokens, []byte(secret), c.at); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("remembered, and revoked: %v", err)
	}
}

// Tokens in use at once, each remembered: none is taken for another, and nothing near one for it.
func TestRememberedDigestsAreTheirOwn(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	type pair struct{ id, secret string }
	pairs := make([]pair, 300)
	for i := range pairs {
		tok, secret := issue(t, tokens, IssueRequest{ServiceID: "s"})
		pairs[i] = pair{tok.ID, secret}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				for i, p := range pairs {
					e, err := checkAt(tokens, p.secret, c.at)
					if err != nil || e.ID != p.id {
						t.Errorf("token %d: %v", i, err)
						return
					}
					wrong := []byte(p.secret)
					wrong[secretLen/2] ^= 3
					if _, err := checkAt(tokens, wrong, c.at); !errors.Is(err, ErrTokenUnknown) {
						t.Errorf("near token %d: %v", i, err)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestOverLimit(t *testing.T) {
	for kind, want := range map[quota.Kind]string{
		quota.Requests:   "requests rate_limit_exceeded requests_per_minute",
		quota.Tokens:     "tokens rate_limit_exceeded tokens_per_minute",
		quota.Concurrent: "requests rate_limit_exceeded concurrent_requests",
		quota.Budget:     "insufficient_quota insufficient_quota token_budget",
	} {
		f := overLimit(&quota.Refusal{Kind: kind, Subject: "t", Window: quota.Day, RetryAfter: 3 * time.Second})
		if got := f.Type + " " + f.Code + " " + f.reason; got != want || f.Status != 429 || f.RetryAfter != 3*time.Second || f.Message == "" {
			t.Errorf("%v: %s %+v", kind, got, f)
		}
	}
	// A budget that is never renewed is not asked of again.
	f := overLimit(&quota.Refusal{Kind: quota.Budget, Subject: "t", RetryAfter: time.Minute})
	if f.RetryAfter != 0 || !slices.Contains(f.headers(), header{"X-Should-Retry", "false"}) {
		t.Errorf("got %+v", f)
	}
}
