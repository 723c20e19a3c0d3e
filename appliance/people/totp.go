package people

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238 as every authenticator has it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/vault"
)

const (
	totpPeriod   = 30 // seconds
	totpDigits   = 1_000_000
	totpSecret   = 20 // bytes: as long as what SHA-1 makes
	totpPatience = 10 * time.Minute
	recoveryMany = 10
)

// totpCode is the code of a step (RFC 6238, RFC 4226).
func totpCode(secret []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	mac := hmac.New(sha1.New, secret)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	code := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%06d", code%totpDigits)
}

// totpStep is the step of a code that is right now, or was or will be one step from now, and is later than after: a code is
// good once. 0 where it is none.
func totpStep(secret []byte, code string, now time.Time, after int64) int64 {
	present, found := now.Unix()/totpPeriod, int64(0)
	for _, step := range []int64{present - 1, present, present + 1} {
		if subtle.ConstantTimeCompare([]byte(totpCode(secret, step)), []byte(code)) == 1 && step > after {
			found = step
		}
	}
	return found
}

func totpName(user string) string { return "totp/" + user }

// factor looks at the second factor of a user, where there is one, and takes what of it is good once.
func (b *Book) factor(ctx context.Context, u *User, code string, now time.Time) error {
	if !u.TOTP {
		return nil
	}
	code = plainCode(code)
	if code == "" {
		return ErrCode
	}
	if len(code) == 6 {
		kept, err := b.Secrets.Get(ctx, totpName(u.Name))
		if err != nil {
			return fmt.Errorf("reading the second factor of %s: %w", u.Name, err)
		}
		secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(kept.Reveal())
		if err != nil {
			return fmt.Errorf("reading the second factor of %s: %w", u.Name, err)
		}
		step := totpStep(secret, code, now, u.TOTPStep)
		if step == 0 {
			return ErrWrong
		}
		u.TOTPStep = step
		return nil
	}
	hash := hashOf(code)
	i := slices.Index(u.Recovery, hash)
	if i < 0 {
		return ErrWrong
	}
	u.Recovery = slices.Delete(slices.Clone(u.Recovery), i, i+1)
	return nil
}

// plainCode is a code without what people put between its letters.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(code)))
}

// TOTP is a second factor to be set up: the secret for who types it, and the same as a URL that authenticators read as a picture.
type TOTP struct {
	Secret string
	URL    string
}

// BeginTOTP draws a second factor for a user who knows the password: who finds their browser open must not lock them out with an
// authenticator of their own. It counts once it was confirmed, within ten minutes.
func (b *Book) BeginTOTP(ctx context.Context, name, issuer string, p Password) (TOTP, error) {
	u, err := b.User(name)
	if err != nil {
		return TOTP{}, err
	}
	if u.TOTP {
		return TOTP{}, unable("turn it off first", "%s has a second factor", u.Name)
	}
	if _, err := b.prove(ctx, name, p); err != nil {
		return TOTP{}, err
	}
	secret := random(totpSecret)
	b.mu.Lock()
	b.pending[u.Name] = pendingTOTP{secret, b.Now().Add(totpPatience)}
	b.mu.Unlock()
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	q := url.Values{"secret": {text}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	// Authenticators take a plus for itself.
	at := "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(u.Name) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
	return TOTP{Secret: text, URL: at}, nil
}

// ConfirmTOTP turns a second factor on for which the user shows a code, and returns the codes for the day when it is lost, and
// a new secret for the session with that id: all others end.
func (b *Book) ConfirmTOTP(ctx context.Context, name, code, session string) (recovery []string, secret string, err error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	u, err := b.User(name)
	if err != nil {
		return nil, "", err
	}
	now := b.Now().UTC()
	b.mu.Lock()
	p, there := b.pending[u.Name]
	b.mu.Unlock()
	if !there || now.After(p.until) || u.TOTP {
		return nil, "", unable("begin again", "no second factor of %s waits to be confirmed", u.Name)
	}
	step := totpStep(p.secret, plainCode(code), now, 0)
	if step == 0 {
		return nil, "", invalid("is the clock of the device right? The codes go by it", "the code is not right")
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(p.secret)
	if err := b.Secrets.Put(ctx, totpName(u.Name), vault.Secret(text)); err != nil {
		return nil, "", fmt.Errorf("keeping the second factor of %s: %w", u.Name, err)
	}
	u.TOTP, u.TOTPStep = true, step
	recovery, u.Recovery = drawRecovery()
	if err := b.keep(ctx, u); err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	delete(b.pending, u.Name)
	b.mu.Unlock()
	secret, err = b.renew(ctx, u.Name, session)
	return recovery, secret, err
}

// drawRecovery draws codes for the day when a second factor is lost, and returns what is kept of them, too.
func drawRecovery() (codes, hashes []string) {
	for range recoveryMany {
		one := drawn(4)
		codes, hashes = append(codes, one), append(hashes, hashOf(plainCode(one)))
	}
	return codes, hashes
}

// RenewRecovery draws a user who knows the password new recovery codes. Those of before are good no more.
func (b *Book) RenewRecovery(ctx context.Context, name string, p Password) (codes []string, err error) {
	still, err := b.prove(ctx, name, p)
	if err != nil {
		return nil, err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	u, err := still()
	if err != nil {
		return nil, err
	}
	if !u.TOTP {
		return nil, unable("set one up first", "%s has no second factor", u.Name)
	}
	codes, u.Recovery = drawRecovery()
	return codes, b.keep(ctx, u)
}

// DropTOTP turns the second factor of a user off, for who knows the password.
func (b *Book) DropTOTP(ctx context.Context, name string, p Password) (secret string, err error) {
	still, err := b.prove(ctx, name, p)
	if err != nil {
		return "", err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	if _, err := still(); err != nil {
		return "", err
	}
	if err := b.dropTOTP(ctx, name); err != nil {
		return "", err
	}
	return b.renew(ctx, Fold(name), p.Session)
}

// dropTOTP is DropTOTP for who has turn.
func (b *Book) dropTOTP(ctx context.Context, name string) error {
	u, err := b.User(name)
	if err != nil || !u.TOTP {
		return err
	}
	u.TOTP, u.TOTPStep, u.Recovery = false, 0, nil
	if err := b.keep(ctx, u); err != nil {
		return err
	}
	// A secret that stays behind opens nothing.
	if err := b.Secrets.Delete(ctx, totpName(u.Name)); err != nil {
		b.Log.WarnContext(ctx, "the secret of a second factor that was turned off was not removed", "user", u.Name, "error", err)
	}
	return nil
}

// MustTOTP reports whether a user has to set a second factor up before all else.
func (b *Book) MustTOTP(u *User) bool {
	return u.Source == SourceLocal && !u.TOTP && (b.Config.RequireTOTP == RequireAll || b.Config.RequireTOTP == RequireAdmin && u.Admin)
}
