package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/rehearse"
)

func (a *app) autoscaleCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "autoscale", Short: "Rehearse rules of autoscaling: on a trace of requests, in no time, without an appliance"})
	cmd.AddCommand(a.autoscaleSimulate(), a.autoscaleGenerate())
	return cmd
}

// simulateOptions is what a person says of a rehearsal.
type simulateOptions struct {
	rules, trace, output, start string
	references, sweeps          []string
	explain                     bool
	setup                       rehearse.Setup
}

func (a *app) autoscaleSimulate() *cobra.Command {
	o := simulateOptions{setup: rehearse.DefaultSetup()}
	cmd := &cobra.Command{
		Use: "simulate", Short: "Play a trace of requests against rules, and say who waited, and what it cost", Args: words("", 0, 0),
		Long: "Play a trace of requests against rules, and say how long requests waited for a route and how many GPU-hours it took. It is\n" +
			"the very decision that an appliance makes, on virtual time; the routes are a model of yours: say by flags what they are like.\n\n" +
			"RULES is a policy as the API has it, in YAML or JSON; that of a service: palisade service autoscale NAME -o json. Times are\n" +
			"seconds, or 90s, 10m. TRACE is steady, spiky, diurnal or poisson-bursts, or a CSV file (time, prompt tokens, output tokens), such as\n" +
			"palisade service record NAME writes what came to a service; - is standard input.\n\n" +
			"Settings that can be swept: " + strings.Join(rehearse.Keys(), ", ") + ".\nThose of rules are meant of all rules, or, as NAME.target, of one.",
		Example: "  palisade autoscale simulate --rules rules.yaml --trace spiky --load-time 90s --route-capacity 8 --reference hpa,kpa\n" +
			"  palisade autoscale simulate --rules rules.yaml --trace monday.csv --sweep target=4,6,8 --sweep scale_down_delay=30s,2m\n" +
			"  palisade autoscale simulate --rules rules.yaml --trace diurnal -o svg > day.svg",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulate(cmd, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.rules, "rules", "", "file with the policy, YAML or JSON; - is standard input")
	f.StringVar(&o.trace, "trace", "", "steady, spiky, diurnal, poisson-bursts, or a CSV file")
	f.StringVar(&o.start, "start", "", "when the trace begins, for schedules: 2026-03-02T08:00:00+09:00 (default what the trace says; else a Monday, 0:00 UTC)")
	f.StringVarP(&o.output, "output", "o", "table", "how the result is printed: table, wide, json or svg")
	f.StringSliceVar(&o.references, "reference", nil, "play also the formula of hpa (Kubernetes) or kpa (Knative), with the same target (repeatable)")
	f.StringArrayVar(&o.sweeps, "sweep", nil, "KEY=A,B,C: try each value of a setting, and mark where none is better in both p95 wait and GPU-hours (repeatable: they multiply)")
	f.BoolVar(&o.explain, "explain", false, "print each change of the number of routes, with its reason")
	s := &o.setup
	f.Var(newDuration(&s.LoadTime, s.LoadTime), "load-time", "from the wish for a route to its being ready")
	f.Float64Var(&s.LoadSpread, "load-spread", s.LoadSpread, "by how much loads differ: 0.2 is from 0.8 to 1.2 of the load time")
	f.IntVar(&s.Capacity, "route-capacity", s.Capacity, "requests that a route takes at once; 0: any number")
	f.IntVar(&s.Knee, "knee", s.Knee, "requests on a route from which on they share its speed (default the route's capacity)")
	f.Float64Var(&s.TokensPerSecond, "tokens-per-second", s.TokensPerSecond, "tokens of one answer in a second, up to the knee")
	f.Float64Var(&s.PromptPerSecond, "prompt-per-second", s.PromptPerSecond, "tokens of a prompt that are read in a second, up to the knee")
	f.Float64Var(&s.GPUs, "gpus", s.GPUs, "GPUs of one route")
	f.IntVar(&s.Pool, "pool", s.Pool, "routes that there is place for; 0: any number")
	f.IntVar(&s.Begin, "begin", s.Begin, "routes that are ready at the beginning, within the policy's bounds")
	f.IntVar(&s.MaxHeld, "max-held", s.MaxHeld, "requests that wait for a route; more are refused")
	f.Var(newDuration(&s.HoldTimeout, s.HoldTimeout), "hold-timeout", "how long one waits at most")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "of chance; the same seed gives the same result")
	_ = cmd.RegisterFlagCompletionFunc("output", fixedWords("table", "wide", "json", "svg"))
	_ = cmd.RegisterFlagCompletionFunc("reference", fixedWords("hpa", "kpa"))
	_ = cmd.RegisterFlagCompletionFunc("trace", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return kindNames(), cobra.ShellCompDirectiveDefault
	})
	return cmd
}

func kindNames() []string {
	var out []string
	for _, k := range rehearse.Kinds() {
		out = append(out, string(k))
	}
	return out
}

func (a *app) simulate(cmd *cobra.Command, o *simulateOptions) error {
	if outputs := []string{"table", "wide", "json", "svg"}; !slices.Contains(outputs, o.output) {
		return &usageError{message: fmt.Sprintf("--output %s: must be table, wide, json or svg", o.output), hint: didYouMean(o.output, outputs)}
	}
	switch {
	case o.rules == "":
		return &usageError{message: "there are no rules to rehearse", hint: "--rules FILE; those of a service: palisade service autoscale NAME -o json > rules.json"}
	case o.trace == "":
		return &usageError{message: "there is no trace to play", hint: "--trace steady, spiky or diurnal, or a CSV file: palisade service record NAME -o FILE"}
	case o.rules == "-" && o.trace == "-":
		return &usageError{message: "--rules - and --trace -: standard input is one of them"}
	case len(o.sweeps) > 0 && o.output == "svg":
		return &usageError{message: "--sweep makes a table, not a picture", hint: "draw the one that you choose"}
	case len(o.sweeps) > 0 && (o.explain || len(o.references) > 0):
		return &usageError{message: "--sweep goes with neither --reference nor --explain", hint: "rehearse the one that you choose again, without --sweep"}
	}
	for _, ref := range o.references {
		if known := []string{"hpa", "kpa"}; !slices.Contains(known, ref) {
			return &usageError{message: fmt.Sprintf("--reference %s: must be hpa or kpa", ref), hint: didYouMean(ref, known)}
		}
	}
	sweeps, err := readSweeps(o.sweeps)
	if err != nil {
		return err
	}
	if err := asFlags(o.setup.Check()); err != nil {
		return err
	}
	policy, err := a.readPolicy(o.rules)
	if err != nil {
		return err
	}
	trace, err := a.readTrace(o.trace)
	if err != nil {
		return err
	}
	if o.start != "" {
		if trace.Start, err = time.Parse(time.RFC3339, o.start); err != nil {
			return &usageError{message: fmt.Sprintf("--start %s: must be a time such as 2026-03-02T08:00:00+09:00", o.start)}
		}
	}
	a.output = o.output
	if len(sweeps) > 0 {
		rows, err := rehearse.RunSweeps(cmd.Context(), trace, policy, o.setup, sweeps)
		if errors.Is(err, rehearse.ErrSweep) {
			return &usageError{message: "--sweep: " + strings.TrimPrefix(err.Error(), rehearse.ErrSweep.Error()+": ")}
		}
		if err != nil {
			return err
		}
		return a.showSweep(trace, o, sweeps, rows)
	}
	return a.showRehearsal(cmd, trace, policy, o)
}

// readSweeps reads KEY=A,B,C.
func readSweeps(all []string) ([]rehearse.Sweep, error) {
	var out []rehearse.Sweep
	for _, text := range all {
		key, values, ok := strings.Cut(text, "=")
		if !ok || key == "" || values == "" {
			return nil, &usageError{message: fmt.Sprintf("--sweep %s: must be KEY=A,B,C", text), hint: "as in --sweep target=4,6,8"}
		}
		field := key[strings.LastIndexByte(key, '.')+1:]
		if known := rehearse.Keys(); !slices.Contains(known, strings.ReplaceAll(field, "-", "_")) {
			hint := didYouMean(field, known)
			if hint == "" {
				hint = "there are " + strings.Join(known, ", ")
			}
			return nil, &usageError{message: fmt.Sprintf("--sweep %s: there is no setting %q", text, field), hint: hint}
		}
		out = append(out, rehearse.Sweep{Key: key, Values: strings.Split(values, ",")})
	}
	return out, nil
}

// asFlags gives what is wrong with a setup in the words of the command line.
func asFlags(err error) error {
	if err == nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), rehearse.ErrSetup.Error()+": ")
		field, rest, _ := strings.Cut(line, " ")
		lines = append(lines, "--"+strings.ReplaceAll(field, "_", "-")+" "+rest)
	}
	return &usageError{message: strings.Join(lines, "\n")}
}

// readTrace makes one of the known traces, or reads a file.
func (a *app) readTrace(name string) (*rehearse.Trace, error) {
	if slices.Contains(kindNames(), name) {
		return rehearse.Shipped(rehearse.Kind(name))
	}
	if name == "-" {
		return rehearse.Read("standard input", a.Stdin)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		hint := didYouMean(name, kindNames())
		if hint == "" {
			hint = "known by name: " + strings.Join(kindNames(), ", ")
		}
		return nil, &usageError{message: "--trace " + name + ": there is no such file", hint: hint}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return rehearse.Read(name, f)
}

func (a *app) autoscaleGenerate() *cobra.Command {
	var kind string
	r := rehearse.Recipe{}
	cmd := &cobra.Command{
		Use: "generate", Short: "Write a trace of requests as CSV", Args: words("", 0, 0),
		Long: "Write a trace of requests as CSV: time in seconds, prompt tokens, output tokens. Kinds: steady (chance alone makes it more or less),\n" +
			"spiky (now and then several times as much, for some minutes), diurnal (a day), poisson-bursts (bursts of some seconds). Without\n" +
			"other flags it is the very trace that palisade autoscale simulate knows by that name.",
		Example: "  palisade autoscale generate --kind diurnal --requests 1000000 > day.csv",
		RunE: func(*cobra.Command, []string) error {
			if !slices.Contains(kindNames(), kind) {
				return &usageError{message: fmt.Sprintf("--kind %s: must be one of %s", kind, strings.Join(kindNames(), ", ")), hint: didYouMean(kind, kindNames())}
			}
			r.Kind = rehearse.Kind(kind)
			t, err := rehearse.Generate(r)
			if err != nil {
				return &usageError{message: strings.ReplaceAll(err.Error(), rehearse.ErrTrace.Error()+": ", "--")}
			}
			return rehearse.Write(a.out, t)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", string(rehearse.Steady), "steady, spiky, diurnal or poisson-bursts")
	f.IntVar(&r.Requests, "requests", 0, "how many (default as many as the kind's known trace has)")
	f.Var(newDuration(&r.Length, 0), "length", "of the whole trace (default 24h for diurnal, 4h for spiky, 2h for the others)")
	f.Float64Var(&r.Prompt, "prompt-tokens", 0, "of a request, on average (default 1200)")
	f.Float64Var(&r.Output, "output-tokens", 0, "of an answer, on average (default 300)")
	f.Uint64Var(&r.Seed, "seed", 1, "of chance; the same seed makes the same trace")
	_ = cmd.RegisterFlagCompletionFunc("kind", fixedWords(kindNames()...))
	return cmd
}

// play plays a trace by ours, and by the references that are asked for.
func (o *simulateOptions) play(cmd *cobra.Command, t *rehearse.Trace, p *autoscaler.Policy) ([]*rehearse.Result, error) {
	ours, err := rehearse.Run(cmd.Context(), t, p, o.setup)
	if err != nil {
		return nil, err
	}
	all := []*rehearse.Result{ours}
	for _, ref := range o.references {
		r, err := rehearse.Refer(cmd.Context(), t, p, o.setup, rehearse.Reference(ref))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}
