package people

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/vault"
)

// Config is how people are let in.
type Config struct {
	SessionIdle time.Duration `yaml:"session_idle"` // a log-in that is not used for so long ends
	SessionMax  time.Duration `yaml:"session_max"`  // and however it is used, after so long
	RequireTOTP string        `yaml:"require_totp"` // who must have a second factor: admin, all, or "" nobody
	OIDC        []Provider    `yaml:"oidc"`         // who else proves users
	// HostSessions: members of projects may run plain processes of the box, which can do everything there.
	HostSessions bool `yaml:"host_sessions"`
}

// Who must have a second factor.
const (
	RequireAdmin = "admin"
	RequireAll   = "all"
)

// DefaultConfig is what holds where nothing is set.
func DefaultConfig() Config {
	return Config{SessionIdle: 12 * time.Hour, SessionMax: 30 * 24 * time.Hour}
}

// Store keeps rows of users and of their log-in sessions.
type Store interface {
	Users(ctx context.Context) ([]User, error)
	// SaveUser inserts or updates, by name. With one who is removed go their log-ins, parts in projects and limits, all or nothing.
	SaveUser(ctx context.Context, u User) error
	LogIns(ctx context.Context) ([]Session, error)
	SaveLogIn(ctx context.Context, s Session) error // inserts or updates, by id
	// TouchLogIns notes when sessions were seen, by id; times before those kept are left out.
	TouchLogIns(ctx context.Context, seen map[string]time.Time) error
	DeleteLogIns(ctx context.Context, ids ...string) error
}

// Secrets seals what must be read again. *vault.Vault is one.
type Secrets interface {
	Put(ctx context.Context, name string, s vault.Secret) error
	Get(ctx context.Context, name string) (vault.Secret, error)
	Delete(ctx context.Context, name string) error
}

// Around is what a Book works with.
type Around struct {
	Store   Store
	Secrets Secrets
	// Taken reports whether something that is no user does things under a name, such as a key of the box itself; nil: nothing does.
	Taken  func(name string) bool
	Hasher Hasher
	Config Config
	Now    func() time.Time
	Log    *slog.Logger
}

// Book holds all users and their log-in sessions in memory: who shows a session is known without a look into the store. It is
// safe for concurrent use. Changes are made one at a time, kept, and only then seen.
type Book struct {
	Around
	press   *press
	lockout *lockout

	turn sync.Mutex // of who changes something, while the store keeps it

	mu      sync.Mutex // of what follows, never held for long
	users   map[string]User
	logins  map[string]*login // by hash of the secret
	pending map[string]pendingTOTP
	owed    []string // sessions that have ended, and whose rows the store has not removed
}

// login is a session with those who are at it.
type login struct {
	Session
	dirty bool // seen later than is kept
	ctx   context.Context
	end   context.CancelCauseFunc
}

// Open reads the users and sessions of a store. Sessions that are over are forgotten.
func Open(ctx context.Context, a Around) (*Book, error) {
	users, err := a.Store.Users(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	rows, err := a.Store.LogIns(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading log-in sessions: %w", err)
	}
	b := &Book{
		Around: a, press: newPress(a.Hasher), lockout: newLockout(),
		users: map[string]User{}, logins: map[string]*login{}, pending: map[string]pendingTOTP{},
	}
	for _, u := range users {
		b.users[u.Name] = u
	}
	for _, s := range rows {
		b.hold(s)
	}
	return b, b.sweep(ctx)
}

// hold keeps a session in memory. Whoever calls has mu, or is alone.
func (b *Book) hold(s Session) {
	ctx, end := context.WithCancelCause(context.Background())
	b.logins[s.Hash] = &login{Session: s, ctx: ctx, end: end}
}

// secretPrefix marks a secret, so that people and scanners see what a leaked one is.
const secretPrefix = "pals_"

func newSecret() string { return secretPrefix + base64.RawURLEncoding.EncodeToString(random(32)) }

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// seenEvery is how accurate LastSeen is.
const seenEvery = time.Minute

// Authenticate returns whose a session's secret is, and a context that ends when the session is ended; ErrExpired where it
// was one, as far as that is known, ErrRefused otherwise. It looks into memory alone.
func (b *Book) Authenticate(secret string) (User, Session, context.Context, error) {
	if !strings.HasPrefix(secret, secretPrefix) {
		return User{}, Session{}, nil, ErrRefused
	}
	now := b.Now().UTC()
	hash := hashOf(secret) // of 256 random bits: how long a look-up takes tells nothing of them
	b.mu.Lock()
	defer b.mu.Unlock()
	l, there := b.logins[hash]
	if !there || !now.Before(l.Ends(b.Config.SessionIdle, b.Config.SessionMax)) {
		return User{}, Session{}, nil, ErrExpired
	}
	u, there := b.users[l.User]
	if !there || !u.Enabled() {
		return User{}, Session{}, nil, ErrExpired
	}
	if now.Sub(l.LastSeen) >= seenEvery {
		l.LastSeen, l.dirty = now, true
	}
	return u, l.Session, l.ctx, nil
}

// User returns one by name; ErrNotFound where there is none, or no more.
func (b *Book) User(name string) (User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, there := b.users[Fold(name)]
	if !there || !u.RemovedAt.IsZero() {
		return User{}, notFound(name)
	}
	return u, nil
}

// Ever reports whether a name is that of a user, or was.
func (b *Book) Ever(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, there := b.users[Fold(name)]
	return there
}

// Users returns all that were not removed, by name.
func (b *Book) Users() []User {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []User
	for _, u := range b.users {
		if u.RemovedAt.IsZero() {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(x, y User) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// Sessions returns the log-in sessions of a user that go on, the one that was seen last first.
func (b *Book) Sessions(user string) []Session {
	now := b.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Session
	for _, l := range b.logins {
		if l.User == user && now.Before(l.Ends(b.Config.SessionIdle, b.Config.SessionMax)) {
			out = append(out, l.Session)
		}
	}
	slices.SortFunc(out, func(x, y Session) int {
		return cmp.Or(y.LastSeen.Compare(x.LastSeen), y.CreatedAt.Compare(x.CreatedAt), strings.Compare(x.ID, y.ID))
	})
	return out
}

// Ends is when a session ends if it is not used from now on.
func (b *Book) Ends(s Session) time.Time { return s.Ends(b.Config.SessionIdle, b.Config.SessionMax) }

// EndSession ends a log-in session of a user at once, and what is going on with it.
func (b *Book) EndSession(ctx context.Context, user, id string) error {
	n, err := b.end(ctx, func(s *Session) bool { return s.User == user && s.ID == id })
	if err == nil && n == 0 {
		return fmt.Errorf("log-in session %.80q: %w", id, ErrNotFound)
	}
	return err
}

// EndSessions ends all log-in sessions of a user, but for the one with the id except, and returns how many there were.
func (b *Book) EndSessions(ctx context.Context, user, except string) (int, error) {
	return b.end(ctx, func(s *Session) bool { return s.User == user && s.ID != except })
}

// end ends the sessions that are chosen. They end even where the store does not take it now: Run tries that again.
func (b *Book) end(ctx context.Context, which func(*Session) bool) (int, error) {
	var ids []string
	b.mu.Lock()
	for hash, l := range b.logins {
		if which(&l.Session) {
			ids = append(ids, l.ID)
			delete(b.logins, hash)
			l.end(ErrExpired)
		}
	}
	b.mu.Unlock()
	if len(ids) == 0 {
		return 0, nil
	}
	return len(ids), b.forget(ctx, ids)
}

// forget has the store remove the rows of sessions that have ended, and those that it still has to.
func (b *Book) forget(ctx context.Context, ids []string) error {
	b.mu.Lock()
	ids = append(ids, b.owed...)
	b.owed = nil
	b.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	err := b.Store.DeleteLogIns(ctx, ids...)
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owed = append(b.owed, ids...)
	return fmt.Errorf("ending log-in sessions: %w", err)
}

// sweep ends what has run out, and sessions of those who may not log in any more.
func (b *Book) sweep(ctx context.Context) error {
	now := b.Now()
	b.mu.Lock()
	users := maps.Clone(b.users)
	b.mu.Unlock()
	_, err := b.end(ctx, func(s *Session) bool {
		u, there := users[s.User]
		return !there || !u.Enabled() || !now.Before(s.Ends(b.Config.SessionIdle, b.Config.SessionMax))
	})
	if err != nil {
		return err
	}
	return b.forget(ctx, nil)
}

// Flush has the store keep when sessions were seen.
func (b *Book) Flush(ctx context.Context) error {
	seen := map[string]time.Time{}
	b.mu.Lock()
	for _, l := range b.logins {
		if l.dirty {
			seen[l.ID], l.dirty = l.LastSeen, false
		}
	}
	b.mu.Unlock()
	if len(seen) == 0 {
		return nil
	}
	err := b.Store.TouchLogIns(ctx, seen)
	if err != nil {
		b.mu.Lock()
		for _, l := range b.logins {
			if _, was := seen[l.ID]; was {
				l.dirty = true
			}
		}
		b.mu.Unlock()
	}
	return err
}

// Run keeps when sessions were seen, and ends those that have run out, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := b.Flush(context.WithoutCancel(ctx)); err != nil {
				b.Log.Warn("when log-in sessions were last seen was not kept", "error", err)
			}
			return
		case <-tick.C:
		}
		if err := b.sweep(ctx); err != nil {
			b.Log.WarnContext(ctx, "log-in sessions that have run out were not removed; trying again", "error", err)
		}
		if err := b.Flush(ctx); err != nil {
			b.Log.WarnContext(ctx, "when log-in sessions were last seen was not kept; trying again", "error", err)
		}
	}
}

// keep has the store keep a user, and then everybody see it. Whoever calls has turn.
func (b *Book) keep(ctx context.Context, u User) error {
	if err := b.Store.SaveUser(ctx, u); err != nil {
		return fmt.Errorf("keeping user %s: %w", u.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users[u.Name] = u
	return nil
}
