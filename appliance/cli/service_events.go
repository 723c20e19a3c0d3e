package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceEvents() *cobra.Command {
	var limit int
	var kind string
	var explain bool
	cmd := &cobra.Command{
		Use: "events SERVICE", Short: "List what happened to a service and why, oldest first",
		Long: "List what happened to a service and why, oldest first. Among it are the decisions of its autoscaling\n" +
			"(autoscaled): with --explain each comes with what every rule saw and wished, and which one won (*). Where\n" +
			"services wait for a place, it also says what it is worth to each of them, and who gives way (*) or why not.",
		Example: "  palisade service events my-model --kind autoscaled --explain",
		Args:    words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > api.MaxLimit {
				return &usageError{message: fmt.Sprintf("--limit %d: must be 1 to %d", limit, api.MaxLimit)}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			events, err := c.Events(cmd.Context(), args[0], kind, limit)
			if err != nil {
				return err
			}
			t := newTable("WHEN", "KIND", "SESSION", "MESSAGE")
			r := result{json: notNull(events), table: t}
			for _, e := range slices.Backward(events) {
				t.add(a.ago(e.At), e.Kind, orDash(e.SessionID), briefly(e.Message))
				r.quiet = append(r.quiet, e.Message)
			}
			if explain {
				r.table, r.text = nil, func() error { a.explainEvents(events); return nil }
			}
			return a.show(r)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "the newest so many")
	cmd.Flags().StringVar(&kind, "kind", "", "only those of this kind: autoscaled, scaled, healthy, ...")
	cmd.Flags().BoolVar(&explain, "explain", false, "with all that led to each decision of the autoscaling")
	_ = cmd.RegisterFlagCompletionFunc("kind", fixedWords("autoscaled", "created", "updated", "scaled", "waits", "yielded"))
	return cmd
}

// explainEvents prints events oldest first, a decision with the wishes that led to it.
func (a *app) explainEvents(events []api.Event) {
	for _, e := range slices.Backward(events) {
		fmt.Fprintf(a.out, "%s  %s  %s\n", a.ago(e.At), e.Kind, oneLine(briefly(e.Message)))
		if e.Decision != nil {
			fmt.Fprintf(a.out, "   seen: %s\n", seenText(&e.Decision.Seen))
		}
		if e.Decision != nil && len(e.Decision.Wishes) > 0 {
			t := newTable("", "RULE", "VALUE", "WISH", "WHY")
			for _, w := range e.Decision.Wishes {
				t.add(marked(w.Rule == e.Decision.Rule), wishName(w), figure(w.Value), wishWant(w), w.Why)
			}
			t.write(a.out)
		}
		if e.Decision != nil && e.Decision.Standoff != nil {
			a.explainStandoff(e.Decision.Standoff)
		}
	}
}

// seenText is "1 ready, 2 starting, 3 requests held, 0 to 4 routes allowed".
func seenText(s *api.Seen) string {
	out := []string{strconv.Itoa(s.Ready) + " ready"}
	for _, part := range []struct {
		n    int
		word string
	}{{s.Starting, "starting"}, {s.Unhealthy, "unhealthy"}, {s.Leaving, "leaving"}} {
		if part.n > 0 {
			out = append(out, strconv.Itoa(part.n)+" "+part.word)
		}
	}
	if s.Held > 0 {
		out = append(out, plural(s.Held, "request")+" held")
	}
	out = append(out, fmt.Sprintf("%d to %d routes allowed", s.MinReplicas, s.MaxReplicas))
	if s.LoadTime > 0 {
		out = append(out, secondsText(s.LoadTime)+" to load one")
	}
	if s.PoolFull != "" {
		out = append(out, "no place: "+oneLine(s.PoolFull))
	}
	return strings.Join(out, ", ")
}

// marked begins a row that belongs to the line above it; the one that won has a star.
func marked(won bool) string {
	if won {
		return "   *"
	}
	return "   "
}

// explainStandoff prints who was asked to give way, and why it does or does not.
func (a *app) explainStandoff(s *api.Standoff) {
	fmt.Fprintf(a.out, "   %s\n", oneLine(s.Reason))
	t := newTable("", "SERVICE", "WORTH", "GIVES WAY", "WHY")
	t.add(marked(false), s.Claimant, figure(&s.Value), "-", "wants a place")
	for _, v := range s.Losers {
		gives := "no"
		switch {
		case v.Service == s.Service:
			gives = plural(s.Routes, "route")
		case v.Yields:
			gives = "would" // another does
		}
		t.add(marked(v.Service == s.Service), v.Service, figure(&v.Value), gives, v.Why)
	}
	t.write(a.out)
}

// wishName is what a person calls whoever wishes.
func wishName(w api.Wish) string {
	if w.Name == "" {
		return w.Rule
	}
	return w.Name
}

// wishWant is how many routes are wished; "-" for nothing.
func wishWant(w api.Wish) string {
	if w.Silent {
		return "-"
	}
	return fmt.Sprint(w.Want)
}

// figure is a metric's value as people read it; "-" where it is missing.
func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}
