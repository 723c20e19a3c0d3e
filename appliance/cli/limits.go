package cli

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// limitsOf is how the limits of one kind are got and set.
type limitsOf struct {
	get   func(context.Context, *api.Client, string) (api.Limits, error)
	set   func(context.Context, *api.Client, string, api.LimitsSet) (api.Limits, error)
	clear func(context.Context, *api.Client, string) error
}

func (a *app) projectLimits() *cobra.Command {
	return a.limitsCommand("project", a.projectNames, limitsOf{
		func(ctx context.Context, c *api.Client, name string) (api.Limits, error) {
			return c.ProjectLimits(ctx, name)
		},
		func(ctx context.Context, c *api.Client, name string, in api.LimitsSet) (api.Limits, error) {
			return c.SetProjectLimits(ctx, name, in)
		},
		func(ctx context.Context, c *api.Client, name string) error { return c.ClearProjectLimits(ctx, name) },
	})
}

func (a *app) userLimits() *cobra.Command {
	return a.limitsCommand("user", a.userNames, limitsOf{
		func(ctx context.Context, c *api.Client, name string) (api.Limits, error) {
			return c.UserLimits(ctx, name)
		},
		func(ctx context.Context, c *api.Client, name string, in api.LimitsSet) (api.Limits, error) {
			return c.SetUserLimits(ctx, name, in)
		},
		func(ctx context.Context, c *api.Client, name string) error { return c.ClearUserLimits(ctx, name) },
	})
}

// boundFlags are the bounds that have a flag of their own; resources go by --set.
func boundFlags() []string {
	return []string{"sessions", "services", "routes", "storage", "tokens-per-minute", "requests-per-minute", "concurrent-requests", "token-budget", "budget-window"}
}

func (a *app) limitsCommand(kind string, names func(context.Context, *api.Client) []string, of limitsOf) *cobra.Command {
	var set map[string]string
	var clearAll bool
	cmd := &cobra.Command{
		Use: "limits NAME", Short: "Show what a " + kind + " may have and what of it is used, or change it", Args: words("NAME", 1, 1),
		Long: "Show what a " + kind + " may have at a time and what of it is used now; with a flag, change that bound and leave the others.\n" +
			"It holds at once: nothing that runs is ended, and no more is let in. The word none lifts what the settings say; an empty\n" +
			"word leaves the bound to them again.",
		Example:           "  palisade " + kind + " limits NAME --set cpu=8 --set mem=64g --services 5 --storage 1t --tokens-per-minute 100k",
		ValidArgsFunction: a.completeAt(0, names),
	}
	cmd.Flags().StringToStringVar(&set, "set", nil, "a resource and how much of it: cpu=8, mem=64g, cuda.device=2; several times")
	for _, flag := range boundFlags() {
		cmd.Flags().String(flag, "", "the bound "+strings.ReplaceAll(flag, "-", "_"))
	}
	cmd.Flags().BoolVar(&clearAll, "clear", false, "leave all to the settings again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		changes := maps.Clone(set)
		if changes == nil {
			changes = map[string]string{}
		}
		for _, flag := range boundFlags() {
			if f := cmd.Flags().Lookup(flag); f.Changed {
				changes[strings.ReplaceAll(flag, "-", "_")] = f.Value.String()
			}
		}
		if clearAll && len(changes) > 0 {
			return &usageError{message: "--clear and other bounds at once", hint: "clear first, then set"}
		}
		if clearAll {
			if err := of.clear(cmd.Context(), c, args[0]); err != nil {
				return err
			}
		}
		limits, err := of.get(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		if len(changes) > 0 {
			next := maps.Clone(limits.Set)
			if next == nil {
				next = map[string]string{}
			}
			for name, word := range changes {
				if next[name] = word; word == "" {
					delete(next, name)
				}
			}
			if limits, err = of.set(cmd.Context(), c, args[0], api.LimitsSet{Set: next}); err != nil {
				return err
			}
		}
		return a.showLimits(limits)
	}
	return cmd
}

func (a *app) showLimits(l api.Limits) error {
	t := newTable("BOUND", "USED", "LIMIT", "", "FROM")
	r := result{json: l, table: t}
	for _, b := range l.Bounds {
		bar := ""
		if b.Limit != "" {
			full := min(int(b.Part*10+0.5), 10)
			bar = fmt.Sprintf("%s%s %3.0f%%", strings.Repeat("#", full), strings.Repeat(".", 10-full), b.Part*100)
		}
		t.add(b.Name, orDash(b.Used), orDash(b.Limit), bar, orDash(boundFrom(b.From)))
		r.quiet = append(r.quiet, b.Name)
	}
	return a.show(r)
}

// boundFrom is who says a bound, for a table.
func boundFrom(from string) string {
	switch from {
	case "row":
		return "set"
	case "config":
		return "settings"
	case "default":
		return "settings, for all"
	}
	return from
}
