package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// How secrets look: the prefix, by which leaked ones can be searched for, then 256 random bits.
const (
	secretPrefix = "pal-"
	secretLen    = len(secretPrefix) + 52
	usedEvery    = 30 // seconds between two notes that one token was used
)

// Tokens issues, lists, revokes and checks tokens. Checks read a published snapshot and wait for
// nobody; the rest is written to the store, then published.
type Tokens struct {
	store TokenStore
	now   func() time.Time

	writing  sync.Mutex // one writer at a time, of store and snapshot
	current  atomic.Pointer[tokenSet]
	projects atomic.Pointer[projects]
	digests  digests
	counter  quota.Counter // nil: this process counts for itself

	// Guarded by writing.
	limited bool // Limit was called: budgets of tokens are known
	people  people
}

// tokenSet is all tokens, by half of their hash: the other half is compared in constant time.
type tokenSet struct {
	byHash map[[16]byte]*tokenEntry
	byID   map[string]*tokenEntry
}

type tokenEntry struct {
	Token
	hash    [sha256.Size]byte
	used    *tokenUse
	payer   *quota.Subject // nil without limits; outlives changes of the entry
	person  *quota.Subject // of who issued it, shared by all tokens of that person; nil without limits
	unsaved bool           // it is revoked, and the store does not know
}

func (t *Token) subject(spent int64, now time.Time) *quota.Subject {
	return quota.NewSubject(fmt.Sprintf("token %q", t.Name), t.Limits, spent, now).Keyed("token:" + t.ID)
}

// tokenUse is when a token was last used; it outlives changes of its entry.
type tokenUse struct {
	at      atomic.Int64 // Unix seconds; 0: never
	flushed atomic.Int64 // what the store knows of it
}

// NewTokens reads what the store has. now is the clock.
func NewTokens(ctx context.Context, store TokenStore, now func() time.Time) (*Tokens, error) {
	rows, err := store.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	t := &Tokens{store: store, now: now, digests: newDigests()}
	set := &tokenSet{byHash: make(map[[16]byte]*tokenEntry, len(rows)), byID: make(map[string]*tokenEntry, len(rows))}
	for _, row := range rows {
		hash, err := hex.DecodeString(row.Hash)
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("reading tokens: %s has a broken hash", row.ID)
		}
		e := &tokenEntry{Token: row, hash: [sha256.Size]byte(hash), used: &tokenUse{}, payer: row.subject(0, now())}
		if !row.LastUsed.IsZero() {
			e.used.at.Store(row.LastUsed.Unix())
			e.used.flushed.Store(row.LastUsed.Unix())
		}
		set.put(e)
	}
	t.current.Store(set)
	t.projects.Store(&projects{})
	return t, nil
}

func (s *tokenSet) put(e *tokenEntry) {
	s.byHash[[16]byte(e.hash[:16])] = e
	s.byID[e.ID] = e
}

// with is a copy that has e in the place of what had its id.
func (s *tokenSet) with(e *tokenEntry) *tokenSet {
	next := &tokenSet{byHash: maps.Clone(s.byHash), byID: maps.Clone(s.byID)}
	next.put(e)
	return next
}

// IssueRequest says what a new token is for. Duration and ValidUntil are as Expiry reads them.
type IssueRequest struct {
	Name       string // "" takes the id
	Project    string
	ServiceID  string // "" for every service of Project
	CreatedBy  string
	Duration   string
	ValidUntil string
	Limits     quota.Limits
}

// Issue makes a token. The secret is had only here. Errors of what was asked for are ErrInvalid.
func (t *Tokens) Issue(ctx context.Context, q IssueRequest) (Token, string, error) {
	if q.Project == "" && q.ServiceID == "" {
		return Token{}, "", &inputError{"A token is for a service or for a project; neither was given.", "name one of them"}
	}
	now := t.now().UTC()
	expires, err := Expiry(now, q.Duration, q.ValidUntil)
	if err != nil {
		return Token{}, "", err
	}
	if err := q.Limits.Check(); err != nil {
		return Token{}, "", invalidLimits(err)
	}
	secret := newSecret()
	hash := sha256.Sum256([]byte(secret))
	tok := Token{
		ID: newTokenID(), Hash: hex.EncodeToString(hash[:]), Name: q.Name,
		Project: q.Project, ServiceID: q.ServiceID, CreatedBy: q.CreatedBy,
		CreatedAt: now.Truncate(time.Second), ExpiresAt: expires, Limits: q.Limits,
	}
	tok.Name = cmp.Or(tok.Name, tok.ID)
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := t.store.SaveToken(ctx, tok); err != nil {
		return Token{}, "", fmt.Errorf("saving token %s: %w", tok.Name, err)
	}
	t.current.Store(t.current.Load().with(&tokenEntry{Token: tok, hash: hash, used: &tokenUse{}, payer: tok.subject(0, t.now()), person: t.people.subject(tok.CreatedBy, 0, t.now())}))
	return tok, secret, nil
}

// lower-case letters and digits that are hard to mistake, and a double click takes the whole
var secretEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	return secretPrefix + secretEncoding.EncodeToString(b[:])
}

func newTokenID() string { return "tok-" + strings.ToLower(rand.Text()[:12]) }

// List gives the tokens of a project and a service, oldest first, expired and revoked ones too; ""
// stands for any. Secrets and what could stand for them are not in it.
func (t *Tokens) List(project, serviceID string) []Token {
	out := []Token{}
	for _, e := range t.current.Load().byID {
		if (project != "" && e.Project != project) || (serviceID != "" && e.ServiceID != serviceID) {
			continue
		}
		tok := e.snapshot()
		tok.Hash = ""
		out = append(out, tok)
	}
	slices.SortFunc(out, func(a, b Token) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (e *tokenEntry) snapshot() Token {
	tok := e.Token
	if at := e.used.at.Load(); at != 0 {
		tok.LastUsed = time.Unix(at, 0).UTC()
	}
	return tok
}

// Revoke ends a token at once, found by its id, its secret, or its name where only one token that is
// not revoked has it. To revoke again changes nothing. Where the store fails, the token is refused from now on
// all the same, and the error says that a restart would take it back: revoke again then.
func (t *Tokens) Revoke(ctx context.Context, ref string) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	e, err := t.current.Load().find(ref)
	if err != nil {
		return err
	}
	return t.revoke(ctx, e)
}

// RevokeService ends all tokens of one service.
func (t *Tokens) RevokeService(ctx context.Context, serviceID string) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	var errs []error
	for _, e := range t.current.Load().byID {
		if e.ServiceID == serviceID && serviceID != "" && (e.RevokedAt.IsZero() || e.unsaved) {
			errs = append(errs, t.revoke(ctx, e))
		}
	}
	return errors.Join(errs...)
}

func (t *Tokens) revoke(ctx context.Context, e *tokenEntry) error {
	next := tokenEntry{Token: e.snapshot(), hash: e.hash, used: e.used, payer: e.payer, person: e.person, unsaved: true}
	if next.RevokedAt.IsZero() {
		next.RevokedAt = t.now().UTC().Truncate(time.Second)
	}
	refused := next
	t.current.Store(t.current.Load().with(&refused))
	if err := t.store.SaveToken(ctx, next.Token); err != nil {
		return fmt.Errorf("token %s is refused from now on, but not for longer than this daemon runs: saving that it is revoked: %w", next.Name, err)
	}
	next.unsaved = false
	t.current.Store(t.current.Load().with(&next))
	return nil
}

func (s *tokenSet) find(ref string) (*tokenEntry, error) {
	if e := s.byID[ref]; e != nil {
		return e, nil
	}
	if e := s.lookup(ref); e != nil {
		return e, nil
	}
	var named []*tokenEntry
	for _, e := range s.byID {
		if e.Name == ref && e.RevokedAt.IsZero() {
			named = append(named, e)
		}
	}
	switch len(named) {
	case 0:
		return nil, fmt.Errorf("token %q: %w", shown(ref), ErrNotFound)
	case 1:
		return named[0], nil
	}
	return nil, &inputError{fmt.Sprintf("%d tokens have the name %q.", len(named), ref), "say which by its id, tok-..."}
}

// shown is ref as an error may repeat it: not if it is a secret.
func shown(ref string) string {
	if strings.HasPrefix(ref, secretPrefix) {
		return secretPrefix + "..."
	}
	return ref
}

// Flush tells the store which tokens were used since the last time. What fails is told the next time.
func (t *Tokens) Flush(ctx context.Context) error {
	used := map[string]time.Time{}
	set := t.current.Load()
	for id, e := range set.byID {
		if at := e.used.at.Load(); at != e.used.flushed.Load() {
			used[id] = time.Unix(at, 0).UTC()
		}
	}
	if len(used) == 0 {
		return nil
	}
	if err := t.store.TouchTokens(ctx, used); err != nil {
		return fmt.Errorf("saving when %d tokens were used: %w", len(used), err)
	}
	for id, at := range used {
		set.byID[id].used.flushed.Store(at.Unix())
	}
	return nil
}
