package console

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/static"
)

// settingsData is the box as its owner has set it, and how it is.
type settingsData struct {
	Doctor   api.Doctor
	Failed   int
	Warnings int
	Settings []settingsGroup
	Changed  int // that are not as by default
	Runtimes []api.Runtime
	Secrets  []api.Secret
}

// settingsGroup is a section of the settings file.
type settingsGroup struct {
	Name string
	Rows []api.Setting
}

func settingsPages() []Page {
	return []Page{
		{Pattern: "/settings", Name: "settings/settings", Section: "settings", Data: settingsPage},
		{Pattern: "/updates", Name: "settings/updates", Section: "settings", Data: updatesPage},
		{Pattern: "/about", Name: "settings/about", Section: "about", Data: aboutPage, Still: true},
	}
}

func settingsActions() []Action {
	return []Action{
		{Pattern: "/settings/secrets", Do: func(v *View) (Outcome, error) {
			kept, err := v.API.SetSecret(v.Context(), v.Field("name"), api.SecretValue{Value: v.Field("value")})
			return Outcome{Toast: v.Say("settings.secret_kept", kept.Name)}, err
		}},
		{Pattern: "/settings/secrets/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("settings.secret_removed", v.PathValue("name"))}, v.API.DeleteSecret(v.Context(), v.PathValue("name"))
		}},
		{Pattern: "/settings/look", Do: func(v *View) (Outcome, error) {
			_, err := v.API.Doctor(v.Context())
			return Outcome{Toast: v.Say("settings.looked")}, err
		}},
		{Pattern: "/updates/restart", Do: func(v *View) (Outcome, error) {
			done, err := v.API.Restart(v.Context())
			return Outcome{To: "/updates?restarted=" + fmt.Sprintf("%.2f", done.Took)}, err
		}},
	}
}

func settingsRaws() []Raw {
	return []Raw{{Pattern: "GET /support-bundle", Serve: func(v *View, w http.ResponseWriter) error {
		name := "palisade-support-" + v.console.Now().UTC().Format("20060102-150405") + ".tar.gz"
		to := &lateHead{w: w, name: name}
		_, err := v.API.SupportBundle(v.Context(), to)
		if to.begun {
			return nil // what is wrong now is seen by its end
		}
		return err
	}}}
}

// lateHead says that a file comes once its first bytes are there: until then a refusal can be a page.
type lateHead struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (l *lateHead) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/gzip")
		l.w.Header().Set("Content-Disposition", `attachment; filename="`+l.name+`"`)
	}
	return l.w.Write(p)
}

func settingsPage(v *View) (any, error) {
	var out settingsData
	var all []api.Setting
	ctx := v.Context()
	err := sideBySide(
		func() (err error) { out.Doctor, err = v.API.DoctorWithin(ctx, doctorAge); return err },
		func() (err error) { all, err = v.API.Settings(ctx); return err },
		func() (err error) { out.Runtimes, err = v.API.Runtimes(ctx); return err },
		func() (err error) { out.Secrets, err = v.API.Secrets(ctx); return err },
	)
	for _, c := range out.Doctor.Checks {
		switch c.Status {
		case api.CheckFailed:
			out.Failed++
		case api.CheckWarning:
			out.Warnings++
		}
	}
	out.Settings, out.Changed = grouped(all)
	return out, err
}

// grouped puts settings into the sections of their file: those above all sections into the first, without a name. It also
// counts those that somebody has set.
func grouped(all []api.Setting) (groups []settingsGroup, changed int) {
	at := map[string]int{}
	for _, s := range all {
		section, _, found := strings.Cut(s.Name, ".")
		if !found {
			section = ""
		}
		i, ok := at[section]
		if !ok {
			i = len(groups)
			at[section] = i
			groups = append(groups, settingsGroup{Name: section})
		}
		groups[i].Rows = append(groups[i].Rows, s)
		if s.From != api.SettingDefault {
			changed++
		}
	}
	return groups, changed
}

// updatesData is which program runs, and how another comes in its place.
type updatesData struct {
	Version   api.Version
	Restarted string // seconds that the last restart from here took; "" none
}

func updatesPage(v *View) (any, error) {
	if !v.Me.Admin { // the address can be typed by anybody; what is behind its buttons is an administrator's
		return nil, api.NewProblem(api.KindForbidden, http.StatusForbidden, "%s", v.Say("settings.admins_only"))
	}
	version, err := v.API.Version(v.Context())
	out := updatesData{Version: version}
	if seconds := v.Parameter("restarted"); len(seconds) < 10 && strings.Trim(seconds, "0123456789.") == "" {
		out.Restarted = seconds
	}
	return out, err
}

// aboutData is what the appliance is made of.
type aboutData struct {
	api.About
	Licenses []licenseCount
	Files    []static.Vendored
}

// licenseCount is how many modules have a licence.
type licenseCount struct {
	Name string
	N    int
}

func aboutPage(v *View) (any, error) {
	about, err := v.API.About(v.Context())
	out := aboutData{About: about, Files: static.Others()}
	at := map[string]int{}
	for _, m := range about.Modules {
		i, ok := at[m.License]
		if !ok {
			i = len(out.Licenses)
			at[m.License] = i
			out.Licenses = append(out.Licenses, licenseCount{Name: m.License})
		}
		out.Licenses[i].N++
	}
	return out, err
}
