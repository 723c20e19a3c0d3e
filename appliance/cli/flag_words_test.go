package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestProblemsNameFlags(t *testing.T) {
	single := api.NewProblem(api.KindInvalid, 400, "limits.budget_window: %q is not a window", "daily")
	single.Hint = "one of hour, day"
	several := api.NewProblem(api.KindInvalid, 400, "the routing cannot be used")
	several.Errors = []api.FieldError{{Field: "routing.repeat_window", Message: "too long"}, {Field: "other", Message: "odd"}}
	flags := map[string]string{"limits.budget_window": "--budget-window", "routing.repeat_window": "--repeat-guard"}
	for _, c := range []struct {
		err  error
		want string
	}{
		{single, `--budget-window: "daily" is not a window`},
		{several, "the routing cannot be used\n  --repeat-guard: too long\n  other: odd"},
		{errors.New("limits.budget_window: from elsewhere"), "limits.budget_window: from elsewhere"},
	} {
		if got := inFlags(c.err, flags).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if several.Errors[0].Field != "routing.repeat_window" {
		t.Error("the problem itself was changed")
	}
	if p, ok := errors.AsType[*api.Problem](inFlags(fmt.Errorf("asking: %w", single), flags)); !ok || p.Hint != single.Hint {
		t.Error("the hint was lost")
	}
	if inFlags(nil, flags) != nil {
		t.Error("no error became one")
	}
}

func TestFlagsOfProblemsExist(t *testing.T) {
	root := (&app{}).rootCommand()
	for _, c := range []struct {
		path  []string
		flags map[string]string
	}{
		{[]string{"service", "update"}, flagsOfRouting()},
		{[]string{"service", "create"}, flagsOfRouting()},
		{[]string{"service", "generate-token"}, flagsOfLimits()},
		{[]string{"usage"}, flagsOfUsage("--since")},
	} {
		cmd, _, err := root.Find(c.path)
		if err != nil {
			t.Fatal(err)
		}
		for field, flag := range c.flags {
			if cmd.Flags().Lookup(flag[2:]) == nil {
				t.Errorf("%v has no flag %s for %s", c.path, flag, field)
			}
		}
	}
}
