package sessions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Routing is how a service's requests find their routes. A change counts at once, for requests that come from then
// on, and makes no new revision: nothing that runs is touched.
//
// A store that reads one begins with DefaultRouting: what an older version did not write keeps its default.
type Routing struct {
	Balance        string        `json:"balance"`         // one of Balances
	AffinityHeader string        `json:"affinity_header"` // session_affinity: the header that names the session; "" none
	AffinityCookie string        `json:"affinity_cookie"` // and the cookie, where there is no such header; "" none. Then the body's user
	MaxInFlight    int           `json:"max_in_flight"`   // requests on one route at once; 0: as many as come
	MaxHeld        int           `json:"max_held"`        // requests that wait for a route; 0: none does
	HoldTimeout    time.Duration `json:"hold_timeout"`    // that each waits at most; 0: none does
	RepeatWindow   time.Duration `json:"repeat_window"`   // an identical request of a token within it is answered from the first one's answer; 0: off
	Capture        int           `json:"capture"`         // the last so many requests are kept to be looked at; 0: off
	Usage          string        `json:"usage"`           // UsageAuto or UsageOff
}

// Balances: which route a request gets.
const (
	BalanceRoundRobin      = "round_robin"      // in turn, by weight
	BalanceLeastInFlight   = "least_in_flight"  // the one with least to do, by weight
	BalanceSessionAffinity = "session_affinity" // the one that the session had before
	BalancePrefix          = "prefix"           // the one that has most of the prompt in its cache
)

// Balances are the values of Routing.Balance.
func Balances() []string {
	return []string{BalanceRoundRobin, BalanceLeastInFlight, BalanceSessionAffinity, BalancePrefix}
}

// Whether engines are asked for the usage of streams.
const (
	UsageAuto = "auto" // where the client does not ask itself; what it did not ask for is not shown to it
	UsageOff  = "off"  // never: an engine that refuses to be asked. Tokens of streams are estimated then
)

// Bounds of Routing. Captures hold bodies in memory; a wait of more than an hour outlives every client.
const (
	maxInFlight   = 100_000
	maxHeld       = 100_000
	maxHold       = time.Hour
	maxRepeat     = time.Hour
	maxCapture    = 100
	maxFieldBytes = 128
)

// DefaultRouting is what a service gets where its owner says nothing.
func DefaultRouting() Routing {
	return Routing{Balance: BalanceRoundRobin, MaxHeld: 1000, HoldTimeout: 2 * time.Minute, Usage: UsageAuto}
}

// Held is how many requests may wait: none where they may wait for no time.
func (r Routing) Held() int {
	if r.HoldTimeout <= 0 {
		return 0
	}
	return r.MaxHeld
}

// Check reports all that is wrong with a routing: ErrInvalid, with catalog.Problems whose fields are those of the API.
func (r Routing) Check() error {
	var ps catalog.Problems
	wrong := func(field, hint, format string, args ...any) {
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: "routing." + field, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if !slices.Contains(Balances(), r.Balance) {
		wrong("balance", "it is one of "+strings.Join(Balances(), ", "), "no such policy %q", r.Balance)
	}
	for field, name := range map[string]string{"affinity_header": r.AffinityHeader, "affinity_cookie": r.AffinityCookie} {
		if name != "" && (!isToken(name) || len(name) > maxFieldBytes) {
			wrong(field, "letters, digits and -, such as X-Session-Id", "%q cannot be the name of one", name)
		}
	}
	for field, n := range map[string][2]int{
		"max_in_flight": {r.MaxInFlight, maxInFlight}, "max_held": {r.MaxHeld, maxHeld}, "capture": {r.Capture, maxCapture},
	} {
		if n[0] < 0 || n[0] > n[1] {
			wrong(field, "", "%d: a number from 0 to %d", n[0], n[1])
		}
	}
	for field, d := range map[string][2]time.Duration{"hold_timeout": {r.HoldTimeout, maxHold}, "repeat_window": {r.RepeatWindow, maxRepeat}} {
		if d[0] < 0 || d[0] > d[1] {
			wrong(field, "", "%v s (%v): from 0 to %v s (1h)", d[0].Seconds(), d[0], d[1].Seconds())
		}
	}
	if r.Usage != UsageAuto && r.Usage != UsageOff {
		wrong("usage", "it is auto or off", "no such way %q", r.Usage)
	}
	if len(ps) == 0 {
		return nil
	}
	slices.SortFunc(ps, func(a, b catalog.Problem) int { return strings.Compare(a.Field, b.Field) })
	return fmt.Errorf("%w: the routing cannot be used: %w", ErrInvalid, ps)
}

// isToken tells whether s may be the name of a header or a cookie (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}
