package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceRule() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use: "rule", Aliases: []string{"rules"}, Short: "Reasons for a service to have more or fewer routes: steps, targets, schedules",
	})
	cmd.AddCommand(a.ruleCreate(), a.ruleList(), a.ruleUpdate(), a.ruleRemove(), a.ruleMetrics())
	return cmd
}

// ruleFlags are a rule's fields, each a flag of its name.
type ruleFlags struct {
	name, kind, metric, source, metricName, comparator string
	threshold, minThreshold, maxThreshold              float64
	step, least, most                                  int
	cooldown                                           time.Duration
	target                                             goal
	panicAt                                            float64
	stable, panics                                     time.Duration
	start, end, zone                                   string
}

func (r *ruleFlags) add(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.name, "name", "", "what people call it")
	f.StringVar(&r.kind, "kind", "", "step, target or schedule (default: what the other flags mean)")
	f.StringVar(&r.metric, "metric", "", "what it looks at, as SOURCE:NAME: router:concurrency; short for the next two")
	f.StringVar(&r.source, "metric-source", "", "router, inference_framework, kernel or prometheus")
	f.StringVar(&r.metricName, "metric-name", "", "the metric, as its source calls it; of prometheus: the query")
	f.StringVar(&r.comparator, "comparator", "", "step: where of --threshold it fires: less_than (<), less_than_or_equal (<=), greater_than (>), greater_than_or_equal (>=)")
	f.Float64Var(&r.threshold, "threshold", 0, "step: of one route on average")
	f.Float64Var(&r.minThreshold, "min-threshold", 0, "step, without --comparator: below it --step-size fewer")
	f.Float64Var(&r.maxThreshold, "max-threshold", 0, "step, without --comparator: above it --step-size more")
	f.IntVar(&r.step, "step-size", 0, "step: how many routes; with --comparator, negative for fewer (default 1, or -1 for less_than)")
	f.Var(newDuration(&r.cooldown, 0), "cooldown-seconds", "step: how long it rests after it fired and what it asked for is ready: 300, 5m (default 5m)")
	f.Var(&r.target, "target", "target: what each route is to have on average, or auto: as many requests at once as palisade calibrate found")
	f.Var(newDuration(&r.stable, 0), "stable-window", "target: what it averages over (default 1m)")
	f.Var(newDuration(&r.panics, 0), "panic-window", "target: in which it sees a burst (default 6s)")
	f.Float64Var(&r.panicAt, "panic-at", 0, "target: a burst is so many times what the ready routes are to carry (default 2)")
	f.StringVar(&r.start, "start", "", "schedule: when its window opens, in cron's five fields: '0 8 * * 1-5'")
	f.StringVar(&r.end, "end", "", "schedule: when it closes")
	f.StringVar(&r.zone, "timezone", "", "schedule: of which they are: Asia/Seoul (default UTC)")
	f.IntVar(&r.least, "min-replicas", 0, "fewest routes that it wishes; of a schedule, that the service has then")
	f.IntVar(&r.most, "max-replicas", 0, "most")
	_ = cmd.RegisterFlagCompletionFunc("kind", fixedWords("step", "target", "schedule"))
	_ = cmd.RegisterFlagCompletionFunc("target", fixedWords("auto"))
	_ = cmd.RegisterFlagCompletionFunc("metric-source", fixedWords(sources()...))
	_ = cmd.RegisterFlagCompletionFunc("comparator", fixedWords(slices.Sorted(maps.Values(comparators()))...))
	_ = cmd.RegisterFlagCompletionFunc("metric", a.completeMetrics(""))
}

// rule is what the flags say.
func (r *ruleFlags) rule(cmd *cobra.Command, c *api.Client) (api.Rule, error) {
	given := cmd.Flags().Changed
	if word, ok := comparators()[r.comparator]; ok {
		r.comparator = word
	}
	out := api.Rule{
		Name: ifGiven(given("name"), r.name), Kind: ifGiven(given("kind"), r.kind),
		MetricSource: ifGiven(given("metric-source"), r.source), MetricName: ifGiven(given("metric-name"), r.metricName),
		Comparator: ifGiven(given("comparator"), r.comparator), Threshold: ifGiven(given("threshold"), r.threshold),
		MinThreshold: ifGiven(given("min-threshold"), r.minThreshold), MaxThreshold: ifGiven(given("max-threshold"), r.maxThreshold),
		StepSize: ifGiven(given("step-size"), r.step), Cooldown: ifGiven(given("cooldown-seconds"), r.cooldown.Seconds()),
		Target: ifGiven(given("target") && !r.target.auto, r.target.value), TargetAuto: ifGiven(r.target.auto, true), PanicAt: ifGiven(given("panic-at"), r.panicAt),
		StableWindow: ifGiven(given("stable-window"), r.stable.Seconds()), PanicWindow: ifGiven(given("panic-window"), r.panics.Seconds()),
		Start: ifGiven(given("start"), r.start), End: ifGiven(given("end"), r.end), Timezone: ifGiven(given("timezone"), r.zone),
		MinReplicas: ifGiven(given("min-replicas"), r.least), MaxReplicas: ifGiven(given("max-replicas"), r.most),
	}
	if !given("metric") {
		return out, nil
	}
	if out.MetricSource != nil || out.MetricName != nil {
		return out, &usageError{message: "--metric is short for --metric-source and --metric-name: they do not go with it"}
	}
	source, name, err := metricOf(cmd.Context(), c, "--metric", r.metric)
	out.MetricSource, out.MetricName = &source, &name
	return out, err
}

// fieldOf is what the API calls a flag of a rule.
func fieldOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// inRuleFlags gives err in the words of the flags.
func inRuleFlags(err error) error {
	flags := map[string]string{"target_auto": "--target"}
	for _, flag := range ruleFields() {
		flags[fieldOf(flag)] = "--" + flag
	}
	return inFlags(err, flags)
}

// ruleFields are the flags that are fields of a rule.
func ruleFields() []string {
	return []string{
		"name", "kind", "metric-source", "metric-name", "comparator", "threshold", "min-threshold", "max-threshold", "step-size", "cooldown-seconds",
		"target", "stable-window", "panic-window", "panic-at", "start", "end", "timezone", "min-replicas", "max-replicas",
	}
}

func (a *app) ruleCreate() *cobra.Command {
	var f ruleFlags
	cmd := &cobra.Command{
		Use: "create SERVICE", Short: "Add a rule; several rules: the highest wish wins",
		Example: "  palisade service rule create my-model --metric router:concurrency --target 8\n" +
			"  palisade service rule create my-model --metric-source inference_framework --metric-name vllm:num_requests_waiting \\\n" +
			"      --comparator greater_than --threshold 5 --step-size 1 --cooldown-seconds 120 --max-replicas 4\n" +
			"  palisade service rule create my-model --start '0 8 * * 1-5' --end '0 19 * * 1-5' --timezone Asia/Seoul --min-replicas 2",
		Args: words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := f.rule(cmd, c)
			if err != nil {
				return err
			}
			if in == (api.Rule{}) {
				return &usageError{message: "a rule of nothing", hint: "for example: --metric router:concurrency --target 8; see: " + cmd.CommandPath() + " --help"}
			}
			rule, err := c.CreateRule(cmd.Context(), args[0], in)
			if err != nil {
				return inRuleFlags(err)
			}
			return a.showRule(rule)
		},
	}
	f.add(a, cmd)
	return cmd
}

func (a *app) ruleUpdate() *cobra.Command {
	var f ruleFlags
	var unset []string
	cmd := &cobra.Command{
		Use: "update SERVICE RULE", Short: "Change a rule, named by its id or name; what no flag names stays",
		Example: "  palisade service rule update my-model rul-abcdefghijkl --threshold 8\n" +
			"  palisade service rule update my-model nights --unset max-replicas",
		Args: words("SERVICE RULE", 2, 2), ValidArgsFunction: a.completeRules,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := f.rule(cmd, c)
			if err != nil {
				return err
			}
			var gone []string
			for _, word := range unset {
				flag := strings.ReplaceAll(strings.TrimLeft(word, "-"), "_", "-")
				if !slices.Contains(ruleFields(), flag) {
					return &usageError{message: fmt.Sprintf("--unset %s: a rule has no such field", word), hint: didYouMean(flag, ruleFields())}
				}
				gone = append(gone, fieldOf(flag))
			}
			if in == (api.Rule{}) && len(gone) == 0 {
				return &usageError{message: "nothing to change", hint: "name what to change, for example: --threshold 8; see: " + cmd.CommandPath() + " --help"}
			}
			rule, err := c.UpdateRule(cmd.Context(), args[0], args[1], in, gone...)
			if err != nil {
				return inRuleFlags(err)
			}
			return a.showRule(rule)
		},
	}
	f.add(a, cmd)
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "take a field away: max-replicas, comparator, ... (repeatable)")
	_ = cmd.RegisterFlagCompletionFunc("unset", fixedWords(ruleFields()...))
	return cmd
}

func (a *app) ruleList() *cobra.Command {
	return &cobra.Command{
		Use: "list SERVICE", Aliases: []string{"ls"}, Short: "List a service's rules", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			rules, err := c.Rules(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			t := newTable("RULE", "NAME", "KIND", "WANTS", "FIRED")
			r := result{json: notNull(rules), table: t}
			for _, rule := range rules {
				r.quiet = append(r.quiet, value(rule.ID))
				t.add(value(rule.ID), orDash(value(rule.Name)), value(rule.Kind), ruleText(rule), a.agoPtr(rule.LastTriggeredAt))
			}
			if len(rules) == 0 && a.output != "json" {
				a.notef("no rules; add one with: palisade service rule create %s --metric router:concurrency --target 8", args[0])
				return nil
			}
			return a.show(r)
		},
	}
}

func (a *app) ruleRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm SERVICE RULE...", Aliases: []string{"remove", "delete"}, Short: "Take rules away", Args: words("SERVICE RULE", 2, -1),
		ValidArgsFunction: a.completeRules,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args[1:], func(rule string) error { return c.RemoveRule(cmd.Context(), args[0], rule) })
		},
	}
}

func (a *app) ruleMetrics() *cobra.Command {
	return &cobra.Command{
		Use: "metrics", Short: "List what rules can look at by name; engines have metrics of their own besides", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			metrics, err := c.Metrics(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("METRIC", "UNIT", "DESCRIPTION")
			r := result{json: notNull(metrics), table: t}
			for _, m := range metrics {
				name := m.MetricSource + ":" + m.MetricName
				r.quiet = append(r.quiet, name)
				t.add(name, m.Unit, m.Description)
			}
			return a.show(r)
		},
	}
}

// showRule prints what a change made: the id with -q.
func (a *app) showRule(r api.Rule) error {
	return a.show(result{quiet: []string{value(r.ID)}, json: r, text: func() error {
		a.fields([][2]string{
			{"rule", value(r.ID)}, {"name", value(r.Name)}, {"kind", value(r.Kind)}, {"wants", ruleText(r)}, {"rests", ruleTimes(r)},
		}...)
		return nil
	}})
}

// ruleTimes says the times that a rule keeps to.
func ruleTimes(r api.Rule) string {
	switch value(r.Kind) {
	case "step":
		return secondsText(value(r.Cooldown)) + " after it fired and what it asked for is ready"
	case "target":
		return fmt.Sprintf("never: averages over %s, panics at %s times within %s", secondsText(value(r.StableWindow)), figure(r.PanicAt), secondsText(value(r.PanicWindow)))
	}
	return ""
}

// completeRules completes a service, then its rules.
func (a *app) completeRules(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.completeAt(-1, func(ctx context.Context, c *api.Client) []string {
		if len(args) == 0 {
			return a.serviceNames(ctx, c)
		}
		rules, err := c.Rules(ctx, args[0])
		return namesOf(rules, err, func(r api.Rule) string { return ruleName(r) + "\t" + ruleText(r) })
	})(cmd, args, word)
}
