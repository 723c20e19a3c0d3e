package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// routingFlags are the flags that say how a service's requests find their routes.
type routingFlags struct {
	balance, header, cookie    string
	inFlight, held, capture    int
	holdTimeout, repeatsWithin time.Duration
	usage                      string
}

func (r *routingFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.balance, "balance", "round_robin", "which route a request gets: round_robin, least_in_flight, session_affinity, or prefix (the one that has most of the prompt cached)")
	f.StringVar(&r.header, "affinity-header", "", "with session_affinity: the header that names the session; without it, or the cookie, the body's user does")
	f.StringVar(&r.cookie, "affinity-cookie", "", "with session_affinity: the cookie that names the session, where there is no such header")
	f.IntVar(&r.inFlight, "max-in-flight", 0, "requests on one route at once, others wait; 0: no limit")
	f.IntVar(&r.held, "max-held", 1000, "requests that wait while no route is free; 0: none does, 503 at once")
	f.Var(newDuration(&r.holdTimeout, 2*time.Minute), "hold-timeout", "how long a request waits at most while no route is free, up to 1h")
	f.Var(newDuration(&r.repeatsWithin, 0), "repeat-guard", "an identical request of a token within this time is answered from the first one's answer, up to 1h; 0: never")
	f.IntVar(&r.capture, "capture", 0, "keep the last so many requests, with their answers, to be looked at (at most 100); 0: none")
	f.StringVar(&r.usage, "stream-usage", "auto", "tokens of streams: auto asks engines for them, off estimates them")
	_ = cmd.RegisterFlagCompletionFunc("balance", fixedWords("round_robin", "least_in_flight", "session_affinity", "prefix"))
	_ = cmd.RegisterFlagCompletionFunc("stream-usage", fixedWords("auto", "off"))
}

// routing returns what the flags say; nil when they say nothing.
func (r *routingFlags) routing(cmd *cobra.Command) *api.Routing {
	given := cmd.Flags().Changed
	out := api.Routing{
		Balance:        ifGiven(given("balance"), r.balance),
		AffinityHeader: ifGiven(given("affinity-header"), r.header),
		AffinityCookie: ifGiven(given("affinity-cookie"), r.cookie),
		MaxInFlight:    ifGiven(given("max-in-flight"), r.inFlight),
		MaxHeld:        ifGiven(given("max-held"), r.held),
		HoldTimeout:    ifGiven(given("hold-timeout"), r.holdTimeout.Seconds()),
		RepeatWindow:   ifGiven(given("repeat-guard"), r.repeatsWithin.Seconds()),
		Capture:        ifGiven(given("capture"), r.capture),
		Usage:          ifGiven(given("stream-usage"), r.usage),
	}
	if out == (api.Routing{}) {
		return nil
	}
	return &out
}

// routingFields says a service's routing, a line for each thing that is on. A field that an older appliance does not
// have is as good as none.
func routingFields(r api.Routing) [][2]string {
	balance := value(r.Balance)
	if balance == "session_affinity" {
		balance += " by " + strings.Join(affinityWords(r), ", else ")
	}
	if n := value(r.MaxInFlight); n > 0 {
		balance += fmt.Sprintf(", at most %d in flight on a route", n)
	}
	out := [][2]string{{"balance", balance}}
	switch most, wait := value(r.MaxHeld), value(r.HoldTimeout); {
	case r.MaxHeld == nil:
	case most > 0 && wait > 0:
		out = append(out, [2]string{"held", fmt.Sprintf("up to %s where no route is free, for %s at most", plural(most, "request"), secondsText(wait))})
	default:
		out = append(out, [2]string{"held", "nothing: 503 at once where no route is free"})
	}
	if wait := value(r.RepeatWindow); wait > 0 {
		out = append(out, [2]string{"repeat guard", "identical requests of a token within " + secondsText(wait)})
	}
	if n := value(r.Capture); n > 0 {
		out = append(out, [2]string{"captured", "the last " + plural(n, "request")})
	}
	if value(r.Usage) == "off" {
		out = append(out, [2]string{"stream usage", "estimated"})
	}
	return out
}

// affinityWords are what names a session, the first that a request has counts.
func affinityWords(r api.Routing) []string {
	var words []string
	if name := value(r.AffinityHeader); name != "" {
		words = append(words, "header "+name)
	}
	if name := value(r.AffinityCookie); name != "" {
		words = append(words, "cookie "+name)
	}
	return append(words, "the body's user")
}

// secondsText says a duration of the API as people write it: 1.5s, 2m, 1h30m.
func secondsText(n float64) string {
	text := time.Duration(n * float64(time.Second)).Round(time.Millisecond).String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, none) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
