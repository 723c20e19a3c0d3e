package router

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryStore is a TokenStore that keeps rows in memory and fails when told.
type memoryStore struct {
	mu   sync.Mutex
	rows map[string]Token
	fail error
}

func (m *memoryStore) Tokens(context.Context) ([]Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.rows)), m.fail
}

func (m *memoryStore) SaveToken(_ context.Context, t Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.rows == nil {
		m.rows = map[string]Token{}
	}
	m.rows[t.ID] = t
	return nil
}

func (m *memoryStore) TouchTokens(_ context.Context, used map[string]time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for id, at := range used {
		row := m.rows[id]
		row.LastUsed = at
		m.rows[id] = row
	}
	return nil
}

// clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestTokens(t *testing.T, store *memoryStore) (*Tokens, *clock) {
	t.Helper()
	c := &clock{at: at("2026-01-01T00:00:00Z")}
	tokens, err := NewTokens(t.Context(), store, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, c
}

func issue(t testing.TB, tokens *Tokens, q IssueRequest) (Token, string) {
	t.Helper()
	if q.Duration == "" {
		q.Duration = "1h"
	}
	tok, secret, err := tokens.Issue(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return tok, secret
}

func TestTokenLife(t *testing.T) {
	store := &memoryStore{}
	tokens, c := newTestTokens(t, store)
	tok, secret := issue(t, tokens, IssueRequest{Name: "app", Project: "p", ServiceID: "s1", CreatedBy: "ann"})
	if !strings.HasPrefix(tok.ID, "tok-") || len(tok.ID) != 16 || !strings.HasPrefix(secret, "pal-") || len(secret) != secretLen {
		t.Errorf("id %q, secret of %d characters", tok.ID, len(secret))
	}
	if row := store.rows[tok.ID]; row.Hash == "" || strings.Contains(secret, row.Hash) || !row.ExpiresAt.Equal(c.at.Add(time.Hour)) {
		t.Errorf("stored %+v", row)
	}
	if got, err := tokens.Check(secret); err != nil || got.ID != tok.ID || !got.LastUsed.Equal(c.at) {
		t.Errorf("check: %+v, %v", got, err)
	}
	for given, want := range map[string]error{
		"":       ErrTokenMissing,
		"sk-123": ErrTokenMalformed,
		"pal-":   ErrTokenMalformed,
		strings.Replace(secret, "pal-", "PAL-", 1): ErrTokenMalformed,
		secret + "a":                 ErrTokenMalformed,
		newSecret():                  ErrTokenUnknown,
		secret[:len(secret)-1] + "!": ErrTokenUnknown,
	} {
		if _, err := tokens.Check(given); !errors.Is(err, want) {
			t.Errorf("check %q: %v, want %v", given, err, want)
		}
	}
	// A restart knows what was issued.
	again, err := NewTokens(t.Context(), store, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Check(secret); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	c.at = c.at.Add(time.Hour)
	if _, err := tokens.Check(secret); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("after an hour: %v", err)
	}
	if err := tokens.Revoke(t.Context(), tok.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Check(secret); !errors.Is(err, ErrTokenRevoked) || got.ID != tok.ID {
		t.Errorf("revoked: %v", err)
	}
	if row := store.rows[tok.ID]; !row.RevokedAt.Equal(c.at) {
		t.Errorf("stored %+v", row)
	}
}

func TestIssueRefuses(t *testing.T) {
	store := &memoryStore{}
	tokens, _ := newTestTokens(t, store)
	for _, q := range []IssueRequest{
		{Duration: "1h"},
		{Project: "p"},
		{Project: "p", Duration: "no"},
		{Project: "p", ValidUntil: "2020-01-01"},
	} {
		if _, secret, err := tokens.Issue(t.Context(), q); !errors.Is(err, ErrInvalid) || secret != "" {
			t.Errorf("%+v: %v", q, err)
		}
	}
	store.fail = errors.New("disk full")
	if _, secret, err := tokens.Issue(t.Context(), IssueRequest{Project: "p", Duration: "1h"}); !errors.Is(err, store.fail) || secret != "" {
		t.Errorf("got %v", err)
	}
	if got := tokens.List("", ""); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

func TestListTokens(t *testing.T) {
	tokens, c := newTestTokens(t, &memoryStore{})
	for i, q := range []IssueRequest{{Name: "a", Project: "p", ServiceID: "s1"}, {Name: "b", Project: "p"}, {Name: "c", Project: "q", ServiceID: "s2"}} {
		c.at = c.at.Add(time.Duration(i) * time.Second)
		issue(t, tokens, q)
	}
	for _, w := range []struct{ project, service, want string }{{"", "", "abc"}, {"p", "", "ab"}, {"p", "s1", "a"}, {"", "s2", "c"}, {"q", "s1", ""}} {
		names := ""
		for _, tok := range tokens.List(w.project, w.service) {
			names += tok.Name
			if tok.Hash != "" {
				t.Error("a hash is listed")
			}
		}
		if names != w.want {
			t.Errorf("List(%q, %q) = %s, want %s", w.project, w.service, names, w.want)
		}
	}
}

func TestRevoke(t *testing.T) {
	store := &memoryStore{}
	tokens, _ := newTestTokens(t, store)
	_, one := issue(t, tokens, IssueRequest{Name: "one", ServiceID: "s"})
	_, two := issue(t, tokens, IssueRequest{Name: "two", ServiceID: "s"})
	_, twin := issue(t, tokens, IssueRequest{Name: "twin", ServiceID: "s"})
	twinTok, _ := issue(t, tokens, IssueRequest{Name: "twin", ServiceID: "s"})
	_, other := issue(t, tokens, IssueRequest{Name: "other", ServiceID: "s2"})
	if err := tokens.Revoke(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := tokens.Revoke(t.Context(), newSecret()); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"pal-..."`) {
		t.Errorf("got %v", err)
	}
	if err := tokens.Revoke(t.Context(), "twin"); !errors.Is(err, ErrInvalid) {
		t.Errorf("two of that name: %v", err)
	}
	for _, ref := range []string{"one", two, twinTok.ID, "twin"} {
		if err := tokens.Revoke(t.Context(), ref); err != nil {
			t.Errorf("revoke %s: %v", ref, err)
		}
	}
	for _, secret := range []string{one, two, twin} {
		if _, err := tokens.Check(secret); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("got %v", err)
		}
	}
	// Where the store fails the token is refused all the same, and the next try saves it.
	store.fail = errors.New("disk full")
	if err := tokens.RevokeService(t.Context(), "s2"); !errors.Is(err, store.fail) {
		t.Errorf("got %v", err)
	}
	if _, err := tokens.Check(other); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("got %v", err)
	}
	store.fail = nil
	if err := tokens.RevokeService(t.Context(), "s2"); err != nil {
		t.Error(err)
	}
	again, err := NewTokens(t.Context(), store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Check(other); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestFlush(t *testing.T) {
	store := &memoryStore{}
	tokens, c := newTestTokens(t, store)
	tok, secret := issue(t, tokens, IssueRequest{ServiceID: "s", Duration: "1d"})
	issue(t, tokens, IssueRequest{ServiceID: "s"})
	check := func() {
		t.Helper()
		if _, err := tokens.Check(secret); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(want time.Time) {
		t.Helper()
		if err := tokens.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := store.rows[tok.ID].LastUsed; !got.Equal(want) {
			t.Errorf("stored %v, want %v", got, want)
		}
	}
	flush(time.Time{})
	check()
	first := c.at
	flush(first)
	c.at = c.at.Add(usedEvery / 2 * time.Second)
	check()
	flush(first) // not worth a note yet
	c.at = c.at.Add(usedEvery * time.Second)
	check()
	store.fail = errors.New("disk full")
	if err := tokens.Flush(t.Context()); !errors.Is(err, store.fail) {
		t.Errorf("got %v", err)
	}
	store.fail = nil
	flush(c.at)
}

func TestNewTokensRefusesABrokenStore(t *testing.T) {
	if _, err := NewTokens(t.Context(), &memoryStore{fail: errors.New("gone")}, time.Now); err == nil {
		t.Error("no error")
	}
	if _, err := NewTokens(t.Context(), &memoryStore{rows: map[string]Token{"x": {ID: "x", Hash: "zz"}}}, time.Now); err == nil {
		t.Error("no error")
	}
}

func TestTokensAllAtOnce(t *testing.T) {
	tokens, err := NewTokens(t.Context(), &memoryStore{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				tok, secret, err := tokens.Issue(t.Context(), IssueRequest{ServiceID: "s", Duration: "1h"})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := tokens.Check(secret); err != nil {
					t.Error(err)
				}
				if err := tokens.Revoke(t.Context(), tok.ID); err != nil {
					t.Error(err)
				}
				if _, err := tokens.Check(secret); !errors.Is(err, ErrTokenRevoked) {
					t.Error(err)
				}
				if err := tokens.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := len(tokens.List("", "s")); got != 160 {
		t.Errorf("%d tokens, want 160", got)
	}
}

// A wrong secret costs what a right one costs whose digest is not remembered, wherever it is wrong.
func BenchmarkCheck(b *testing.B) {
	tokens, err := NewTokens(b.Context(), &memoryStore{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	var secret string
	for range 1000 {
		if _, secret, err = tokens.Issue(b.Context(), IssueRequest{ServiceID: "s", Duration: "1h"}); err != nil {
			b.Fatal(err)
		}
	}
	now := time.Now()
	for _, c := range []struct {
		name, secret string
		want         error
	}{
		{"right", secret, nil},
		{"wrong at its start", secretPrefix + strings.Repeat("a", 4) + secret[8:], ErrTokenUnknown},
		{"wrong at its end", secret[:secretLen-2] + "aa", ErrTokenUnknown},
		{"made up", newSecret(), ErrTokenUnknown},
		{"malformed", "sk-something", ErrTokenMalformed},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := checkAt(tokens, c.secret, now); err != c.want { //nolint:errorlint // it is what is timed
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("right, all cores", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := checkAt(tokens, secret, now); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
