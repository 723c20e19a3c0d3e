package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// scalingFlags are the flags that say how a service is scaled, but for its rules one by one.
type scalingFlags struct {
	bounds               string // MIN..MAX, where a service is created
	least, most          int
	idleAfter, downDelay time.Duration
	targets              []string
}

// add adds those that create and autoscale have alike.
func (f *scalingFlags) add(a *app, cmd *cobra.Command) {
	cmd.Flags().Var(newDuration(&f.idleAfter, 0), "idle-after", "go to zero after so long without a request; 0: never")
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "keep METRIC=VALUE on each route: concurrency=8, concurrency=auto (as was measured), inference_framework:waiting=2 (repeatable)")
	cmd.Flags().Var(newDuration(&f.downDelay, 0), "scale-down-delay", "how long there must be too many routes before one goes (default 2m)")
	_ = cmd.RegisterFlagCompletionFunc("target", a.completeMetrics("="))
}

// policy is what the flags say without targets; nil when they say nothing.
func (f *scalingFlags) policy(cmd *cobra.Command) *api.Autoscaling {
	given := cmd.Flags().Changed
	out := api.Autoscaling{
		MinReplicas: ifGiven(given("min"), f.least), MaxReplicas: ifGiven(given("max"), f.most),
		IdleAfter:      ifGiven(given("idle-after"), f.idleAfter.Seconds()),
		ScaleDownDelay: ifGiven(given("scale-down-delay"), f.downDelay.Seconds()),
	}
	if out == (api.Autoscaling{}) && len(f.targets) == 0 {
		return nil
	}
	return &out
}

// create is what the flags of service create say; nil when they say nothing.
func (f *scalingFlags) create(ctx context.Context, cmd *cobra.Command, c *api.Client) (*api.Autoscaling, error) {
	out := f.policy(cmd)
	if f.bounds != "" {
		if out == nil || len(f.targets) == 0 && f.idleAfter == 0 {
			return nil, &usageError{
				message: fmt.Sprintf("--autoscale %s: nothing says when there are to be more or fewer routes", f.bounds),
				hint:    "add --target concurrency=8, or --idle-after 10m; rules of any kind: palisade service rule create --help",
			}
		}
		least, most, err := parseBounds(f.bounds)
		if err != nil {
			return nil, err
		}
		out.MinReplicas, out.MaxReplicas = least, &most
	}
	if out == nil {
		return nil, nil //nolint:nilnil // nothing said is no mistake
	}
	rules, err := f.rules(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	out.Rules = &rules
	return out, nil
}

// parseBounds reads MIN..MAX, or MAX alone.
func parseBounds(text string) (least *int, most int, err error) {
	low, high, both := strings.Cut(text, "..")
	if !both {
		low, high = "", text
	}
	most, err = strconv.Atoi(high)
	if err == nil && low != "" {
		least = new(int)
		*least, err = strconv.Atoi(low)
	}
	if err != nil || most < 1 || value(least) < 0 || value(least) > most {
		return nil, 0, &usageError{message: fmt.Sprintf("--autoscale %q: must be MIN..MAX", text), hint: "0..4 is none to four routes, 4 is one to four"}
	}
	return least, most, nil
}

// rules are those that there are with the targets of the flags: one of the same metric takes the place of another.
func (f *scalingFlags) rules(ctx context.Context, c *api.Client, rules []api.Rule) ([]api.Rule, error) {
	rules = slices.Clone(notNull(rules))
	for _, word := range f.targets {
		at := strings.LastIndexByte(word, '=') // a Prometheus server's query may have some of its own
		bad := &usageError{message: fmt.Sprintf("--target %q: must be METRIC=VALUE, VALUE a number over 0, or auto", word), hint: "concurrency=8: eight requests in flight on each route; concurrency=auto: as many as palisade calibrate found"}
		if at <= 0 {
			return nil, bad
		}
		var wanted goal
		if err := wanted.Set(word[at+1:]); err != nil {
			return nil, bad
		}
		source, name, err := metricOf(ctx, c, "--target", word[:at])
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(rules, func(r api.Rule) bool {
			return value(r.Kind) == "target" && value(r.MetricSource) == source && value(r.MetricName) == name
		})
		if i < 0 {
			i = len(rules)
			rules = append(rules, api.Rule{Kind: new("target"), MetricSource: &source, MetricName: &name})
		}
		if rules[i].Target, rules[i].TargetAuto = &wanted.value, nil; wanted.auto {
			rules[i].Target, rules[i].TargetAuto = nil, new(true)
		}
	}
	return rules, nil
}

func (a *app) serviceAutoscale() *cobra.Command {
	var f scalingFlags
	var off, resume bool
	cmd := &cobra.Command{
		Use: "autoscale SERVICE", Short: "Say how many routes a service may have and when; without flags, show how that stands",
		Long: "Say how many routes a service may have and when; what no flag names stays as it is. Without flags, show\n" +
			"how that stands: what each rule saw and wished last, and what was decided.\n" +
			"A --target is a rule; rules of other kinds are made with: palisade service rule create.\n" +
			"A number that a person sets (service scale) stands until this is edited, or --resume.",
		Example: "  palisade service autoscale my-model --min 0 --max 4 --target concurrency=8 --idle-after 10m\n" +
			"  palisade service autoscale my-model\n" +
			"  palisade service autoscale my-model --resume",
		Args: words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy := f.policy(cmd)
			if off && resume || (off || resume) && policy != nil {
				return &usageError{message: "--off and --resume go alone", hint: "an edit of the policy ends a pause too: --resume is not needed with it"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			st, err := a.autoscale(cmd.Context(), c, args[0], scaleWish{&f, policy, off, resume})
			if err != nil {
				return inScalingFlags(err, false)
			}
			return a.showStanding(args[0], st)
		},
	}
	cmd.Flags().IntVar(&f.least, "min", 0, "fewest routes; 0 allows zero")
	cmd.Flags().IntVar(&f.most, "max", 0, "most routes")
	f.add(a, cmd)
	cmd.Flags().BoolVar(&off, "off", false, "take all rules away: the number of routes stays as it is, and yours to set")
	cmd.Flags().BoolVar(&resume, "resume", false, "let the rules go on, after a number that a person has set")
	return cmd
}

// scaleWish is what a call of service autoscale asks for.
type scaleWish struct {
	flags       *scalingFlags
	policy      *api.Autoscaling
	off, resume bool
}

func (a *app) autoscale(ctx context.Context, c *api.Client, ref string, w scaleWish) (api.AutoscalingStanding, error) {
	if w.resume {
		return c.ResumeAutoscaling(ctx, ref)
	}
	now, err := c.Autoscaling(ctx, ref)
	if err != nil || w.policy == nil && !w.off {
		return now, err
	}
	if w.off {
		rules := len(value(now.Policy.Rules))
		st, err := c.ClearAutoscaling(ctx, ref, "")
		if err == nil && rules > 0 {
			a.notef("%s taken away; the number of routes stays at %d", plural(rules, "rule"), st.Replicas)
		}
		return st, err
	}
	match := ""
	if len(w.flags.targets) > 0 {
		rules, err := w.flags.rules(ctx, c, value(now.Policy.Rules))
		if err != nil {
			return now, err
		}
		// All rules are sent: none that another adds meanwhile may get lost.
		w.policy.Rules, match = &rules, api.ETag(now.Version)
	}
	st, err := c.UpdateAutoscaling(ctx, ref, *w.policy, match)
	if err == nil {
		a.noteScaling(&st.Policy)
	}
	return st, err
}

// noteScaling tells what a policy lacks to do what its bounds let expect.
func (a *app) noteScaling(p *api.Autoscaling) {
	rules := value(p.Rules)
	steps := slices.ContainsFunc(rules, func(r api.Rule) bool { return value(r.Kind) == "step" })
	switch idle := value(p.IdleAfter) > 0; {
	case len(rules) == 0 && !idle:
		a.notef("nothing says yet when there are to be more or fewer routes: add --target concurrency=8, --idle-after 10m, or a rule")
	case value(p.MinReplicas) == 0 && !idle && !steps:
		a.notef("it may have no route, but nothing takes it to zero: add --idle-after 10m")
	}
}

// inScalingFlags gives err in the words of service autoscale, and with create in those of service create.
func inScalingFlags(err error, create bool) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Kind() != api.KindInvalid {
		return err
	}
	prefix, least, most := "", "--min", "--max"
	if create {
		prefix, least, most = "autoscaling.", "MIN of --autoscale", "MAX of --autoscale"
	}
	in := strings.NewReplacer(prefix+"min_replicas", least, prefix+"max_replicas", most, prefix+"idle_after", "--idle-after", prefix+"scale_down_delay", "--scale-down-delay",
		"min_replicas", least, "max_replicas", most, "idle_after", "--idle-after")
	said := *p
	said.Detail, said.Hint, said.Errors = in.Replace(p.Detail), in.Replace(p.Hint), slices.Clone(p.Errors)
	for i := range said.Errors {
		e := &said.Errors[i]
		e.Field, e.Message, e.Hint = in.Replace(e.Field), in.Replace(e.Message), in.Replace(e.Hint)
	}
	return &said
}

// sources are where metrics come from, with the words for them.
func sources() []string { return []string{"router", "inference_framework", "kernel", "prometheus"} }

// metricOf reads SOURCE:NAME, or the NAME of one that is known by it; raw names of engines have a colon of their own. A
// name alone is looked up with the appliance: flag is where it was written.
func metricOf(ctx context.Context, c *api.Client, flag, word string) (source, name string, err error) {
	if before, after, ok := strings.Cut(word, ":"); ok {
		if slices.Contains(sources(), before) {
			return before, after, nil
		}
		return "inference_framework", word, nil
	}
	known, err := c.Metrics(ctx)
	if err != nil {
		return "", "", err
	}
	for _, source := range sources() { // the router's own win: they are exact
		if slices.ContainsFunc(known, func(m api.Metric) bool { return m.MetricSource == source && m.MetricName == word }) {
			return source, word, nil
		}
	}
	var names []string
	for _, m := range known {
		names = append(names, m.MetricName)
	}
	hint := didYouMean(word, names)
	if hint == "" {
		hint = "known are " + strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ", ") +
			";\nan engine's own: inference_framework:NAME; a query: prometheus:QUERY"
	}
	return "", "", &usageError{message: fmt.Sprintf("%s: there is no metric %q", flag, word), hint: hint}
}

// completeMetrics completes SOURCE:NAME with what follows it.
func (a *app) completeMetrics(end string) cobra.CompletionFunc {
	return a.completeAt(-1, func(ctx context.Context, c *api.Client) []string {
		items, err := c.Metrics(ctx)
		return namesOf(items, err, func(m api.Metric) string {
			name := m.MetricName
			if m.MetricSource != "router" {
				name = m.MetricSource + ":" + name
			}
			return name + end + "\t" + m.Description
		})
	})
}
