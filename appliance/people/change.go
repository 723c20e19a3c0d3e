package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// FirstName is the user that the first start makes.
const FirstName = "admin"

// First makes an administrator where there never was a user, and returns the password; "" where there was one.
func (b *Book) First(ctx context.Context) (password string, err error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	n := len(b.users)
	b.mu.Unlock()
	if n > 0 {
		return "", nil
	}
	password = Generate()
	hash, err := b.press.hash(ctx, password)
	if err != nil {
		return "", err
	}
	err = b.keep(ctx, User{
		Name: FirstName, DisplayName: "Administrator", Admin: true, Source: SourceLocal, Password: hash, MustChange: true,
		CreatedAt: b.Now().UTC(), CreatedBy: "palisade",
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// Wish is a user who is to be made.
type Wish struct {
	Name        string
	DisplayName string
	Email       string
	Admin       bool
	Password    string // "": one is drawn, which has to be changed
	Keep        bool   // a Password that is given need not be changed
	Issuer      string // the user comes by a provider alone,
	Subject     string // and is this one there
	By          string
}

// Create makes a user, and returns the password where it was drawn.
func (b *Book) Create(ctx context.Context, w Wish) (u User, drawn string, err error) {
	u = User{
		Name: Fold(w.Name), DisplayName: w.DisplayName, Email: w.Email, Admin: w.Admin, Source: SourceLocal, Issuer: w.Issuer, Subject: w.Subject,
		CreatedAt: b.Now().UTC(), CreatedBy: w.By,
	}
	if err := errors.Join(checkName(u.Name), checkText("display_name", u.DisplayName), checkEmail(u.Email)); err != nil {
		return User{}, "", err
	}
	switch {
	case (u.Issuer == "") != (u.Subject == ""):
		return User{}, "", invalid("", "issuer and subject go together")
	case u.Issuer != "" && w.Password != "":
		return User{}, "", invalid("", "a user of a provider has no password here")
	case u.Issuer != "":
		u.Source = SourceOIDC
	default:
		if drawn, err = b.newPassword(ctx, &u, w.Password); err != nil {
			return User{}, "", err
		}
		u.MustChange = drawn != "" || !w.Keep
	}
	if err := b.free(u.Name); err != nil {
		return User{}, "", err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	before, taken := b.users[u.Name]
	subject := u.Subject != "" && b.hasSubject(u.Issuer, u.Subject)
	b.mu.Unlock()
	switch {
	case taken && !before.RemovedAt.IsZero():
		return User{}, "", &Fault{Kind: ErrExists, Text: fmt.Sprintf("user %s was removed, and what they made bears that name still: it is not given again", u.Name), Advice: "take another name"}
	case taken:
		return User{}, "", fmt.Errorf("user %s %w", u.Name, ErrExists)
	case subject:
		return User{}, "", fmt.Errorf("a user with that subject %w", ErrExists)
	}
	return u, drawn, b.keep(ctx, u)
}

// free refuses a name under which something that is no user has done things: they would look like the user's.
func (b *Book) free(name string) error {
	if b.Taken == nil || !b.Taken(name) {
		return nil
	}
	return &Fault{Kind: ErrExists, Text: fmt.Sprintf("an API key of the box itself is or was called %s, and what was done with it bears that name", name), Advice: "take another name"}
}

// hasSubject is asked by who has mu.
func (b *Book) hasSubject(issuer, subject string) bool {
	for _, u := range b.users {
		if u.Issuer == issuer && u.Subject == subject && u.RemovedAt.IsZero() {
			return true
		}
	}
	return false
}

// newPassword sets the password that was chosen, or draws one.
func (b *Book) newPassword(ctx context.Context, u *User, chosen string) (drawn string, err error) {
	if chosen == "" {
		drawn = Generate()
		chosen = drawn
	} else if err := CheckPassword(u.Name, chosen); err != nil {
		return "", err
	}
	u.Password, err = b.press.hash(ctx, chosen)
	return drawn, err
}

// Change is what is to be another with a user; nil is left as it is.
type Change struct {
	DisplayName *string
	Email       *string
	Admin       *bool
	Disabled    *bool
	Subject     *string // with Issuer: the user comes by a provider from now on
	Issuer      *string
	DropTOTP    bool
}

// Update changes a user. Who is disabled is logged out at once. ErrState: then nobody could administer the box.
func (b *Book) Update(ctx context.Context, name string, c Change) (User, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	u, err := b.User(name)
	if err != nil {
		return User{}, err
	}
	had := u
	if c.DisplayName != nil {
		u.DisplayName = *c.DisplayName
	}
	if c.Email != nil {
		u.Email = *c.Email
	}
	if c.Admin != nil {
		u.Admin = *c.Admin
	}
	if c.Disabled != nil && *c.Disabled != !u.DisabledAt.IsZero() {
		u.DisabledAt = b.Now().UTC()
		if !*c.Disabled {
			u.DisabledAt = had.RemovedAt // zero
		}
	}
	if err := b.rebind(&u, c); err != nil {
		return User{}, err
	}
	if err := errors.Join(checkText("display_name", u.DisplayName), checkEmail(u.Email)); err != nil {
		return User{}, err
	}
	if had.Admin && had.Enabled() && (!u.Admin || !u.Enabled()) && !b.othersRule(u.Name) {
		return User{}, lastOne(u.Name)
	}
	if err := b.keep(ctx, u); err != nil {
		return User{}, err
	}
	if c.DropTOTP {
		if err := b.dropTOTP(ctx, u.Name); err != nil {
			return User{}, err
		}
	}
	if !u.Enabled() || u.Source != had.Source {
		if _, err := b.EndSessions(ctx, u.Name, ""); err != nil {
			return User{}, err
		}
	}
	return b.User(u.Name)
}

// rebind joins a user with one of a provider, or gives one back to the box.
func (b *Book) rebind(u *User, c Change) error {
	if c.Subject == nil && c.Issuer == nil {
		return nil
	}
	if c.Subject != nil {
		u.Subject = *c.Subject
	}
	if c.Issuer != nil {
		u.Issuer = *c.Issuer
	}
	if (u.Issuer == "") != (u.Subject == "") {
		return invalid("", "issuer and subject go together")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if had := b.users[u.Name]; u.Subject != "" && (had.Subject != u.Subject || had.Issuer != u.Issuer) && b.hasSubject(u.Issuer, u.Subject) {
		return fmt.Errorf("a user with that subject %w", ErrExists)
	}
	u.Source = SourceLocal
	if u.Subject != "" {
		u.Source, u.Password, u.MustChange = SourceOIDC, "", false
	}
	return nil
}

// othersRule reports whether somebody else administers the box and may log in.
func (b *Book) othersRule(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.users {
		if u.Name != name && u.Admin && u.Enabled() {
			return true
		}
	}
	return false
}

func lastOne(name string) error {
	return unable("make somebody else one first: palisade user update NAME --admin", "%s is the last administrator who may log in", name)
}

// Remove removes a user, who is logged out at once. The name stays theirs.
func (b *Book) Remove(ctx context.Context, name string) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	u, err := b.User(name)
	if err != nil {
		return err
	}
	if u.Admin && u.Enabled() && !b.othersRule(u.Name) {
		return lastOne(u.Name)
	}
	drop := u.TOTP
	// What is about the person goes; the name stays with what they made.
	gone := User{Name: u.Name, Source: u.Source, CreatedAt: u.CreatedAt, CreatedBy: u.CreatedBy, LastLogIn: u.LastLogIn, DisabledAt: u.DisabledAt, RemovedAt: b.Now().UTC()}
	if err := b.keep(ctx, gone); err != nil {
		return err
	}
	if drop {
		if err := b.Secrets.Delete(ctx, totpName(u.Name)); err != nil {
			b.Log.WarnContext(ctx, "the secret of a second factor of a user who was removed was not removed", "user", u.Name, "error", err)
		}
	}
	_, err = b.EndSessions(ctx, u.Name, "")
	return err
}

// Reset draws a new password for a user, which has to be changed, and ends all their log-in sessions. With factor the second
// factor is turned off too.
func (b *Book) Reset(ctx context.Context, name string, factor bool) (drawn string, err error) {
	u, err := b.User(name)
	if err != nil {
		return "", err
	}
	if err := ownPassword(&u); err != nil {
		return "", err
	}
	var with User
	if drawn, err = b.newPassword(ctx, &with, ""); err != nil {
		return "", err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	if u, err = b.User(name); err == nil {
		err = ownPassword(&u) // it may have gone to a provider while the new one was hashed
	}
	if err != nil {
		return "", err
	}
	u.Password, u.MustChange = with.Password, true
	if err := b.keep(ctx, u); err != nil {
		return "", err
	}
	if factor {
		if err := b.dropTOTP(ctx, u.Name); err != nil {
			return "", err
		}
	}
	_, err = b.EndSessions(ctx, u.Name, "")
	return drawn, err
}

// ownPassword refuses what is about a password where a provider has it.
func ownPassword(u *User) error {
	if u.Source != SourceLocal {
		return unable("it is changed at the provider", "%s logs in by a provider, and has no password here", u.Name)
	}
	return nil
}

// prove looks at the password of somebody who is logged in. Wrong ones count as those of log-ins do. still is to be asked in the
// turn in which something is changed on that proof: whoever was thrown out meanwhile changes nothing any more.
func (b *Book) prove(ctx context.Context, name string, p Password) (still func() (User, error), err error) {
	u, err := b.User(name)
	if err != nil {
		return nil, err
	}
	if err := ownPassword(&u); err != nil {
		return nil, err
	}
	if p.Old == "" || len(p.Old) > mostPassword {
		return nil, invalid("", "the present password is needed")
	}
	a, err := b.lockout.try(u.Name, p.Address, true, b.Now().UTC())
	if err != nil {
		return nil, err
	}
	good, _, err := b.press.verify(ctx, u.Password, p.Old)
	switch {
	case err != nil:
		a.undo()
		return nil, err
	case !good:
		return nil, ErrWrong
	}
	a.good()
	return func() (User, error) { return b.unchanged(u, p.Session) }, nil
}

// unchanged is a user as they are now, if their password still is the one that was proved, and the session with that id goes on.
func (b *Book) unchanged(proved User, session string) (User, error) {
	u, err := b.User(proved.Name)
	switch {
	case err != nil:
		return User{}, err
	case u.Password != proved.Password || !u.Enabled():
		return User{}, ErrWrong
	case session != "" && !slices.ContainsFunc(b.Sessions(u.Name), func(s Session) bool { return s.ID == session }):
		return User{}, ErrWrong
	}
	return u, nil
}

// Password is what somebody shows who changes what proves them.
type Password struct {
	Old     string
	New     string // of ChangePassword
	Address string // from where
	Session string // id of the session that goes on, with a new secret; "": none
}

// ChangePassword sets the password of who knows the old one. All other log-in sessions end, and the one that goes on has a new
// secret.
func (b *Book) ChangePassword(ctx context.Context, name string, p Password) (secret string, err error) {
	if err := CheckPassword(Fold(name), p.New); err != nil {
		return "", err
	}
	if p.New == p.Old {
		return "", invalid("", "the new password is the old one")
	}
	still, err := b.prove(ctx, name, p)
	if err != nil {
		return "", err
	}
	hash, err := b.press.hash(ctx, p.New)
	if err != nil {
		return "", err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	u, err := still()
	if err != nil {
		return "", err
	}
	u.Password, u.MustChange = hash, false
	if err := b.keep(ctx, u); err != nil {
		return "", err
	}
	return b.renew(ctx, u.Name, p.Session)
}
