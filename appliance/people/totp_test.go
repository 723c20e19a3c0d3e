package people

import (
	"encoding/base32"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestVectors are those of RFC 6238, appendix B, for SHA-1: the last six of their eight digits.
func TestVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if got := totpCode(secret, at/totpPeriod); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	secret := []byte("12345678901234567890")
	now := time.Unix(1111111109, 0)
	present := now.Unix() / totpPeriod
	for _, c := range []struct {
		name  string
		step  int64
		after int64
		want  int64
	}{
		{"now", present, 0, present},
		{"the one before", present - 1, 0, present - 1},
		{"the next", present + 1, 0, present + 1},
		{"too old", present - 2, 0, 0},
		{"too early", present + 2, 0, 0},
		{"taken already", present, present, 0},
		{"older than one that was taken", present - 1, present, 0},
		{"newer than one that was taken", present + 1, present, present + 1},
	} {
		if got := totpStep(secret, totpCode(secret, c.step), now, c.after); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for _, code := range []string{"", "0", "000000", "0818041", "08180"} {
		if totpStep(secret, code, now, 0) != 0 {
			t.Errorf("%q is taken", code)
		}
	}
}

// code is the one that an authenticator shows now.
func (w *world) code(t *testing.T, text string) string {
	t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return totpCode(secret, w.now().Unix()/totpPeriod)
}

func (w *world) withTOTP(t *testing.T) (text string, recovery []string) {
	t.Helper()
	begun, err := w.BeginTOTP(t.Context(), ada, "Palisade box", Password{Old: secretOfAda})
	if err != nil {
		t.Fatal(err)
	}
	if recovery, _, err = w.ConfirmTOTP(t.Context(), ada, w.code(t, begun.Secret), ""); err != nil {
		t.Fatal(err)
	}
	return begun.Secret, recovery
}

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	w.make(t, ada, true)
	at, other := w.logIn(t, ada), w.logIn(t, ada)
	if _, _, err := w.ConfirmTOTP(t.Context(), ada, "123456", at.Session.ID); !errors.Is(err, ErrState) {
		t.Errorf("confirmed what was not begun: %v", err)
	}
	if _, err := w.BeginTOTP(t.Context(), ada, "Palisade box", Password{Old: "wrong"}); !errors.Is(err, ErrWrong) {
		t.Errorf("begun by who does not know the password: %v", err)
	}
	if _, err := w.RenewRecovery(t.Context(), ada, Password{Old: secretOfAda}); !errors.Is(err, ErrState) {
		t.Errorf("recovery codes without a second factor: %v", err)
	}
	begun, err := w.BeginTOTP(t.Context(), ada, "Palisade box", Password{Old: secretOfAda})
	if err != nil || !strings.HasPrefix(begun.URL, "otpauth://totp/Palisade%20box:ada?") || !strings.Contains(begun.URL, "secret="+begun.Secret) || strings.Contains(begun.URL, "+") {
		t.Fatalf("%+v %v", begun, err)
	}
	if picture, err := begun.Picture(); err != nil || xml.Unmarshal([]byte(picture), new(struct{})) != nil || strings.Contains(picture, begun.Secret) {
		t.Errorf("%s %v", picture, err)
	}
	if _, _, err := w.ConfirmTOTP(t.Context(), ada, "12345x", at.Session.ID); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	w.logIn(t, ada) // what is not confirmed does not count
	recovery, secret, err := w.ConfirmTOTP(t.Context(), ada, w.code(t, begun.Secret), at.Session.ID)
	if err != nil || len(recovery) != 10 || secret == "" {
		t.Fatal(recovery, err)
	}
	if _, _, _, err := w.Authenticate(secret); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{at.Secret, other.Secret} {
		if _, _, _, err := w.Authenticate(gone); !errors.Is(err, ErrExpired) {
			t.Error("a session of before goes on", err)
		}
	}
	if u := w.rows.users[ada]; strings.Contains(strings.Join(u.Recovery, " "), plainCode(recovery[0])) || w.rows.secrets["totp/ada"].Reveal() != begun.Secret {
		t.Errorf("%+v", u)
	}
	w.reopen(t)

	try := func(code string) error {
		w.pass(time.Hour) // nobody waits
		_, err := w.LogIn(t.Context(), Try{Name: ada, Password: secretOfAda, Code: code, From: From{Address: "192.0.2.7"}})
		return err
	}
	if err := try(""); !errors.Is(err, ErrCode) {
		t.Error(err)
	}
	if err := try("000000"); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	w.pass(time.Hour)
	code := w.code(t, begun.Secret)
	for _, c := range []struct {
		code string
		want error
	}{{code[:3] + " " + code[3:], nil}, {code, ErrWrong}} { // once
		_, err := w.LogIn(t.Context(), Try{Name: ada, Password: secretOfAda, Code: c.code})
		if !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.code, err)
		}
	}
	if _, err := w.LogIn(t.Context(), Try{Name: ada, Password: "wrong", Code: w.code(t, begun.Secret)}); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	if err := try(strings.ToUpper(recovery[3])); err != nil {
		t.Error(err)
	}
	w.reopen(t)
	if err := try(recovery[3]); !errors.Is(err, ErrWrong) {
		t.Errorf("a recovery code is taken twice: %v", err)
	}

	if _, err := w.RenewRecovery(t.Context(), ada, Password{Old: "wrong"}); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	others, err := w.RenewRecovery(t.Context(), ada, Password{Old: secretOfAda})
	if err != nil || len(others) != 10 {
		t.Fatal(others, err)
	}
	w.reopen(t)
	if err := try(recovery[4]); !errors.Is(err, ErrWrong) {
		t.Errorf("a code of before is good still: %v", err)
	}
	if err := try(others[4]); err != nil {
		t.Error(err)
	}

	if _, err := w.DropTOTP(t.Context(), ada, Password{Old: "wrong"}); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	if _, err := w.DropTOTP(t.Context(), ada, Password{Old: secretOfAda}); err != nil || len(w.rows.secrets) != 0 {
		t.Error(err, w.rows.secrets)
	}
	if err := try(""); err != nil {
		t.Error(err)
	}
}

func TestMustTOTP(t *testing.T) {
	for require, want := range map[string][2]bool{"": {false, false}, RequireAdmin: {true, false}, RequireAll: {true, true}} {
		b := &Book{Around: Around{Config: Config{RequireTOTP: require}}}
		admin, plain := User{Admin: true, Source: SourceLocal}, User{Source: SourceLocal}
		if b.MustTOTP(&admin) != want[0] || b.MustTOTP(&plain) != want[1] || b.MustTOTP(&User{Admin: true, Source: SourceOIDC}) || b.MustTOTP(&User{Admin: true, TOTP: true, Source: SourceLocal}) {
			t.Errorf("%q", require)
		}
	}
}
