package admin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// byCookie is the Via of who was let in by what a browser sends by itself.
const byCookie = "console"

// ownPage refuses what a page of another origin has a browser ask for with the cookie of who is logged in. Cookies know no
// ports, so that whatever else is served on this host, a session's app say, is given them to send; SameSite takes it for our
// own too. In this order:
//  1. a browser that says where a page is from is believed: no script can write Sec-Fetch-Site;
//  2. one that does not, because it is old or the connection is plain, says it by Origin where anything is changed and
//     where a line is opened;
//  3. without either it is our own console, which has looked at it, a program, or somebody who follows a link.
//
// ours is by which URL clients reach the appliance, where that is not what they call it: a proxy may stand between.
func ownPage(r *http.Request, ours string) error {
	refused := api.NewProblem(api.KindForbidden, http.StatusForbidden, "a page of another origin may not use who is logged in here")
	refused.Hint = "programs send an API key: Authorization: Bearer KEY"
	line := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	switch site := r.Header.Get("Sec-Fetch-Site"); { // 1
	case site == "same-origin":
		return nil
	case site == "none" && !line: // typed, or a bookmark
		return nil
	case site != "":
		return refused
	}
	origin := r.Header.Get("Origin") // 2
	switch {
	case origin != "" && !sameHost(origin, r.Host, ours):
		return refused
	case origin == "" && line: // browsers always say it there
		return refused
	}
	return nil // 3
}

// sameHost tells whether an origin is this appliance: as the client calls it, or as it is advertised.
func sameHost(origin, host, ours string) bool {
	from, err := url.Parse(origin)
	if err != nil || from.Host == "" {
		return false
	}
	known, err := url.Parse(ours)
	return strings.EqualFold(from.Host, host) || err == nil && strings.EqualFold(from.Scheme, known.Scheme) && strings.EqualFold(from.Host, known.Host)
}
