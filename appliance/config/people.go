package config

import (
	"time"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/catalog"
)

// checkPeople looks at how users are let in.
func checkPeople(c people.Config) (ps catalog.Problems) {
	if c.SessionIdle < time.Minute {
		ps = append(ps, problem("people.session_idle", "is too short: when a log-in was seen is known to a minute", "like 12h"))
	}
	if c.SessionMax < c.SessionIdle {
		ps = append(ps, problem("people.session_max", "is less than people.session_idle", "like 720h"))
	}
	ps = append(ps, checkProviders(c.OIDC)...)
	if c.RequireTOTP != "" {
		ps = append(ps, oneOf("people.require_totp", c.RequireTOTP, people.RequireAdmin, people.RequireAll)...)
	}
	return ps
}
