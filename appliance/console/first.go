package console

import (
	"net/http"
	"net/url"

	"github.com/palisade-run/palisade/appliance/api"
)

// Pages that come before all others for who has something to do first.
const (
	passwordPath = "/password"
	factorPath   = "/second-factor"
)

// first is the page that somebody who is logged in has to be done with before they get to any other; "" where there is none.
// Keys and the socket have no password to change.
func first(me api.Me) string {
	switch {
	case me.Session == "":
		return ""
	case me.MustChange:
		return passwordPath
	case me.MustTOTP:
		return factorPath
	}
	return ""
}

// detained sends whoever has something to do first there, and reports whether it did.
func detained(w http.ResponseWriter, r *http.Request, me api.Me) bool {
	to := first(me)
	if to == "" || r.URL.Path == Prefix+to {
		return false
	}
	to = Prefix + to
	if r.Method == http.MethodGet && r.Header.Get("HX-Request") == "" {
		next := r.URL.RequestURI()
		if r.URL.Path == Prefix+passwordPath || r.URL.Path == Prefix+factorPath {
			next = r.URL.Query().Get("next")
		}
		to += "?" + url.Values{"next": {localPath(next)}}.Encode()
	}
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true
}
