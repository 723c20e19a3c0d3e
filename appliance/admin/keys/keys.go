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

// Key is one API key.
type Key struct {
	ID        string // "key-" and 12 characters; safe to show
	Hash      string // hex SHA-256 of the secret
	Name      string // unique among the live ones
	Project   string // "" for every project
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: until it is revoked
	LastUsed  time.Time // zero: never; accurate to a minute
	RevokedAt time.Time // zero: not revoked
}

// live reports whether k opens anything at now.
func (k Key) live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
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

// Request asks for a key.
type Request struct {
	Name      string
	Project   string // "" for every project
	CreatedBy string
	Duration  time.Duration // 0: until it is revoked
}

// Issue makes a key and returns it with its secret, which is kept nowhere.
func (r *Keyring) Issue(ctx context.Context, q Request) (Key, string, error) {
	if len(q.Name) < 2 || len(q.Name) > 64 || !nameRule.MatchString(q.Name) {
		return Key{}, "", fmt.Errorf("%w: key name %q: 2 to 64 letters, digits, '_', '-' and '.', beginning and ending with a letter, digit or '_'", ErrInvalid, q.Name)
	}
	if q.Duration < 0 {
		return Key{}, "", fmt.Errorf("%w: duration: must be positive", ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for _, k := range r.byHash {
		if k.Name == q.Name && k.live(now) {
			return Key{}, "", fmt.Errorf("key %q %w", q.Name, ErrExists)
		}
	}
	var random [32]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	secret := prefix + base64.RawURLEncoding.EncodeToString(random[:])
	k := Key{
		ID: "key-" + strings.ToLower(rand.Text()[:12]), Hash: hash(secret), Name: q.Name, Project: q.Project,
		CreatedBy: q.CreatedBy, CreatedAt: now,
	}
	if q.Duration > 0 {
		k.ExpiresAt = now.Add(q.Duration)
	}
	if err := r.store.SaveKey(ctx, k); err != nil {
		return Key{}, "", fmt.Errorf("keeping key %s: %w", k.Name, err)
	}
	r.byHash[k.Hash] = k
	return k, secret, nil
}

// Authenticate returns the key of a secret, or ErrRefused with why. The answer stands even when the time of
// use could not be kept; that error comes with a valid key.
func (r *Keyring) Authenticate(ctx context.Context, secret string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	// The map is keyed by a hash of 256 random bits: how long a look-up takes tells nothing of them.
	k, ok := r.byHash[hash(secret)]
	switch {
	case !ok:
		return Key{}, fmt.Errorf("%w: no such API key", ErrRefused)
	case !k.RevokedAt.IsZero():
		return Key{}, fmt.Errorf("%w: API key %s was revoked", ErrRefused, k.Name)
	case !k.live(now):
		return Key{}, fmt.Errorf("%w: API key %s expired on %s", ErrRefused, k.Name, k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if now.Sub(k.LastUsed) < touchEvery {
		return k, nil
	}
	k.LastUsed = now
	r.byHash[k.Hash] = k
	if err := r.store.SaveKey(ctx, k); err != nil {
		return k, fmt.Errorf("keeping when key %s was used: %w", k.Name, err)
	}
	return k, nil
}

// List returns the keys that are not revoked, oldest first; of one project, or of all with "".
func (r *Keyring) List(project string) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Key
	for _, k := range r.byHash {
		if k.RevokedAt.IsZero() && (project == "" || k.Project == project) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return out
}

// Revoke ends a key by its id, or a live one by its name, at once; of one project, or of any with "".
func (r *Keyring) Revoke(ctx context.Context, project, ref string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.byHash {
		if (k.ID != ref && k.Name != ref) || !k.RevokedAt.IsZero() || (project != "" && k.Project != project) {
			continue
		}
		k.RevokedAt = r.now()
		if err := r.store.SaveKey(ctx, k); err != nil {
			return fmt.Errorf("revoking key %s: %w", k.Name, err)
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
