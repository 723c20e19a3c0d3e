package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// mostSessions a user has at once: of more the one that was seen longest ago ends.
const mostSessions = 64

// From is where a log-in comes from.
type From struct {
	Address  string // IP address
	Agent    string // the browser, as it calls itself
	Replaces string // the secret of the session that the browser has had; it ends
}

// Try is somebody who wants to be let in.
type Try struct {
	From
	Name     string
	Password string
	Code     string // of the second factor, or one for who has lost it; "": none
}

// Entry is somebody who was let in. The secret is kept nowhere.
type Entry struct {
	User    User
	Session Session
	Secret  string
}

// LogIn lets somebody in who knows a name and its password.
//  1. Who has tried too often of late waits: *Locked. Nothing is computed for them.
//  2. The password is hashed, for a name that is nobody's, or of somebody who may not, as for all others: ErrWrong says the
//     same of them, after the same time. ErrBusy where too many are at it.
//  3. Where there is a second factor, ErrCode asks for it; that is no failure. A wrong code is ErrWrong.
//  4. There is a new session, with a new secret, and what the browser has had before ends.
func (b *Book) LogIn(ctx context.Context, t Try) (Entry, error) {
	name := Fold(t.Name)
	switch {
	case name == "" || t.Password == "":
		return Entry{}, invalid("", "name and password are needed")
	case len(name) > longestName || len(t.Password) > mostPassword || len(t.Code) > longestText:
		return Entry{}, invalid("", "name, password or code is longer than any can be")
	}
	now := b.Now().UTC()
	b.mu.Lock()
	u := b.users[name]
	b.mu.Unlock()
	a, err := b.lockout.try(name, t.Address, slices.Contains(u.Known, network(t.Address)), now) // 1
	if err != nil {
		return Entry{}, err
	}
	encoded := u.Password
	if !u.Enabled() || u.Source != SourceLocal {
		encoded = ""
	}
	good, stale, err := b.press.verify(ctx, encoded, t.Password) // 2
	switch {
	case err != nil:
		a.undo()
		return Entry{}, err
	case !good || encoded == "":
		return Entry{}, ErrWrong
	}
	again := "" // the password, hashed with more effort
	if stale {
		if again, err = b.press.hash(ctx, t.Password); err != nil {
			again = "" // the next time
		}
	}
	e, err := b.admit(ctx, admission{From: t.From, name: name, source: SourceLocal, proof: func(u *User) error {
		if u.Password != encoded {
			return ErrWrong // it was changed meanwhile
		}
		if again != "" {
			u.Password = again
		}
		return b.factor(ctx, u, t.Code, now) // 3
	}})
	switch {
	case err == nil:
		a.good()
	case !errors.Is(err, ErrWrong):
		a.undo()
	}
	return e, err
}

// admission is somebody who is let in, if they still may.
type admission struct {
	From
	name   string
	source string
	proof  func(u *User) error // the last look at the user, which it may change
}

// admit makes a session. Whether the user may, and what it changes of them, is decided in one turn.
func (b *Book) admit(ctx context.Context, a admission) (Entry, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	now := b.Now().UTC()
	b.mu.Lock()
	u, there := b.users[a.name]
	b.mu.Unlock()
	if !there || !u.Enabled() {
		return Entry{}, ErrWrong
	}
	if err := a.proof(&u); err != nil {
		return Entry{}, err
	}
	u.LastLogIn = now
	if at := network(a.Address); at != "" {
		known := append([]string{at}, slices.DeleteFunc(slices.Clone(u.Known), func(k string) bool { return k == at })...)
		u.Known = known[:min(len(known), mostKnown)]
	}
	secret := newSecret()
	s := Session{
		ID: "login-" + drawnID(), Hash: hashOf(secret), User: u.Name, Source: a.source, CreatedAt: now, LastSeen: now,
		Address: trim(a.Address), Agent: trim(a.Agent),
	}
	if err := b.keep(ctx, u); err != nil {
		return Entry{}, err
	}
	if err := b.Store.SaveLogIn(ctx, s); err != nil {
		return Entry{}, fmt.Errorf("keeping the log-in: %w", err)
	}
	b.mu.Lock()
	b.hold(s)
	b.mu.Unlock()
	b.tidy(ctx, u.Name, a.Replaces)
	return Entry{User: u, Session: s, Secret: secret}, nil
}

// tidy ends the session that a browser has had before, and those that are too many. That it cannot be kept now keeps nobody
// out: they are ended in memory, and the rows go when they run out.
func (b *Book) tidy(ctx context.Context, user, before string) {
	var many []Session
	if all := b.Sessions(user); len(all) > mostSessions {
		many = all[mostSessions:]
	}
	old := ""
	if before != "" {
		old = hashOf(before)
	}
	_, err := b.end(ctx, func(s *Session) bool {
		return s.Hash == old || slices.ContainsFunc(many, func(m Session) bool { return m.ID == s.ID })
	})
	if err != nil {
		b.Log.WarnContext(ctx, "earlier log-in sessions were not removed", "user", user, "error", err)
	}
}

// Outside is somebody whom a provider has proved.
type Outside struct {
	Issuer      string
	Subject     string
	Name        string // as the user is to be called here, where there is none yet
	DisplayName string
	Email       string
	Admin       *bool // nil: as it is
	Known       bool  // only who is a user already is let in
}

// LogInWith lets somebody in whom a provider has proved, and makes the user the first time. ErrWrong: the user may not log in
// here any more; ErrExists: the name is somebody else's.
func (b *Book) LogInWith(ctx context.Context, o Outside, from From) (Entry, error) {
	if o.Issuer == "" || o.Subject == "" {
		return Entry{}, invalid("", "a provider's user has an issuer and a subject")
	}
	name, err := b.meet(ctx, o)
	if err != nil {
		return Entry{}, err
	}
	return b.admit(ctx, admission{From: from, name: name, source: SourceOIDC, proof: func(u *User) error {
		if u.Issuer != o.Issuer || u.Subject != o.Subject {
			return ErrWrong // the user was joined with somebody else meanwhile
		}
		if o.Admin != nil && (*o.Admin || b.othersRule(u.Name)) { // the last administrator stays one
			u.Admin = *o.Admin
		}
		if checkText("name", o.DisplayName) == nil && o.DisplayName != "" {
			u.DisplayName = o.DisplayName
		}
		if checkEmail(o.Email) == nil && o.Email != "" {
			u.Email = o.Email
		}
		return nil
	}})
}

// meet finds the user of a provider's, or makes one.
func (b *Book) meet(ctx context.Context, o Outside) (string, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	name := Fold(o.Name)
	b.mu.Lock()
	_, taken := b.users[name]
	for _, u := range b.users {
		if u.Issuer == o.Issuer && u.Subject == o.Subject && u.RemovedAt.IsZero() {
			b.mu.Unlock()
			return u.Name, nil
		}
	}
	b.mu.Unlock()
	if o.Known {
		return "", &Fault{Kind: ErrNotFound, Text: name + " is no user here", Advice: "an administrator makes one: palisade user create"}
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	if err := b.free(name); err != nil {
		return "", err
	}
	if taken {
		return "", &Fault{Kind: ErrExists, Text: fmt.Sprintf("a user %s exists already, and is not this one", name), Advice: "an administrator can join the two: palisade user update " + name + " --subject " + o.Subject}
	}
	return name, b.keep(ctx, User{
		Name: name, Source: SourceOIDC, Issuer: o.Issuer, Subject: o.Subject, CreatedAt: b.Now().UTC(), CreatedBy: name,
	})
}

// LogOut ends the session of a secret; that it is over already is no error.
func (b *Book) LogOut(ctx context.Context, secret string) error {
	hash := hashOf(secret)
	_, err := b.end(ctx, func(s *Session) bool { return s.Hash == hash })
	return err
}

func drawnID() string { return strings.ReplaceAll(drawn(3), "-", "") }

// renew gives a session a new secret, and ends all others of its user: what proves the user is another now. A session that is
// over, or "", is nobody's. Whoever calls has turn.
func (b *Book) renew(ctx context.Context, user, id string) (secret string, err error) {
	if _, err := b.EndSessions(ctx, user, id); err != nil {
		b.Log.WarnContext(ctx, "log-in sessions that were ended were not removed", "user", user, "error", err)
	}
	b.mu.Lock()
	var had *login
	for _, l := range b.logins {
		if l.User == user && l.ID == id {
			had = l
		}
	}
	if had == nil {
		b.mu.Unlock()
		return "", nil
	}
	s := had.Session
	b.mu.Unlock()
	secret = newSecret()
	old := s.Hash
	s.Hash = hashOf(secret)
	if err := b.Store.SaveLogIn(ctx, s); err != nil {
		return "", fmt.Errorf("keeping the log-in: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.logins[old]; !there { // it was ended meanwhile
		return "", nil
	}
	delete(b.logins, old)
	had.Hash = s.Hash
	b.logins[s.Hash] = had
	return secret, nil
}

// pendingTOTP is a second factor that is not confirmed yet.
type pendingTOTP struct {
	secret []byte
	until  time.Time
}
