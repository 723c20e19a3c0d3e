package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSomebodyRules(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, true)
	w.make(t, "bob", false)
	yes, no := true, false
	for name, do := range map[string]func() error{
		"demoted":  func() error { _, err := w.Update(t.Context(), ada, Change{Admin: &no}); return err },
		"disabled": func() error { _, err := w.Update(t.Context(), ada, Change{Disabled: &yes}); return err },
		"removed":  func() error { return w.Remove(t.Context(), ada) },
	} {
		if err := do(); !errors.Is(err, ErrState) {
			t.Errorf("the last administrator was %s: %v", name, err)
		}
	}
	if _, err := w.Update(t.Context(), "bob", Change{Admin: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Update(t.Context(), "bob", Change{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), ada); !errors.Is(err, ErrState) {
		t.Errorf("the last administrator who may log in was removed: %v", err)
	}
	if _, err := w.Update(t.Context(), "bob", Change{Disabled: &no}); err != nil {
		t.Fatal(err)
	}
	// Two at once: one of them stays.
	var all sync.WaitGroup
	var mu sync.Mutex
	var refused int
	for _, name := range []string{ada, "bob"} {
		all.Go(func() {
			if err := w.Remove(t.Context(), name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				refused++
			}
		})
	}
	all.Wait()
	if refused != 1 || len(w.Users()) != 1 {
		t.Errorf("%d were refused, there are %+v", refused, w.Users())
	}
}

// TestOutAtOnce: who is disabled, removed, or has a new password is logged out, and what goes on with the session ends.
func TestOutAtOnce(t *testing.T) {
	for name, do := range map[string]func(w *world) error{
		"disabled": func(w *world) error { _, err := w.Update(t.Context(), ada, Change{Disabled: new(true)}); return err },
		"removed":  func(w *world) error { return w.Remove(t.Context(), ada) },
		"reset":    func(w *world) error { _, err := w.Reset(t.Context(), ada, true); return err },
		"ended":    func(w *world) error { _, err := w.EndSessions(t.Context(), ada, ""); return err },
		"one by one": func(w *world) error {
			return w.EndSession(t.Context(), ada, w.Sessions(ada)[0].ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.make(t, ada, false)
			e := w.logIn(t, ada)
			_, _, at, err := w.Authenticate(e.Secret)
			if err != nil || at.Err() != nil {
				t.Fatal(err)
			}
			if err := do(w); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := w.Authenticate(e.Secret); !errors.Is(err, ErrExpired) || !errors.Is(context.Cause(at), ErrExpired) {
				t.Errorf("%v, %v", err, context.Cause(at))
			}
			w.reopen(t)
			if _, _, _, err := w.Authenticate(e.Secret); !errors.Is(err, ErrExpired) || len(w.rows.logins) != 0 {
				t.Errorf("after a restart: %v", err)
			}
		})
	}
}

// TestOneSession: somebody else's session is not theirs to end.
func TestOneSession(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.make(t, "eve", false)
	e := w.logIn(t, ada)
	if err := w.EndSession(t.Context(), "eve", e.Session.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if n, err := w.EndSessions(t.Context(), "eve", ""); n != 0 || err != nil {
		t.Error(n, err)
	}
	if _, _, _, err := w.Authenticate(e.Secret); err != nil {
		t.Error(err)
	}
	for range 2 * mostSessions {
		w.pass(time.Second)
		w.logIn(t, ada)
	}
	if len(w.Sessions(ada)) != mostSessions || len(w.rows.logins) != mostSessions {
		t.Errorf("%d sessions, %d rows", len(w.Sessions(ada)), len(w.rows.logins))
	}
	if _, _, _, err := w.Authenticate(e.Secret); !errors.Is(err, ErrExpired) {
		t.Errorf("the oldest goes on: %v", err)
	}
}

// TestANameIsForEver: nobody is taken for somebody who was removed.
func TestANameIsForEver(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	w.make(t, "root2", true)
	w.withTOTP(t)
	if err := w.Remove(t.Context(), ada); err != nil || len(w.rows.secrets) != 0 {
		t.Fatal(err, w.rows.secrets)
	}
	w.reopen(t)
	if u := w.rows.users[ada]; u.Password != "" || u.Email != "" || u.RemovedAt.IsZero() || len(u.Known)+len(u.Recovery) != 0 {
		t.Errorf("what is kept of who was removed: %+v", u)
	}
	if _, _, err := w.Create(t.Context(), Wish{Name: "ADA", Password: secretOfAda}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "not given again") {
		t.Error(err)
	}
	if _, err := w.LogInWith(t.Context(), Outside{Issuer: "i", Subject: "s", Name: ada}, From{}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	for _, err := range []error{
		func() error { _, err := w.User(ada); return err }(), func() error { _, err := w.Update(t.Context(), ada, Change{}); return err }(),
		w.Remove(t.Context(), ada), func() error { _, err := w.Reset(t.Context(), ada, false); return err }(),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"ada": true, "ada.lovelace": true, "a1": true, "x-y_z.9": true, strings.Repeat("a", 64): true,
		"": false, "a": false, "1a": false, "Ada": false, "-a": false, "a-": false, "a/b": false, "ä1": false, "a\nb": false,
		strings.Repeat("a", 65): false, "root": false, "uid-1000": false, "me": false, "system": false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	w := newWorld(t)
	for _, wish := range []Wish{
		{Name: "ab", DisplayName: "two\nlines"}, {Name: "ab", Email: "x"}, {Name: "ab", Email: "a@b@c"}, {Name: "ab", Email: "<a>@b"},
		{Name: "ab", Issuer: "x"}, {Name: "ab", Issuer: "x", Subject: "y", Password: secretOfAda}, {Name: "ab", DisplayName: strings.Repeat("x", 300)}, {Name: "ab", Password: "ab"},
	} {
		if _, _, err := w.Create(t.Context(), wish); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", wish, err)
		}
	}
	if len(w.rows.users) != 0 {
		t.Errorf("%+v", w.rows.users)
	}
}

func TestPasswordOfOnesOwn(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	change := func(old, next string) error {
		_, err := w.ChangePassword(t.Context(), ada, Password{Old: old, New: next, Address: "192.0.2.7"})
		return err
	}
	for _, c := range []struct {
		old, next string
		want      error
	}{
		{"wrong", "eight birds on a wire", ErrWrong}, {secretOfAda, "short", ErrInvalid}, {secretOfAda, secretOfAda, ErrInvalid}, {"", "eight birds on a wire", ErrInvalid},
		{secretOfAda, "eight birds on a wire", nil}, {secretOfAda, "nine birds on a wire", ErrWrong},
	} {
		if err := change(c.old, c.next); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s -> %s: %v", c.old, c.next, err)
		}
	}
	for range 10 {
		_ = change("wrong", "ten birds on a wire")
	}
	if err := change("eight birds on a wire", "ten birds on a wire"); !errors.Is(err, ErrLocked) {
		t.Errorf("guessed at by who has found an open browser: %v", err)
	}
}

// TestOutside: who comes by a provider.
func TestOutside(t *testing.T) {
	w := newWorld(t)
	w.make(t, "root2", true)
	who := Outside{Issuer: "https://id", Subject: "4711", Name: "Ada", DisplayName: "Ada L.", Email: "ada@example.org"}
	e, err := w.LogInWith(t.Context(), who, From{Address: "192.0.2.7"})
	if err != nil || e.User.Name != ada || e.User.Source != SourceOIDC || e.User.Admin || e.User.Email != "ada@example.org" || e.Session.Source != SourceOIDC {
		t.Fatalf("%+v %v", e, err)
	}
	who.Name, who.DisplayName = "ada2", "Ada K."
	if e, err = w.LogInWith(t.Context(), who, From{}); err != nil || e.User.Name != ada || e.User.DisplayName != "Ada K." {
		t.Errorf("the second time: %+v %v", e.User, err)
	}
	if _, err := w.LogInWith(t.Context(), Outside{Issuer: "https://id", Subject: "4712", Name: "root2"}, From{}); !errors.Is(err, ErrExists) {
		t.Errorf("somebody else's name: %v", err)
	}
	for _, name := range []string{"root", "a b", ""} {
		if _, err := w.LogInWith(t.Context(), Outside{Issuer: "https://id", Subject: "4713", Name: name}, From{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	who.Admin = new(true)
	if e, err = w.LogInWith(t.Context(), who, From{}); err != nil || !e.User.Admin {
		t.Error(err)
	}
	if err := w.Remove(t.Context(), "root2"); err != nil {
		t.Fatal(err)
	}
	who.Admin = new(false)
	if e, err = w.LogInWith(t.Context(), who, From{}); err != nil || !e.User.Admin {
		t.Errorf("the last administrator is one no more: %v", err)
	}
	for _, err := range []error{
		func() error { _, err := w.Reset(t.Context(), ada, false); return err }(),
		func() error { _, err := w.BeginTOTP(t.Context(), ada, "x", Password{Old: "x"}); return err }(),
		func() error {
			_, err := w.ChangePassword(t.Context(), ada, Password{Old: "x", New: "eight birds on a wire"})
			return err
		}(),
	} {
		if !errors.Is(err, ErrState) {
			t.Error(err)
		}
	}
	// Joined with one who was here before, and parted again.
	w.make(t, "bob", true)
	if _, err := w.Update(t.Context(), "bob", Change{Issuer: new("https://id"), Subject: new("4711")}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if _, err := w.Update(t.Context(), "bob", Change{Issuer: new("https://id")}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if u, err := w.Update(t.Context(), "bob", Change{Issuer: new("https://id"), Subject: new("5")}); err != nil || u.Source != SourceOIDC || u.Password != "" {
		t.Errorf("%+v %v", u, err)
	}
	if e, err = w.LogInWith(t.Context(), Outside{Issuer: "https://id", Subject: "5", Name: "x"}, From{}); err != nil || e.User.Name != "bob" {
		t.Errorf("%+v %v", e.User, err)
	}
	if _, err := w.Update(t.Context(), ada, Change{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.LogInWith(t.Context(), who, From{}); !errors.Is(err, ErrWrong) {
		t.Errorf("one who may not log in: %v", err)
	}
}

// TestTheStoreIsDown: nothing that is not kept counts, but that sessions end.
func TestTheStoreIsDown(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, false)
	e := w.logIn(t, ada)
	other := w.logIn(t, ada)
	down := errors.New("the disk is full")
	w.rows.down = down
	if _, err := w.LogIn(t.Context(), Try{Name: ada, Password: secretOfAda}); !errors.Is(err, down) {
		t.Error(err)
	}
	if len(w.lockout.pairs.of) != 0 {
		t.Errorf("a full disk is held against who logs in: %+v", w.lockout.pairs.of)
	}
	if _, _, err := w.Create(t.Context(), Wish{Name: "bob", Password: secretOfAda}); !errors.Is(err, down) || len(w.Users()) != 1 {
		t.Error(err)
	}
	if _, err := w.Update(t.Context(), ada, Change{Admin: new(true)}); !errors.Is(err, down) || w.Users()[0].Admin {
		t.Error(err)
	}
	if _, err := w.ChangePassword(t.Context(), ada, Password{Old: secretOfAda, New: "eight birds on a wire", Session: e.Session.ID}); !errors.Is(err, down) {
		t.Error(err)
	}
	if _, _, _, err := w.Authenticate(e.Secret); err != nil {
		t.Errorf("who is logged in: %v", err)
	}
	if err := w.EndSession(t.Context(), ada, other.Session.ID); !errors.Is(err, down) {
		t.Error(err)
	}
	if _, _, _, err := w.Authenticate(other.Secret); !errors.Is(err, ErrExpired) {
		t.Errorf("a session that was to end goes on: %v", err)
	}
	w.pass(2 * time.Minute)
	if _, _, _, err := w.Authenticate(e.Secret); err != nil {
		t.Error(err)
	}
	if err := w.Flush(t.Context()); !errors.Is(err, down) {
		t.Error(err)
	}
	w.rows.down = nil
	if err := w.Flush(t.Context()); err != nil || !w.rows.logins[e.Session.ID].LastSeen.Equal(w.now()) {
		t.Errorf("when it was seen is forgotten: %v", err)
	}
	if err := w.sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if _, there := w.rows.logins[other.Session.ID]; there {
		t.Error("the row of a session that was ended stays, and a restart would bring it back")
	}
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.make(t, "root2", true)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprintf("user%d", i)
			if _, _, err := w.Create(t.Context(), Wish{Name: name, Password: secretOfAda, Keep: true}); err != nil && !errors.Is(err, ErrBusy) {
				t.Error(err)
			}
			e, err := w.LogIn(t.Context(), Try{Name: name, Password: secretOfAda})
			if err != nil {
				return // too many at once
			}
			for range 20 {
				_, _, _, _ = w.Authenticate(e.Secret)
				_ = w.Sessions(name)
				_ = w.Flush(t.Context())
			}
			_, _ = w.ChangePassword(t.Context(), name, Password{Old: secretOfAda, New: "eight birds on a wire", Session: e.Session.ID})
			_ = w.Remove(t.Context(), name)
		})
	}
	all.Wait()
}

// thrown is a hasher during which something else happens, once.
type thrown struct {
	*counted
	meanwhile func()
}

func (h *thrown) Hash(password string) string {
	if do := h.meanwhile; do != nil {
		h.meanwhile = nil
		do()
	}
	return h.counted.Hash(password)
}

// TestProofOfBefore: who was thrown out while a new password of theirs is hashed does not set it any more.
func TestProofOfBefore(t *testing.T) {
	for name, do := range map[string]func(w *world, e Entry) error{
		"reset": func(w *world, _ Entry) error { _, err := w.Reset(t.Context(), ada, true); return err },
		"disabled": func(w *world, _ Entry) error {
			_, err := w.Update(t.Context(), ada, Change{Disabled: new(true)})
			return err
		},
		"removed": func(w *world, _ Entry) error { return w.Remove(t.Context(), ada) },
		"ended":   func(w *world, e Entry) error { return w.EndSession(t.Context(), ada, e.Session.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := &thrown{counted: w.hasher}
			b, err := Open(t.Context(), Around{Store: w.rows, Secrets: w.rows, Hasher: h, Config: w.Config, Now: w.now, Log: w.Log})
			if err != nil {
				t.Fatal(err)
			}
			w.Book = b
			w.make(t, ada, false)
			e := w.logIn(t, ada)
			h.meanwhile = func() {
				if err := do(w, e); err != nil {
					t.Error(err)
				}
			}
			if secret, err := w.ChangePassword(t.Context(), ada, Password{Old: secretOfAda, New: "nine birds on a wire", Session: e.Session.ID}); err == nil || secret != "" {
				t.Errorf("the password was changed: %q", secret)
			}
			if w.rows.users[ada].Password == "1:nine birds on a wire" {
				t.Error("the new password opens")
			}
		})
	}
}
