package keys

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

type memory struct {
	rows map[string]Key
	fail error
}

func (m *memory) Keys(context.Context) ([]Key, error) {
	var out []Key
	for _, k := range m.rows {
		out = append(out, k)
	}
	return out, m.fail
}

func (m *memory) SaveKey(_ context.Context, k Key) error {
	if m.fail == nil {
		m.rows[k.ID] = k
	}
	return m.fail
}

func TestKeyring(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	store := &memory{rows: map[string]Key{}}
	open := func() *Keyring {
		t.Helper()
		r, err := Open(t.Context(), store, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ring := open()
	k, secret, err := ring.Issue(t.Context(), Wish{Name: "laptop", By: "root"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "pal_") || strings.Contains(store.rows[k.ID].Hash, secret) {
		t.Errorf("secret %q, row %+v", secret, store.rows[k.ID])
	}
	if _, _, err := ring.Issue(t.Context(), Wish{Name: "laptop", By: "root"}); !errors.Is(err, ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	for _, name := range []string{"", "x", "-x-", strings.Repeat("x", 65), "a b"} {
		if _, _, err := ring.Issue(t.Context(), Wish{Name: name, By: "root"}); !errors.Is(err, ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}

	ring = open() // a restart forgets nothing
	if got, err := ring.Authenticate(t.Context(), secret); err != nil || got.ID != k.ID || !got.LastUsed.Equal(now) {
		t.Errorf("Authenticate = %+v, %v", got, err)
	}
	if _, err := ring.Authenticate(t.Context(), secret+"x"); !errors.Is(err, ErrRefused) {
		t.Errorf("wrong secret: %v", err)
	}
	if err := ring.Revoke(t.Context(), "desktop"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoking one that is not there: %v", err)
	}
	if err := ring.Revoke(t.Context(), "laptop"); err != nil {
		t.Error(err)
	}
	if _, err := ring.Authenticate(t.Context(), secret); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked: %v", err)
	}
	again, _, err := ring.Issue(t.Context(), Wish{Name: "laptop", By: "root"})
	if err != nil {
		t.Fatalf("the name of a revoked key: %v", err)
	}
	if got := ring.List(); len(got) != 1 || got[0].ID != again.ID {
		t.Errorf("List = %+v", got)
	}
}

func TestFullDiskIssuesNothing(t *testing.T) {
	store := &memory{rows: map[string]Key{}}
	ring, err := Open(t.Context(), store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	store.fail = errors.New("disk full")
	if _, _, err := ring.Issue(t.Context(), Wish{Name: "laptop", By: "root"}); err == nil {
		t.Fatal("issued a key that is kept nowhere")
	}
	if got := ring.List(); len(got) != 0 {
		t.Errorf("List = %+v", got)
	}
}

func TestAKeyExpires(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring, err := Open(t.Context(), &memory{rows: map[string]Key{}}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for what, w := range map[string]Wish{
		"an end that is past": {Name: "late", ExpiresAt: now}, "a scope that is none": {Name: "odd", Scope: "all"},
	} {
		if _, _, err := ring.Issue(t.Context(), w); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k, secret, err := ring.Issue(t.Context(), Wish{Name: "ci", Owner: "ada", Project: "red", ExpiresAt: now.Add(time.Hour)})
	if err != nil || k.Scope != Read || k.Owner != "ada" || k.Project != "red" {
		t.Fatal(k, err)
	}
	now = now.Add(time.Hour - 1)
	if _, err := ring.Authenticate(t.Context(), secret); err != nil {
		t.Errorf("a moment before its end: %v", err)
	}
	if _, good := ring.Find(k.ID); !good {
		t.Error("it is not good a moment before its end")
	}
	now = now.Add(1)
	_, err = ring.Authenticate(t.Context(), secret)
	if _, said := errors.AsType[*Expired](err); !said || !errors.Is(err, ErrRefused) {
		t.Errorf("at its end: %v", err)
	}
	if _, good := ring.Find(k.ID); good {
		t.Error("it is good at its end")
	}
	if len(ring.List()) != 1 {
		t.Error("it is not shown any more")
	}
}

func TestScopesAreInOrder(t *testing.T) {
	for i, s := range []Scope{"", Read, Write, Admin} {
		if s.Level() != i {
			t.Errorf("%q: %d", s, s.Level())
		}
	}
	if l := Scope("all").Level(); l > 0 {
		t.Errorf("a word that is no scope: %d", l)
	}
}
