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

// Key is one API key. It is valid until it is revoked.
type Key struct {
	ID        string // "key-" and 12 characters; safe to show
	Hash      string // hex SHA-256 of the secret
	Name      string // unique among those that are not revoked
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

// Issue makes a key and returns it with its secret, which is kept nowhere.
func (r *Keyring) Issue(ctx context.Context, name, by string) (Key, string, error) {
	if len(name) < 2 || len(name) > 64 || !nameRule.MatchString(name) {
		return Key{}, "", fmt.Errorf("%w: key name %q: 2 to 64 letters, digits, '_', '-' and '.', beginning and ending with a letter, digit or '_'", ErrInvalid, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.byHash {
		if k.Name == name && k.RevokedAt.IsZero() {
			return Key{}, "", fmt.Errorf("API key %q %w", name, ErrExists)
		}
	}
	var random [32]byte
	rand.Read(random[:]) // never fails: it ends the program instead
	secret := prefix + base64.RawURLEncoding.EncodeToString(random[:])
	k := Key{
		ID: "key-" + strings.ToLower(rand.Text()[:12]), Hash: hash(secret), Name: name,
		CreatedBy: by, CreatedAt: r.now().UTC(),
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

// List returns the keys that are not revoked, oldest first.
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
