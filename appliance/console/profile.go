package console

import (
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

func profilePages() []Page {
	return []Page{{Pattern: "/profile", Name: "profile", Section: "profile", Data: profileData, Personal: true}}
}

func profileActions() []Action {
	return []Action{
		{Pattern: "/profile/sessions/end-others", Do: endOthers},
		{Pattern: "/profile/sessions/{id}/end", Do: endOwn},
		{Pattern: "/profile/second-factor/off", Do: dropFactor},
		{Pattern: "/profile/ssh-keys", Do: addSSHKey},
		{Pattern: "/profile/ssh-keys/{id}/remove", Do: removeSSHKey},
	}
}

// browser is a log-in session as it is shown.
type browser struct {
	api.LogInSession
	Program, System string
	Icon            string
}

func browsersOf(all []api.LogInSession) []browser {
	out := make([]browser, 0, len(all))
	for _, s := range all {
		b := browser{LogInSession: s, Icon: "device-desktop"}
		var phone bool
		if b.Program, b.System, phone = ui.Browser(s.Agent); phone {
			b.Icon = "device-mobile"
		}
		out = append(out, b)
	}
	return out
}

// profile is what one's own page shows.
type profile struct {
	Browsers []browser // empty for keys and the socket
	SSHKeys  []api.SSHKey
	Keys     []api.Key
	SSH      api.SSH
	Limits   limitsOnPage
	Local    bool   // has a password here
	Enter    string // how sessions are entered by SSH; "" where they are not
}

func profileData(v *View) (any, error) {
	out := profile{Local: v.Me.Session != "" && v.Me.Source == "local"}
	var wait sync.WaitGroup
	var browsers []api.LogInSession
	var failed [5]error
	if v.Me.Session != "" {
		wait.Go(func() { browsers, failed[0] = v.API.OwnSessions(v.Context()) })
		wait.Go(func() {
			var limits api.Limits
			limits, failed[4] = v.API.MyLimits(v.Context())
			out.Limits = limitsOf(v, limits, "") // an administrator sets them
		})
	}
	wait.Go(func() { out.SSHKeys, failed[1] = v.API.SSHKeys(v.Context()) })
	wait.Go(func() { out.Keys, failed[2] = v.API.Keys(v.Context()) })
	wait.Go(func() { out.SSH, failed[3] = v.API.SSH(v.Context()) })
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	out.Browsers, out.Enter = browsersOf(browsers), sshCommand(v.Host, out.SSH.Listen)
	out.SSHKeys = slices.DeleteFunc(out.SSHKeys, func(k api.SSHKey) bool { return k.Owner != v.Me.Name })
	out.Keys = slices.DeleteFunc(out.Keys, func(k api.Key) bool { return k.Owner != v.Me.Name })
	return out, nil
}

// sshCommand is how sessions are entered by SSH, of the host by which the page was asked for and what is listened on.
func sshCommand(host, listen string) string {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return "ssh SESSION@" + strings.Trim(host, "[]") + " -p " + port
}

func endOthers(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("profile.ended_others")}, v.API.EndOtherSessions(v.Context())
}

func endOwn(v *View) (Outcome, error) {
	err := v.API.EndOwnSession(v.Context(), v.PathValue("id"))
	if v.PathValue("id") == v.Me.Session {
		return Outcome{To: "/login"}, err
	}
	return Outcome{Toast: v.Say("profile.ended")}, err
}

func dropFactor(v *View) (Outcome, error) {
	cookies, err := v.API.DropTOTP(v.Context(), api.TOTPDrop{Password: v.Field("password")})
	return Outcome{To: "/profile", Cookies: cookies}, err
}

func addSSHKey(v *View) (Outcome, error) {
	_, err := v.API.AddSSHKey(v.Context(), api.SSHKeyCreate{Key: strings.TrimSpace(v.Field("key")), Name: strings.TrimSpace(v.Field("name")), AllProjects: v.Field("all_projects") == "true" || len(v.Me.Projects) == 0})
	return Outcome{Toast: v.Say("profile.key_added")}, err
}

func removeSSHKey(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("profile.key_removed")}, v.API.RemoveSSHKey(v.Context(), v.PathValue("id"))
}
