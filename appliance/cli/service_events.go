package cli

import (
	"fmt"
	"slices"

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
			"(autoscaled): with --explain each comes with what every rule saw and wished, and which one won (*).",
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
	_ = cmd.RegisterFlagCompletionFunc("kind", fixedWords("autoscaled", "created", "updated", "scaled"))
	return cmd
}

// explainEvents prints events oldest first, a decision with the wishes that led to it.
func (a *app) explainEvents(events []api.Event) {
	for _, e := range slices.Backward(events) {
		fmt.Fprintf(a.out, "%s  %s  %s\n", a.ago(e.At), e.Kind, oneLine(briefly(e.Message)))
		if e.Decision == nil {
			continue
		}
		a.explainStandoff(e.Decision.Standoff)
		if len(e.Decision.Wishes) == 0 {
			continue
		}
		t := newTable("", "RULE", "VALUE", "WISH", "WHY")
		for _, w := range e.Decision.Wishes {
			won := ""
			if w.Rule == e.Decision.Rule {
				won = "*"
			}
			t.add("   "+won, wishName(w), figure(w.Value), wishWant(w), w.Why)
		}
		t.write(a.out)
	}
}

// explainStandoff prints who was asked for a place, and what came of it.
func (a *app) explainStandoff(s *api.Standoff) {
	if s == nil {
		return
	}
	fmt.Fprintf(a.out, "    %s\n", oneLine(s.Reason))
	t := newTable("", "SERVICE", "WORTH", "WHY")
	for _, v := range s.Losers {
		gave := ""
		if v.Service == s.Service {
			gave = "*"
		}
		t.add("   "+gave, v.Service, figure(&v.Value), v.Why)
	}
	if len(s.Losers) > 0 {
		t.write(a.out)
	}
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
