package people

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/vault"
)

// rows is a store in memory.
type rows struct {
	mu      sync.Mutex
	users   map[string]User
	logins  map[string]Session
	secrets map[string]vault.Secret
	down    error
}

func (r *rows) Users(context.Context) ([]User, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.users)), r.down
}

func (r *rows) SaveUser(_ context.Context, u User) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down == nil {
		r.users[u.Name] = u
	}
	return r.down
}

func (r *rows) LogIns(context.Context) ([]Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.logins)), r.down
}

func (r *rows) SaveLogIn(_ context.Context, s Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down == nil {
		r.logins[s.ID] = s
	}
	return r.down
}

func (r *rows) TouchLogIns(_ context.Context, seen map[string]time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	for id, at := range seen {
		s := r.logins[id]
		s.LastSeen = at
		r.logins[id] = s
	}
	return nil
}

func (r *rows) DeleteLogIns(_ context.Context, ids ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	for _, id := range ids {
		delete(r.logins, id)
	}
	return nil
}

func (r *rows) Put(_ context.Context, name string, s vault.Secret) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down == nil {
		r.secrets[name] = s
	}
	return r.down
}

func (r *rows) Get(_ context.Context, name string) (vault.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, there := r.secrets[name]
	if !there {
		return "", vault.ErrNotFound
	}
	return s, r.down
}

func (r *rows) Delete(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down == nil {
		delete(r.secrets, name)
	}
	return r.down
}

// counted is a hasher that costs nothing and counts.
type counted struct {
	mu       sync.Mutex
	hashed   int
	verified []string // what was compared with
	effort   string
}

func (c *counted) Hash(password string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashed++
	return c.effort + ":" + password
}

func (c *counted) Nobody() string { return c.effort + ":\x00nobody" }

func (c *counted) Verify(encoded, password string) (good, stale bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified = append(c.verified, encoded)
	effort, rest, _ := strings.Cut(encoded, ":")
	return rest == password, effort != c.effort
}

// world is a book with what is around it.
type world struct {
	*Book
	rows   *rows
	hasher *counted
	mu     sync.Mutex
	at     time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// reopen is a restart.
func (w *world) reopen(t *testing.T) {
	t.Helper()
	config := DefaultConfig()
	if w.Book != nil {
		config = w.Config
	}
	b, err := Open(t.Context(), Around{Store: w.rows, Secrets: w.rows, Hasher: w.hasher, Config: config, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.Book = b
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		rows:   &rows{users: map[string]User{}, logins: map[string]Session{}, secrets: map[string]vault.Secret{}},
		hasher: &counted{effort: "1"}, at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	}
	w.reopen(t)
	return w
}

const ada, secretOfAda = "ada", "seven birds on a wire"

func (w *world) make(t *testing.T, name string, admin bool) {
	t.Helper()
	if _, _, err := w.Create(t.Context(), Wish{Name: name, Admin: admin, Password: secretOfAda, Keep: true, By: "root"}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) logIn(t *testing.T, name string) Entry {
	t.Helper()
	e, err := w.LogIn(t.Context(), Try{Name: name, Password: secretOfAda, From: From{Address: "192.0.2.7", Agent: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestFirstStart(t *testing.T) {
	w := newWorld(t)
	password, err := w.First(t.Context())
	if err != nil || len(password) != 24 {
		t.Fatalf("%q %v", password, err)
	}
	if again, err := w.First(t.Context()); again != "" || err != nil {
		t.Errorf("the second start made one too: %q %v", again, err)
	}
	w.reopen(t)
	if again, err := w.First(t.Context()); again != "" || err != nil {
		t.Errorf("the second start made one too: %q %v", again, err)
	}
	e, err := w.LogIn(t.Context(), Try{Name: " Admin ", Password: password})
	if err != nil || !e.User.Admin || !e.User.MustChange {
		t.Fatalf("%+v %v", e, err)
	}
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	e := w.logIn(t, ada)
	if strings.Contains(e.Session.Hash, e.Secret) || w.rows.logins[e.Session.ID].Hash != hashOf(e.Secret) {
		t.Errorf("%+v", w.rows.logins)
	}
	if u, s, _, err := w.Authenticate(e.Secret); err != nil || u.Name != ada || s.ID != e.Session.ID {
		t.Fatalf("%+v %+v %v", u, s, err)
	}
	for _, secret := range []string{"", "x", e.Secret + "x", e.Session.Hash} {
		if _, _, _, err := w.Authenticate(secret); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", secret, err)
		}
	}
	// It goes on while it is used, over restarts, and no longer than it may at all.
	begin := w.now()
	for w.now().Sub(begin) < 30*24*time.Hour-11*time.Hour {
		w.pass(11 * time.Hour)
		if _, _, _, err := w.Authenticate(e.Secret); err != nil {
			t.Fatalf("after %v: %v", w.now().Sub(begin), err)
		}
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.reopen(t)
	}
	w.pass(11 * time.Hour)
	if _, _, _, err := w.Authenticate(e.Secret); !errors.Is(err, ErrExpired) {
		t.Errorf("after 30 days: %v", err)
	}
	e = w.logIn(t, ada)
	w.pass(12 * time.Hour)
	if _, _, _, err := w.Authenticate(e.Secret); !errors.Is(err, ErrExpired) || len(w.Sessions(ada)) != 0 {
		t.Errorf("after half a day: %v", err)
	}
	if err := w.sweep(t.Context()); err != nil || len(w.rows.logins) != 0 {
		t.Errorf("%v, left: %v", err, w.rows.logins)
	}
}

// TestFixation: what a browser had before it logged in is worth nothing after, whoever gave it that.
func TestFixation(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.make(t, "eve", false)
	planted := w.logIn(t, "eve")
	e, err := w.LogIn(t.Context(), Try{Name: ada, Password: secretOfAda, From: From{Replaces: planted.Secret}})
	if err != nil || e.Secret == planted.Secret {
		t.Fatal(err)
	}
	if _, _, _, err := w.Authenticate(planted.Secret); !errors.Is(err, ErrExpired) {
		t.Errorf("the planted session goes on: %v", err)
	}
	other := w.logIn(t, ada)
	secret, err := w.ChangePassword(t.Context(), ada, Password{Old: secretOfAda, New: "eight birds on a wire", Session: e.Session.ID})
	if err != nil || secret == "" || secret == e.Secret {
		t.Fatalf("%q %v", secret, err)
	}
	for _, gone := range []string{other.Secret, e.Secret} {
		if _, _, _, err := w.Authenticate(gone); !errors.Is(err, ErrExpired) {
			t.Errorf("a session of before the change of the password goes on: %v", err)
		}
	}
	w.reopen(t)
	if _, s, _, err := w.Authenticate(secret); err != nil || s.ID != e.Session.ID {
		t.Errorf("the own session is gone: %+v %v", s, err)
	}
}

// TestWrongIsWrong: whoever it is that cannot log in, as much is computed, and the same is said.
func TestWrongIsWrong(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.make(t, "bob", false)
	w.make(t, "gone", false)
	if _, _, err := w.Create(t.Context(), Wish{Name: "carol", Issuer: "https://idp", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Update(t.Context(), "bob", Change{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{ada: "wrong", "bob": secretOfAda, "gone": secretOfAda, "carol": secretOfAda, "nobody-at-all": secretOfAda, "no name!": secretOfAda} {
		w.hasher.verified = nil
		_, err := w.LogIn(t.Context(), Try{Name: name, Password: password, From: From{Address: "192.0.2.9"}})
		if !errors.Is(err, ErrWrong) || err.Error() != ErrWrong.Error() || len(w.hasher.verified) != 1 {
			t.Errorf("%s: %v, %d passwords looked at", name, err, len(w.hasher.verified))
		}
	}
	if len(w.rows.logins) != 0 {
		t.Errorf("%+v", w.rows.logins)
	}
}
