package console

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// proofRaws are the pages of what proves somebody. They work without scripts: who has to do one of them first gets to nothing
// else.
func proofRaws() []Raw {
	return []Raw{
		{Pattern: "GET " + passwordPath, Serve: passwordPage},
		{Pattern: "POST " + passwordPath, Serve: changePassword},
		{Pattern: "GET " + factorPath, Serve: factorPage},
		{Pattern: "POST " + factorPath, Serve: setUpFactor},
		{Pattern: "GET " + recoveryPath, Serve: recoveryPage},
		{Pattern: "POST " + recoveryPath, Serve: renewRecovery},
	}
}

// proofForm is what the two pages show.
type proofForm struct {
	Next     string
	First    bool // it comes before everything else
	Problem  *api.Problem
	Asks     bool         // for the password, before anything of a second factor is shown
	Renew    bool         // it is about new recovery codes
	Setup    api.TOTP     // what an authenticator is given; its secret is "" where that was shown before
	Picture  template.URL // the same as a QR code
	Recovery []string     // shown this once
}

// Wrong is what is wrong with a field; "" nothing.
func (f proofForm) Wrong(field string) string {
	if f.Problem != nil {
		for _, e := range f.Problem.Errors {
			if e.Field == field {
				return strings.TrimSpace(e.Message + " " + e.Hint)
			}
		}
	}
	return ""
}

// Marked says whether what is wrong stands beside a field.
func (f proofForm) Marked() bool {
	return f.Wrong("password") != "" || f.Wrong("new_password") != "" || f.Wrong("again") != "" || f.Wrong("code") != ""
}

// own returns the form for who has a password here; others have nothing to do on these pages.
func (v *View) own(next string) (proofForm, error) {
	if v.Me.Session == "" || v.Me.Source != "local" {
		p := api.NewProblem(api.KindState, http.StatusConflict, "%s", v.Say("profile.not_here"))
		p.Hint = v.Say("profile.not_here_hint")
		return proofForm{}, p
	}
	return proofForm{Next: localPath(next), First: first(v.Me) != ""}, nil
}

func (v *View) showProof(w http.ResponseWriter, name string, status int, f proofForm) {
	v.console.show(w, v, Page{Name: name, Still: true, Alone: true}, status, f)
}

// refused shows what is wrong on the page itself. Who is nobody any more logs in.
func (v *View) refused(w http.ResponseWriter, name string, f proofForm, err error) error {
	p := problemOf(err)
	if p.Status == http.StatusUnauthorized || p.Status >= http.StatusInternalServerError {
		return err
	}
	f.Problem = withField(p)
	v.showProof(w, name, p.Status, f)
	return nil
}

func passwordPage(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Parameter("next"))
	if err == nil {
		v.showProof(w, "password", http.StatusOK, f)
	}
	return err
}

func changePassword(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Field("next"))
	if err != nil {
		return err
	}
	in := api.PasswordChange{Password: v.Field("password"), NewPassword: v.Field("new_password")}
	if v.Field("again") != in.NewPassword {
		return v.refused(w, "password", f, fieldProblem("again", v.Say("profile.not_the_same")))
	}
	cookies, err := v.API.ChangePassword(v.Context(), in)
	if p, is := errors.AsType[*api.Problem](err); is && p.Kind() == api.KindInvalid && len(withField(p).Errors) == 0 { // of the rules for new ones
		err = &api.Problem{Type: p.Type, Status: p.Status, Detail: p.Detail, Errors: []api.FieldError{{Field: "new_password", Message: p.Detail, Hint: p.Hint}}}
	}
	if err != nil {
		return v.refused(w, "password", f, err)
	}
	setCookies(w, cookies)
	http.Redirect(w, v.Request, f.Next, http.StatusSeeOther)
	return nil
}

// recoveryPath is the page that draws new recovery codes.
const recoveryPath = "/recovery-codes"

// factorPage asks for the password, for who would set a second factor up.
func factorPage(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Parameter("next"))
	if err != nil {
		return err
	}
	if v.Me.TOTP {
		http.Redirect(w, v.Request, Prefix+"/profile", http.StatusSeeOther)
		return nil
	}
	f.Asks = true
	v.showProof(w, "second-factor", http.StatusOK, f)
	return nil
}

// setUpFactor gives an authenticator a secret, a new one each time: what was shown before is good no more. With a code it turns
// the second factor on, and shows the codes for the day when it is lost: this once.
func setUpFactor(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Field("next"))
	if err != nil {
		return err
	}
	if password := v.Field("password"); password != "" {
		return v.beginFactor(w, f, password)
	}
	code := strings.TrimSpace(v.Field("code"))
	if code == "" {
		return v.refused(w, "second-factor", f, fieldProblem("code", v.Say("login.code_empty")))
	}
	made, cookies, err := v.API.SetUpTOTP(v.Context(), api.TOTPStart{Code: code})
	if err != nil {
		return v.refused(w, "second-factor", f, err)
	}
	setCookies(w, cookies)
	f.Recovery = made.RecoveryCodes
	v.showProof(w, "second-factor", http.StatusOK, f)
	return nil
}

func (v *View) beginFactor(w http.ResponseWriter, f proofForm, password string) error {
	setup, _, err := v.API.SetUpTOTP(v.Context(), api.TOTPStart{Password: password})
	if err != nil {
		f.Asks = true
		return v.refused(w, "second-factor", f, err)
	}
	f.Setup = setup
	// A picture that is loaded as one runs nothing, whatever is in it.
	f.Picture = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(setup.Picture))) //nolint:gosec // base64
	v.showProof(w, "second-factor", http.StatusOK, f)
	return nil
}

func recoveryPage(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Parameter("next"))
	if err != nil {
		return err
	}
	if !v.Me.TOTP {
		http.Redirect(w, v.Request, Prefix+"/profile", http.StatusSeeOther)
		return nil
	}
	f.Asks, f.Renew = true, true
	v.showProof(w, "second-factor", http.StatusOK, f)
	return nil
}

// renewRecovery draws new recovery codes, and shows them this once.
func renewRecovery(v *View, w http.ResponseWriter) error {
	f, err := v.own(v.Field("next"))
	if err != nil {
		return err
	}
	f.Renew = true
	made, err := v.API.RenewRecoveryCodes(v.Context(), api.RecoveryRenewal{Password: v.Field("password")})
	if err != nil {
		f.Asks = true
		return v.refused(w, "second-factor", f, err)
	}
	f.Recovery = made.RecoveryCodes
	v.showProof(w, "second-factor", http.StatusOK, f)
	return nil
}

// setCookies hands on those that the API sets.
func setCookies(w http.ResponseWriter, all []*http.Cookie) {
	for _, k := range all {
		http.SetCookie(w, k)
	}
}
