package people

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sources of users: what proves them.
const (
	SourceLocal = "local" // a password
	SourceOIDC  = "oidc"  // a provider of OpenID Connect
)

// User may log in. A name is never given again: what somebody made bears it.
type User struct {
	Name        string // lower case, unique for ever
	DisplayName string
	Email       string
	Admin       bool   // may everything, everywhere
	Source      string // SourceLocal or SourceOIDC
	Issuer      string // of SourceOIDC: the provider,
	Subject     string // and who the user is there

	Password   string   // encoded hash; "": none opens
	MustChange bool     // somebody else knows the password
	TOTP       bool     // a second factor is asked for
	TOTPStep   int64    // of the last code that was taken: none is good twice
	Recovery   []string // hex SHA-256 of the codes that are left for who has lost the second factor
	Known      []string // addresses from which the user has logged in, newest first

	CreatedAt  time.Time
	CreatedBy  string
	LastLogIn  time.Time // zero: never
	DisabledAt time.Time // zero: not disabled
	RemovedAt  time.Time // zero: there. The row of one who was removed keeps the name
}

// Enabled reports whether the user may log in.
func (u *User) Enabled() bool { return u.DisabledAt.IsZero() && u.RemovedAt.IsZero() }

// Session is a log-in of a user: a browser that is let in.
type Session struct {
	ID        string // "login-" and 12 characters; safe to show
	Hash      string // hex SHA-256 of its secret
	User      string
	Source    string // what has proved the user
	CreatedAt time.Time
	LastSeen  time.Time // accurate to a minute
	Address   string    // from where the user logged in
	Agent     string    // the browser, as it calls itself
}

// Ends is when a session ends by itself: idle after it was seen last, and most after it began.
func (s *Session) Ends(idle, most time.Duration) time.Time {
	unused, old := s.LastSeen.Add(idle), s.CreatedAt.Add(most)
	if old.Before(unused) {
		return old
	}
	return unused
}

const (
	longestName = 64
	longestText = 200 // bytes of a display name, an address of mail, a browser's name
	mostKnown   = 8   // addresses
)

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9._-]*[a-z0-9]$`)

// reserved are names under which the appliance, or a user of the box, does things.
var reserved = []string{"root", "local", "system", "palisade", "nobody", "everybody", "me", "default"}

// Fold is a name as it is kept, of one as somebody types it.
func Fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// checkName says what is wrong with the name of a new user.
func checkName(name string) error {
	switch {
	case len(name) < 2 || len(name) > longestName || !nameRule.MatchString(name):
		return invalid("as in ada or ada.lovelace", "user name %.80q: 2 to %d small letters, digits, '.', '_' and '-', beginning with a letter and ending with a letter or digit", name, longestName)
	case slices.Contains(reserved, name) || strings.HasPrefix(name, "uid-"):
		return invalid("take another one", "user name %q is used by the appliance itself", name)
	}
	return nil
}

// checkText says what is wrong with what people read.
func checkText(field, text string) error {
	if len(text) > longestText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return invalid("", "%s: at most %d bytes, in one line", field, longestText)
	}
	return nil
}

func checkEmail(email string) error {
	if email == "" {
		return nil
	}
	name, host, ok := strings.Cut(email, "@")
	if !ok || name == "" || host == "" || strings.ContainsAny(email, " <>,;\"") || strings.Contains(host, "@") {
		return invalid("as in ada@example.org", "email %.80q is no address", email)
	}
	return checkText("email", email)
}

// trim cuts a text that a client sends about itself.
func trim(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > longestText {
		text = strings.ToValidUTF8(text[:longestText], "")
	}
	return text
}

func notFound(name string) error { return fmt.Errorf("user %.80q: %w", name, ErrNotFound) }
