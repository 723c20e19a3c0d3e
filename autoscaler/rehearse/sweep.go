package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// Sweep is one setting, and the values to try.
type Sweep struct {
	Key    string
	Values []string
}

// Row is one rehearsal of several.
type Row struct {
	Values []string `json:"values"` // of each sweep, in their order
	// Front marks those that none is better than: cheaper, or with a shorter p95 wait, and in the other no worse.
	Front bool `json:"front"`
	*Result
}

// MostRows bounds how many rehearsals are played at once.
const MostRows = 1000

// ErrSweep is the kind of all errors of what cannot be swept.
var ErrSweep = errors.New("no possible sweep")

// RunSweeps plays a trace with every combination of the values, the last sweep's changing fastest. Steps, points and lives
// of its results are left out.
func RunSweeps(ctx context.Context, t *Trace, p *autoscaler.Policy, s Setup, sweeps []Sweep) ([]Row, error) {
	n := 1
	for _, sweep := range sweeps {
		if len(sweep.Values) == 0 {
			return nil, fmt.Errorf("%w: %s has no values", ErrSweep, sweep.Key)
		}
		if n *= len(sweep.Values); n > MostRows {
			return nil, fmt.Errorf("%w: that makes more than %d rehearsals", ErrSweep, MostRows)
		}
	}
	policies, setups, rows := make([]autoscaler.Policy, n), make([]Setup, n), make([]Row, n)
	for i := range n { // all are looked at before the first is played
		policies[i], setups[i] = copyOf(p), s
		rows[i].Values = combination(sweeps, i)
		for j, sweep := range sweeps {
			if err := set(&policies[i], &setups[i], sweep.Key, rows[i].Values[j]); err != nil {
				return nil, err
			}
		}
		if err := errors.Join(policies[i].Check(), setups[i].Check()); err != nil {
			return nil, fmt.Errorf("%w: with %s: %w", ErrSweep, strings.Join(rows[i].Values, ", "), err)
		}
	}
	results := make([]*Result, n)
	err := each(ctx, n, func(i int) (err error) {
		results[i], err = Run(ctx, t, &policies[i], setups[i])
		if err == nil {
			results[i].Steps, results[i].Points, results[i].Lives = nil, nil, nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Result = results[i]
	}
	for _, i := range pareto(results) {
		rows[i].Front = true
	}
	return rows, nil
}

// combination is the values of the i-th rehearsal.
func combination(sweeps []Sweep, i int) []string {
	out := make([]string, len(sweeps))
	for j := len(sweeps) - 1; j >= 0; j-- {
		n := len(sweeps[j].Values)
		out[j] = sweeps[j].Values[i%n]
		i /= n
	}
	return out
}

// copyOf is a policy that can be changed without changing the other.
func copyOf(p *autoscaler.Policy) autoscaler.Policy {
	out := *p
	out.Rules = slices.Clone(p.Rules)
	return out
}

// knob sets one setting.
type knob struct {
	key    string
	setup  func(*Setup, string) error
	policy func(*autoscaler.Policy, string) error
	rule   func(*autoscaler.Rule, string) error
	kind   autoscaler.Kind // of the rules that rule sets
}

func number[T any](to func(T) *float64) func(T, string) error {
	return func(of T, word string) (err error) { *to(of), err = strconv.ParseFloat(word, 64); return err }
}

func whole[T any](to func(T) *int) func(T, string) error {
	return func(of T, word string) (err error) { *to(of), err = strconv.Atoi(word); return err }
}

func span[T any](to func(T) *time.Duration) func(T, string) error {
	return func(of T, word string) error {
		d, err := time.ParseDuration(word)
		if v, wrong := strconv.ParseFloat(word, 64); wrong == nil && v >= 0 && v < 1e9 {
			d, err = time.Duration(v*float64(time.Second)), nil
		}
		*to(of) = d
		return err
	}
}

func some(to func(*autoscaler.Rule) **float64) func(*autoscaler.Rule, string) error {
	return func(r *autoscaler.Rule, word string) error {
		v, err := strconv.ParseFloat(word, 64)
		*to(r) = &v
		return err
	}
}

func knobs() []knob {
	type (
		p = *autoscaler.Policy
		r = *autoscaler.Rule
		s = *Setup
	)
	return []knob{
		{key: "min_replicas", policy: whole(func(p p) *int { return &p.Min })},
		{key: "max_replicas", policy: whole(func(p p) *int { return &p.Max })},
		{key: "idle_after", policy: span(func(p p) *time.Duration { return &p.IdleAfter })},
		{key: "scale_down_delay", policy: span(func(p p) *time.Duration { return &p.ScaleDownDelay })},
		{key: "target", kind: autoscaler.KindTarget, rule: number(func(r r) *float64 { return &r.Target })},
		{key: "stable_window", kind: autoscaler.KindTarget, rule: span(func(r r) *time.Duration { return &r.StableWindow })},
		{key: "panic_window", kind: autoscaler.KindTarget, rule: span(func(r r) *time.Duration { return &r.PanicWindow })},
		{key: "panic_at", kind: autoscaler.KindTarget, rule: number(func(r r) *float64 { return &r.PanicAt })},
		{key: "threshold", kind: autoscaler.KindStep, rule: some(func(r r) **float64 { return &r.Threshold })},
		{key: "min_threshold", kind: autoscaler.KindStep, rule: some(func(r r) **float64 { return &r.MinThreshold })},
		{key: "max_threshold", kind: autoscaler.KindStep, rule: some(func(r r) **float64 { return &r.MaxThreshold })},
		{key: "step_size", kind: autoscaler.KindStep, rule: whole(func(r r) *int { return &r.StepSize })},
		{key: "cooldown_seconds", kind: autoscaler.KindStep, rule: span(func(r r) *time.Duration { return &r.Cooldown })},
		{key: "load_time", setup: span(func(s s) *time.Duration { return &s.LoadTime })},
		{key: "load_spread", setup: number(func(s s) *float64 { return &s.LoadSpread })},
		{key: "route_capacity", setup: whole(func(s s) *int { return &s.Capacity })},
		{key: "knee", setup: whole(func(s s) *int { return &s.Knee })},
		{key: "tokens_per_second", setup: number(func(s s) *float64 { return &s.TokensPerSecond })},
		{key: "prompt_per_second", setup: number(func(s s) *float64 { return &s.PromptPerSecond })},
		{key: "pool", setup: whole(func(s s) *int { return &s.Pool })},
		{key: "max_held", setup: whole(func(s s) *int { return &s.MaxHeld })},
		{key: "hold_timeout", setup: span(func(s s) *time.Duration { return &s.HoldTimeout })},
	}
}

// Keys lists what can be swept. Those of rules may have a rule's name or number and a dot in front; without, they are those
// of every rule of their kind.
func Keys() []string {
	var out []string
	for _, k := range knobs() {
		out = append(out, k.key)
	}
	return out
}

// set sets one setting to what a word says.
func set(p *autoscaler.Policy, s *Setup, key, word string) error {
	of, field := "", key
	if at := strings.LastIndexByte(key, '.'); at >= 0 {
		of, field = key[:at], key[at+1:]
	}
	all := knobs()
	i := slices.IndexFunc(all, func(k knob) bool { return k.key == strings.ReplaceAll(field, "-", "_") })
	if i < 0 || of != "" && all[i].rule == nil {
		return fmt.Errorf("%w: %q is no setting; there are %s", ErrSweep, key, strings.Join(Keys(), ", "))
	}
	var err error
	switch k := all[i]; {
	case k.setup != nil:
		err = k.setup(s, word)
	case k.policy != nil:
		err = k.policy(p, word)
	default:
		found := false
		for i := range p.Rules {
			r := &p.Rules[i]
			if r.Kind != k.kind || of != "" && of != r.Name && of != r.ID && of != strconv.Itoa(i+1) {
				continue
			}
			found = true
			if err = k.rule(r, word); err != nil {
				break
			}
		}
		if !found {
			return fmt.Errorf("%w: no rule of kind %s has that name, for %s", ErrSweep, k.kind, key)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %q cannot be its value", ErrSweep, key, word)
	}
	return nil
}

// pareto are the results that none is better than: cheaper, or with a shorter wait, and in the other no worse. By cost.
func pareto(all []*Result) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(all[a].GPUHours, all[b].GPUHours), cmp.Compare(all[a].Wait.P95, all[b].Wait.P95))
	})
	var front []int
	for _, i := range order {
		if n := len(front); n == 0 || all[i].Wait.P95 < all[front[n-1]].Wait.P95 {
			front = append(front, i)
		}
	}
	return front
}

// each calls do for 0 to n-1, on as many goroutines as there are processors, until one fails.
func each(ctx context.Context, n int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var all sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}
