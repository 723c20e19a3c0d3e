// Package authorized owns the public keys that let people into their sessions: whose each is, and where it opens. It
// knows nothing of connections, nor of how rows are kept.
package authorized

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Kinds of errors of this room.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
)

// touchEvery is how accurate LastUsed is: a busy key costs one write in that time.
const touchEvery = time.Minute

var nameRule = regexp.MustCompile(`^\w[\w.@+ -]{0,62}\w$`)

// Key is a public key of a person. It opens until it is removed.
type Key struct {
	ID          string // "sshkey-" and 12 characters
	Name        string // unique among its owner's
	Owner       string // who added it, and who comes with it
	User        string // the Owner as a user of the appliance; "": added from the box itself
	Project     string // whose sessions it opens; "" those of all
	Fingerprint string // SHA256:..., unique
	Line        string // as a line of authorized_keys, without the comment: ssh-ed25519 AAAA...
	CreatedAt   time.Time
	LastUsed    time.Time // zero: never; accurate to a minute
}

// Opens reports whether the key opens the sessions of a project. It is the one place where that is decided.
func (k Key) Opens(project string) bool { return k.Project == "" || k.Project == project }

// Store keeps keys' rows.
type Store interface {
	SSHKeys(ctx context.Context) ([]Key, error)
	SaveSSHKey(ctx context.Context, k Key) error // inserts or updates
	DeleteSSHKey(ctx context.Context, id string) error
}

// Book holds every key in memory. It is safe for concurrent use.
type Book struct {
	store   Store
	now     func() time.Time
	removed func(id string)

	mu   sync.Mutex
	keys map[string]Key // by fingerprint
}

// Open reads the keys of a store. removed is told of each that is removed, so that who came with it can be sent away; it may
// be nil.
func Open(ctx context.Context, store Store, now func() time.Time, removed func(id string)) (*Book, error) {
	rows, err := store.SSHKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading SSH keys: %w", err)
	}
	if removed == nil {
		removed = func(string) {}
	}
	b := &Book{store: store, now: now, removed: removed, keys: map[string]Key{}}
	for _, k := range rows {
		b.keys[k.Fingerprint] = k
	}
	return b, nil
}

// Wish is a key that somebody wants to add.
type Wish struct {
	Text    string // a line of authorized_keys, as in a .pub file
	Name    string // "" takes the line's comment
	Owner   string
	User    string // the Owner as a user of the appliance, "" where they are none
	Project string // "" opens all projects
}

// Add adds a key. ErrInvalid says what is wrong with it, ErrExists whose it is already.
func (b *Book) Add(ctx context.Context, w Wish) (Key, error) {
	public, comment, err := Parse(w.Text)
	if err != nil {
		return Key{}, err
	}
	k := Key{
		ID: "sshkey-" + strings.ToLower(rand.Text()[:12]), Name: w.Name, Owner: w.Owner, User: w.User, Project: w.Project,
		Fingerprint: ssh.FingerprintSHA256(public), Line: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), CreatedAt: b.now().UTC(),
	}
	if k.Name == "" {
		k.Name = nameOf(comment, k.Fingerprint)
	}
	if !nameRule.MatchString(k.Name) {
		return Key{}, fmt.Errorf("%w: key name %q: 2 to 64 letters, digits, blanks, '_', '-', '.', '+' and '@', beginning and ending with a letter, digit or '_'", ErrInvalid, k.Name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if had, there := b.keys[k.Fingerprint]; there {
		return had, fmt.Errorf("this key %w: it is %s of %s", ErrExists, had.Name, had.Owner)
	}
	for _, other := range b.keys {
		if other.Owner == k.Owner && other.Name == k.Name {
			return Key{}, fmt.Errorf("a key named %s %w", k.Name, ErrExists)
		}
	}
	if err := b.store.SaveSSHKey(ctx, k); err != nil {
		return Key{}, fmt.Errorf("keeping SSH key %s: %w", k.Name, err)
	}
	b.keys[k.Fingerprint] = k
	return k, nil
}

// nameOf makes a name of a line's comment, or of the fingerprint where that is none.
func nameOf(comment, fingerprint string) string {
	comment = strings.TrimSpace(comment)
	if nameRule.MatchString(comment) {
		return comment
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, fingerprint)
	return "key-" + plain[len(plain)-8:]
}

// Find returns the key that somebody shows.
func (b *Book) Find(public ssh.PublicKey) (Key, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, known := b.keys[ssh.FingerprintSHA256(public)]
	return k, known
}

// Used notes that somebody came with a key. An error says that this could not be kept; the key is good all the same.
func (b *Book) Used(ctx context.Context, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.keys {
		now := b.now().UTC()
		if k.ID != id || now.Sub(k.LastUsed) < touchEvery {
			continue
		}
		k.LastUsed = now
		b.keys[k.Fingerprint] = k
		if err := b.store.SaveSSHKey(ctx, k); err != nil {
			return fmt.Errorf("keeping when SSH key %s was used: %w", k.Name, err)
		}
	}
	return nil
}

// List returns all keys, oldest first.
func (b *Book) List() []Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Key, 0, len(b.keys))
	for _, k := range b.keys {
		out = append(out, k)
	}
	slices.SortFunc(out, func(x, y Key) int { return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), strings.Compare(x.ID, y.ID)) })
	return out
}

// Remove ends a key at once, by id, fingerprint or name: a name of who asks before one of somebody else.
func (b *Book) Remove(ctx context.Context, by, ref string) error {
	k, err := b.pick(by, ref)
	if err != nil {
		return err
	}
	if err := b.delete(ctx, k); err != nil {
		return err
	}
	b.removed(k.ID)
	return nil
}

func (b *Book) delete(ctx context.Context, k Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.store.DeleteSSHKey(ctx, k.ID); err != nil {
		return fmt.Errorf("removing SSH key %s: %w", k.Name, err)
	}
	delete(b.keys, k.Fingerprint)
	return nil
}

func (b *Book) pick(by, ref string) (Key, error) {
	var named []Key
	for _, k := range b.List() {
		switch {
		case k.ID == ref || k.Fingerprint == ref || k.Name == ref && k.Owner == by:
			return k, nil
		case k.Name == ref:
			named = append(named, k)
		}
	}
	switch len(named) {
	case 0:
		return Key{}, fmt.Errorf("SSH key %q: %w", ref, ErrNotFound)
	case 1:
		return named[0], nil
	}
	var which []string
	for _, k := range named {
		which = append(which, k.ID+" of "+k.Owner)
	}
	return Key{}, fmt.Errorf("%w: several keys are named %s: say which by its id: %s", ErrInvalid, ref, strings.Join(which, ", "))
}
