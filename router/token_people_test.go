package router

import (
	"testing"

	"github.com/palisade-run/palisade/router/quota"
)

func TestLimitsAgainWhileRequestsRun(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	one, _ := issue(t, tokens, IssueRequest{Name: "one", Project: "p", CreatedBy: "ada"})
	book := &spentBook{}
	limit := func(l quota.Limits) {
		t.Helper()
		if err := tokens.Limit(t.Context(), map[string]quota.Limits{"p": l}, book.spent); err != nil {
			t.Fatal(err)
		}
	}
	limit(quota.Limits{Concurrent: 2, TokensPerMinute: 1000})
	before := tokens.Payers(&one, "p")
	flying, _, ok := before.Take(c.at, quota.Ask{Bytes: 4, Answer: 400})
	if !ok {
		t.Fatal("refused")
	}
	limit(quota.Limits{Concurrent: 1, TokensPerMinute: 500})
	if after := tokens.Payers(&one, "p"); after != before {
		t.Error("another subject: counts are lost")
	}
	if _, r, ok := before.Take(c.at, quota.Ask{}); ok || r.Kind != quota.Concurrent {
		t.Errorf("lowered, and let in: %+v", r)
	}
	limit(quota.Limits{})
	if !tokens.Payers(&one, "p").None() {
		t.Error("lifted, and it pays")
	}
	if g, _, ok := before.Take(c.at, quota.Ask{Bytes: 4, Answer: 4000}); !ok { // a service that has the old subject still
		t.Error("lifted, and refused")
	} else {
		g.Settle(c.at, 10)
	}
	limit(quota.Limits{Concurrent: 1})
	if _, _, ok := tokens.Payers(&one, "p").Take(c.at, quota.Ask{}); ok {
		t.Error("what flies since before is forgotten")
	}
	flying.Settle(c.at, 100)
	if _, _, ok := tokens.Payers(&one, "p").Take(c.at, quota.Ask{}); !ok {
		t.Error("settled, and refused")
	}
}

func TestPeoplePayForTheirTokens(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	one, _ := issue(t, tokens, IssueRequest{Name: "one", Project: "p", CreatedBy: "ada"})
	book := &spentBook{tokens: map[string]int64{one.ID: 90}}
	if err := tokens.LimitPeople(t.Context(), map[string]quota.Limits{"ada": {Budget: 100}}, book.spent); err != nil {
		t.Fatal(err)
	}
	two, _ := issue(t, tokens, IssueRequest{Name: "two", Project: "q", CreatedBy: "ada"})
	bob, _ := issue(t, tokens, IssueRequest{Name: "bob", Project: "q", CreatedBy: "bob"})
	if !tokens.Payers(&bob, "q").None() {
		t.Error("bob pays")
	}
	g, _, ok := tokens.Payers(&one, "p").Take(c.at, quota.Ask{Bytes: 4, Answer: 5})
	if !ok {
		t.Fatal("refused")
	}
	g.Settle(c.at, 8)
	if _, r, ok := tokens.Payers(&two, "q").Take(c.at, quota.Ask{Bytes: 4, Answer: 5}); ok || r.Subject != `user "ada"` {
		t.Errorf("%v %+v", ok, r)
	}
	if err := tokens.LimitPeople(t.Context(), map[string]quota.Limits{"ada": {Budget: 200}}, book.spent); err != nil {
		t.Fatal(err)
	}
	if got := tokens.Person("ada").Spent; got != 98 {
		t.Errorf("%d spent", got)
	}
	if _, _, ok := tokens.Payers(&two, "q").Take(c.at, quota.Ask{Bytes: 4, Answer: 5}); !ok {
		t.Error("raised, and refused")
	}
}
