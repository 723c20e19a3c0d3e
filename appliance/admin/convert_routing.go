package admin

import (
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

func routingOut(r sessions.Routing) api.Routing {
	return api.Routing{
		Balance: &r.Balance, AffinityHeader: &r.AffinityHeader, AffinityCookie: &r.AffinityCookie,
		MaxInFlight: &r.MaxInFlight, MaxHeld: &r.MaxHeld, HoldTimeout: new(r.HoldTimeout.Seconds()),
		RepeatWindow: new(r.RepeatWindow.Seconds()), Capture: &r.Capture, Usage: &r.Usage,
	}
}

// routingIn lays what a request says over base; nil where it says nothing. What the values may be is the room's to say.
func routingIn(in *api.Routing, base sessions.Routing) (*sessions.Routing, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // nothing said is no mistake
	}
	if err := readSeconds(
		duration{"routing.hold_timeout", in.HoldTimeout, &base.HoldTimeout},
		duration{"routing.repeat_window", in.RepeatWindow, &base.RepeatWindow},
	); err != nil {
		return nil, err
	}
	lay(&base.Balance, in.Balance)
	lay(&base.AffinityHeader, in.AffinityHeader)
	lay(&base.AffinityCookie, in.AffinityCookie)
	lay(&base.MaxInFlight, in.MaxInFlight)
	lay(&base.MaxHeld, in.MaxHeld)
	lay(&base.Capture, in.Capture)
	lay(&base.Usage, in.Usage)
	// Said together with another policy they would do nothing, and nobody would find out.
	for _, name := range []struct {
		field string
		given *string
	}{{"routing.affinity_header", in.AffinityHeader}, {"routing.affinity_cookie", in.AffinityCookie}} {
		if name.given != nil && *name.given != "" && base.Balance != sessions.BalanceSessionAffinity {
			return nil, badField(name.field, "set balance to session_affinity too", "%q is not looked at where the balance is %s", *name.given, base.Balance)
		}
	}
	return &base, nil
}

// lay puts what a request says over what is there.
func lay[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
