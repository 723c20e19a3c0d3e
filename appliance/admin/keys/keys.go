// Package keys owns the API keys: who may use the admin API from elsewhere. Only hashes are kept. It knows
// nothing of HTTP nor of how rows are kept.
package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kinds of errors of this room.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
	// ErrRefused: the secret is not that of a key that is valid now.
	ErrRefused = errors.New("refused")
)

// prefix marks a secret, so that people and scanners see what a leaked one is.
const prefix = "pal_"

// touchEvery is how accurate LastUsed is: a busy key costs one write in that time.
const touchEvery = time.Minute

var nameRule = regexp.MustCompile(`^\w[\w.-]*\w$`)

// Scope is the most that a key may, of what its owner may. The order is Read, Write, Admin.
type Scope string

// The scopes.
const (
	Read  Scope = "read"  // look, as a viewer
	Write Scope = "write" // and change, as a member
	Admin Scope = "admin" // all that its owner may
)

// Level is the place of a scope among the others, from 1; 0 of a word that is none.
func (s Scope) Level() int { return slices.Index([]Scope{Read, Write, Admin}, s) + 1 }

// Key is one API key. It is valid until it is revoked, or ends by itself.
type Key struct {
	ID        string // "key-" and 12 characters; safe to show
	Hash      string // hex SHA-256 of the secret
	Name      string // unique among those that are not revoked
	Owner     string // the user who answers for it, and who may most of what it may; "": the box itself
	Scope     Scope
	Project   string    // the one that it opens; "": all that its owner has
	ExpiresAt time.Time // zero: never
	CreatedBy string
	CreatedAt time.Time
	LastUsed  time.Time // zero: never; accurate to a minute
	RevokedAt time.Time // zero: not revoked
}

// Store keeps keys' rows.
type Store interface {
	Keys(ctx context.Context) ([]Key, error)
	SaveKey(ctx context.Context, k Key) error // inserts or updates
}

// Wish is a key that somebody wants.
type Wish struct {
	Name      string
	Owner     string // a user's name; "": the box itself
	Scope     Scope  // "" is Read
	Project   string
	ExpiresAt time.Time // zero: never
	By        string    // who makes it
}

// Keyring holds every key in memory, by hash. It is safe for concurrent use.
type Keyring struct {
	store Store
	now   func() time.Time

	mu     sync.Mutex
	byHash map[string]Key
}

// Open reads the keys of a store.
func Open(ctx context.Context, store Store, now func() time.Time) (*Keyring, error) {
	rows, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading API keys: %w", err)
	}
	r := &Keyring{store: store, now: now, byHash: map[string]Key{}}
	for _, k := range rows {
		r.byHash[k.Hash] = k
	}
	return r, nil
}

// check says what is wrong with a wish.
func (r *Keyring) check(w Wish) error {
	switch {
	case len(w.Name) < 2 || len(w.Name) > 64 || !nameRule.MatchString(w.Name):
		return fmt.Errorf("%w: key name %q: 2 to 64 letters, digits, '_', '-' and '.', beginning and ending with a letter, digit or '_'", ErrInvalid, w.Name)
	case w.Scope.Level() < 1:
		return fmt.Errorf("%w: scope %q: one of read, write, admin", ErrInvalid, w.Scope)
	case !w.ExpiresAt.IsZero() && !w.ExpiresAt.After(r.now()):
		return fmt.Errorf("%w: a key that expires at %s would be good for nothing", ErrInvalid, w.ExpiresAt.UTC().Format(time.RFC3339))
	}
	for _, k := range r.byHash {
		if k.Name == w.Name && k.RevokedAt.IsZero() {
			return fmt.Errorf("API key %q %w", w.Name, ErrExists)
		}
	}
	return nil
}

// Issue makes a key and returns it with its secret, which is kept nowhere.
func (r *Keyring) Issue(ctx context.Context, w Wish) (Key, string, error) {
	w.Scope = cmp.Or(w.Scope, Read)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.check(w); err != nil {
		return Key{}, "", err
	}
	var random [32]byte
	rand.Read(random[:]) // never fails: it ends the program instead
	secret := prefix + base64.RawURLEncoding.EncodeToString(random[:])
	k := Key{
		ID: "key-" + strings.ToLower(rand.Text()[:12]), Hash: hash(secret), Name: w.Name, Owner: w.Owner, Scope: w.Scope,
		Project: w.Project, CreatedBy: w.By, CreatedAt: r.now().UTC(),
	}
	if !w.ExpiresAt.IsZero() {
		k.ExpiresAt = w.ExpiresAt.UTC()
	}
	if err := r.store.SaveKey(ctx, k); err != nil {
		return Key{}, "", fmt.Errorf("keeping API key %s: %w", k.Name, err)
	}
	r.byHash[k.Hash] = k
	return k, secret, nil
}

// Authenticate returns the key of a secret, or ErrRefused with why. A key is good even when the time of its use
// could not be kept: then it comes with the error.
func (r *Keyring) Authenticate(ctx context.Context, secret string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The map is keyed by a hash of 256 random bits: how long a look-up takes tells nothing of them.
	k, ok := r.byHash[hash(secret)]
	switch {
	case !ok:
		return Key{}, fmt.Errorf("%w: no such API key", ErrRefused)
	case !k.RevokedAt.IsZero():
		return Key{}, fmt.Errorf("%w: API key %s was revoked", ErrRefused, k.Name)
	}
	now := r.now().UTC()
	if k.Expired(now) {
		return Key{}, &Expired{Key: k}
	}
	if now.Sub(k.LastUsed) < touchEvery {
		return k, nil
	}
	k.LastUsed = now
	r.byHash[k.Hash] = k
	if err := r.store.SaveKey(ctx, k); err != nil {
		return k, fmt.Errorf("keeping when API key %s was used: %w", k.Name, err)
	}
	return k, nil
}

// Expired reports whether a key has ended by itself.
func (k *Key) Expired(now time.Time) bool { return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) }

// Expired is ErrRefused of a key that has ended by itself. Only who has its secret is told.
type Expired struct{ Key Key }

func (e *Expired) Error() string {
	return fmt.Sprintf("the API key %s has expired at %s", e.Key.Name, e.Key.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC"))
}

func (e *Expired) Unwrap() error { return ErrRefused }

// Find returns a key by its id, if it is neither revoked nor expired.
func (r *Keyring) Find(id string) (Key, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.byHash {
		if k.ID == id {
			return k, k.RevokedAt.IsZero() && !k.Expired(r.now())
		}
	}
	return Key{}, false
}

// Own reports whether a key of the box itself is called so, or was before it was revoked.
func (r *Keyring) Own(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.byHash {
		if k.Owner == "" && k.Name == name {
			return true
		}
	}
	return false
}

// List returns the keys that are not revoked, oldest first. Expired ones are among them.
func (r *Keyring) List() []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Key
	for _, k := range r.byHash {
		if k.RevokedAt.IsZero() {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return out
}

// Revoke ends a key by its id or its name, at once.
func (r *Keyring) Revoke(ctx context.Context, ref string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.byHash {
		if (k.ID != ref && k.Name != ref) || !k.RevokedAt.IsZero() {
			continue
		}
		k.RevokedAt = r.now().UTC()
		if err := r.store.SaveKey(ctx, k); err != nil {
			return fmt.Errorf("revoking API key %s: %w", k.Name, err)
		}
		r.byHash[k.Hash] = k
		return nil
	}
	return fmt.Errorf("API key %q: %w", ref, ErrNotFound)
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
