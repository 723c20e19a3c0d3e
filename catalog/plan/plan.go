package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// Verdict is whether a model can be installed as it was wished for.
type Verdict string

// Verdicts.
const (
	Fits       Verdict = "fits"
	FitsMoving Verdict = "fits when others move" // sessions that may be interrupted make room
	DoesNotFit Verdict = "does not fit"
	CannotTell Verdict = "cannot tell" // a device does not say how much memory it has; it may be tried
)

// Plan is how a model would be installed. Make makes it.
type Plan struct {
	Verdict  Verdict
	Sentence string // the verdict with its reasons, for a person, without a full stop

	Variant      string // of the recipe; empty where nothing fits and none was wished for
	Runtime      string
	Image        string // host: a program of the box
	ImageHere    bool
	Source       string // name of the recipe's source; empty: the engine fetches by itself
	Kind         string // of accelerator; cpu for none
	Quantization string
	Context      int // tokens of a sequence; 0: the recipe does not say
	Concurrency  int
	Resources    map[string]string // of each replica: cpu, mem, cuda.device
	Environment  map[string]string // of the recipe's variant
	Arguments    []string          // of the recipe's variant, for its Context and Concurrency
	Secrets      []string

	Parts    []Part  // of memory, of one replica
	Memory   int64   // of one replica: the sum of Parts
	Replicas []Place // where each of them would run
	Moves    []Move  // who makes room
	Disk     DiskNeed
	Steps    []Step

	Considered   []Attempt // what was looked at before it, and why not
	Alternatives []Alternative
	Warnings     []string
}

// Part is a part of memory.
type Part struct {
	Name     string // weights, cache, overhead, or all where it was measured
	Bytes    int64
	Measured bool
}

// Place is where one replica runs.
type Place struct {
	Devices []Use // empty: in the box's own memory
}

// Use is what a replica takes of a device.
type Use struct {
	ID, Name    string
	Bytes       int64   // that it needs
	Free, Total int64   // as it is before
	Share       float64 // 1: the whole device
}

// Move is somebody who makes room.
type Move struct {
	Who    string
	Device string
	Bytes  int64
}

// DiskNeed is what an install does to the disk.
type DiskNeed struct {
	Bytes int64 // of all files; 0: the recipe does not say
	Here  int64 // of them, here already
	Free  int64 // -1: not known
}

// Step is one thing that takes time.
type Step struct {
	Name  string        // download, image, load, smoke test
	Bytes int64         // 0: not said
	Took  time.Duration // about; 0 with Known false
	Known bool
	From  string // what it was worked out from, or why it is not known
}

// Attempt is a variant that was looked at.
type Attempt struct {
	Variant, Kind string
	Fits          bool
	Reason        string // why not
}

// Alternative is a change with which it would fit, really computed.
type Alternative struct {
	Change string // variant, context, concurrency, devices, stop
	Value  string
	Option string // of palisade install: --context 8192; empty: there is none
	Text   string // with a context of 8192 (10.1 GiB)
	Needs  int64  // bytes of a replica, with it
}

// Make works out how a recipe is installed on a box. In this order:
//
//  1. Of the variants that are allowed (one, or all in the recipe's order), and of the kinds of accelerators that each runs on, the
//     first that fits as it is, on as many devices as the recipe or the wish says.
//  2. The first that fits on more devices, where the wish leaves that open.
//  3. The first that fits when those make room who may be interrupted.
//  4. The first that may be tried, because a device does not say how much memory it has.
//  5. None: why not, and what would.
//
// The same arguments make the same plan.
func Make(r recipe.Recipe, w Wish, b Box) Plan {
	return (&maker{recipe: r, wish: w, box: b, thorough: true}).make()
}

// Judge is Make without what else would fit: for long lists.
func Judge(r recipe.Recipe, w Wish, b Box) Plan {
	return (&maker{recipe: r, wish: w, box: b}).make()
}

func (m *maker) make() Plan {
	r, w := m.recipe, m.wish
	if w.Variant != "" {
		if _, known := r.Variant(w.Variant); !known {
			return Plan{Verdict: DoesNotFit, Sentence: fmt.Sprintf("%s has no variant %q; it has %s", r.Name, w.Variant, strings.Join(m.names(), ", "))}
		}
	}
	options, considered := m.options()
	best, found := choose(options)
	if !found {
		return m.refuse(considered)
	}
	p := m.plan(best)
	for _, a := range considered {
		if a.Variant == best.variant.Name && a.Kind == best.kind {
			break
		}
		if !a.Fits {
			p.Considered = append(p.Considered, a)
		}
	}
	return p
}

// maker is one call of Make.
type maker struct {
	recipe recipe.Recipe
	wish   Wish
	box    Box
	// thorough says that a refusal looks for what would fit.
	thorough bool
}

func (m *maker) names() []string {
	out := make([]string, 0, len(m.recipe.Variants))
	for _, v := range m.recipe.Variants {
		out = append(out, v.Name)
	}
	return out
}

// candidates are the variants that are allowed.
func (m *maker) candidates() []recipe.Variant {
	if v, known := m.recipe.Variant(m.wish.Variant); known {
		return []recipe.Variant{v}
	}
	return m.recipe.Variants
}

// kinds are those that a variant runs on. One that names none, which was made up of files, runs on what the box has; without an
// accelerator only where its engine is known to.
func (m *maker) kinds(v recipe.Variant) []string {
	if len(v.Accelerators) > 0 {
		return v.Accelerators
	}
	var out []string
	for _, d := range m.box.Devices {
		if !slices.Contains(out, d.Kind) {
			out = append(out, d.Kind)
		}
	}
	if OnProcessors(v.Runtime) || len(out) == 0 {
		out = append(out, recipe.CPU)
	}
	return out
}

// OnProcessors says whether an engine is known to run without an accelerator.
func OnProcessors(runtime string) bool {
	return slices.Contains([]string{"llama-cpp", "ollama", "custom", "cmd", "tei"}, runtime)
}

// options tries all variants on all kinds.
func (m *maker) options() (out []option, considered []Attempt) {
	for _, v := range m.candidates() {
		for _, kind := range m.kinds(v) {
			o := m.try(v, kind)
			considered = append(considered, Attempt{Variant: v.Name, Kind: kind, Fits: o.verdict == Fits, Reason: o.reason})
			if o.verdict != DoesNotFit {
				out = append(out, o)
			}
		}
	}
	return out, considered
}

// choose is the order of Make.
func choose(options []option) (option, bool) {
	for _, good := range []func(option) bool{
		func(o option) bool { return o.verdict == Fits && !o.spread },
		func(o option) bool { return o.verdict == Fits },
		func(o option) bool { return o.verdict == FitsMoving },
		func(o option) bool { return o.verdict == CannotTell },
	} {
		if i := slices.IndexFunc(options, good); i >= 0 {
			return options[i], true
		}
	}
	return option{}, false
}
