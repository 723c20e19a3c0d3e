package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// plan writes an option down.
func (m *maker) plan(o option) Plan {
	v := o.variant
	p := Plan{
		Verdict: o.verdict, Variant: v.Name, Runtime: v.Runtime, Image: o.image, Source: v.Source, Kind: o.kind, Quantization: v.Quantization,
		Context: o.need.context, Concurrency: o.need.concurrency, Resources: o.resources, Environment: v.Environment,
		Arguments: v.Arguments, Secrets: v.Secrets, Parts: o.need.parts(), Memory: o.need.total(), Replicas: o.replicas, Moves: o.moves,
		Disk: m.diskNeed(v), Warnings: o.warnings,
	}
	p.ImageHere = p.Image == hostImage || slices.Contains(m.box.Images, p.Image)
	if p.Image == hostImage && o.kind != recipe.CPU {
		p.Warnings = append(p.Warnings, fmt.Sprintf("the program of %s that is on this box runs it: whether it was built for %s is not known", v.Runtime, o.kind))
	}
	p.Steps = m.steps(o, p)
	p.Sentence = m.sentence(o)
	return p
}

// sentence is the verdict in words.
func (m *maker) sentence(o option) string {
	text := o.need.sentence() + m.times()
	if o.verdict == CannotTell || o.verdict == FitsMoving && len(o.moves) == 0 {
		return o.reason
	}
	var names []string
	for _, r := range o.replicas {
		for _, u := range r.Devices {
			if !slices.Contains(names, u.Name) {
				names = append(names, u.Name)
			}
		}
	}
	switch {
	case o.kind == recipe.CPU:
		return fmt.Sprintf("%s; fits the box's memory, of which %s are free", text, bytesize.Format(m.box.Host.Free))
	case o.verdict == FitsMoving:
		var who []string
		for _, move := range o.moves {
			if !slices.Contains(who, move.Who) {
				who = append(who, move.Who)
			}
		}
		return fmt.Sprintf("%s; fits %s when %s made room", text, listed(names), some(who))
	case o.need.devices*m.count() > 1:
		return fmt.Sprintf("%s; fits %s (%s)", text, plural(o.need.devices*m.count(), "device"), listed(names))
	}
	return fmt.Sprintf("%s; fits %s", text, listed(names))
}

// steps are what takes time, each worked out from what was measured here.
func (m *maker) steps(o option, p Plan) []Step {
	var out []Step
	timed := func(name string, bytes int64, s Speed) {
		step := Step{Name: name, Bytes: bytes, From: "nothing of the kind was measured on this box yet"}
		if s.Rate > 0 && bytes > 0 {
			step.Took = time.Duration(min(float64(bytes)/s.Rate, math.MaxInt32) * float64(time.Second))
			step.Known, step.From = true, s.From
		}
		out = append(out, step)
	}
	if lacks := p.Disk.Bytes - p.Disk.Here; lacks > 0 {
		timed("download", lacks, m.box.Measured.Download)
	}
	if !p.ImageHere {
		out = append(out, Step{Name: "image", From: "how large it is is known once it is asked for"})
	}
	for _, c := range m.box.Measured.Calibrations {
		here := c.Device == "" && o.kind == recipe.CPU || slices.ContainsFunc(m.box.Devices, func(d Device) bool { return d.Kind == o.kind && d.Name == c.Device })
		if c.Recipe == m.recipe.Name && c.Variant == o.variant.Name && c.Load > 0 && here {
			return append(out, Step{Name: "load", Bytes: o.need.weights, Took: c.Load, Known: true, From: "its last start that was measured"})
		}
	}
	timed("load", o.need.weights, m.box.Measured.Load)
	return out
}

// Seconds is how long all steps take together, and whether that is known of all of them.
func (p Plan) Seconds() (sum time.Duration, known bool) {
	known = true
	for _, s := range p.Steps {
		sum, known = sum+s.Took, known && s.Known
	}
	return sum, known
}

// refuse says why nothing fits, and what would. What comes closest, the last variant that was held against devices or memory, is
// shown with its parts.
func (m *maker) refuse(considered []Attempt) Plan {
	p := Plan{Verdict: DoesNotFit, Considered: considered}
	if v := m.candidates(); len(v) > 0 {
		closest := m.closest()
		if closest.resources == nil { // it may be tried all the same, and not without what it runs on
			base, share := m.devicesOf(closest.variant, closest.kind)
			warnings := closest.warnings
			m.resources(&closest, base, share)
			closest.warnings = warnings
		}
		p = m.plan(closest)
		p.Verdict, p.Considered, p.Replicas, p.Steps = DoesNotFit, considered, nil, nil
	}
	if m.thorough {
		p.Alternatives = m.alternatives()
	}
	switch reasons := reasonsOf(considered); {
	case len(m.candidates()) == 1:
		p.Sentence = m.closest().reason
	case len(reasons) == 1:
		p.Sentence = "none of its variants can run here: " + reasons[0]
	default:
		p.Sentence = "none of its variants fits"
		switch closest := m.closest(); {
		case strings.HasPrefix(closest.reason, "needs "):
			p.Sentence += "; the closest, " + p.Variant + ", " + closest.reason
		case closest.reason != "":
			p.Sentence += "; of " + p.Variant + ": " + closest.reason
		}
	}
	if len(p.Alternatives) > 0 {
		var texts []string
		for _, a := range p.Alternatives {
			texts = append(texts, a.Text)
		}
		p.Sentence += "; would fit " + strings.Join(texts, ", or ")
	}
	return p
}

func reasonsOf(considered []Attempt) (out []string) {
	for _, a := range considered {
		if !slices.Contains(out, a.Reason) {
			out = append(out, a.Reason)
		}
	}
	return out
}

// near is how little an option lacks: 2 where it is memory alone, 1 where what it runs on is here, else 0.
func (m *maker) near(o option) int {
	switch {
	case strings.HasPrefix(o.reason, "needs "):
		return 2
	case o.kind == recipe.CPU || slices.ContainsFunc(m.box.Devices, func(d Device) bool { return d.Kind == o.kind }):
		return 1
	}
	return 0
}

// closest is the option that lacks the least, and of these the one that needs the least memory.
func (m *maker) closest() option {
	var best option
	for _, v := range m.candidates() {
		for _, kind := range m.kinds(v) {
			o := m.try(v, kind)
			better := o.need.total() < best.need.total()
			if near, was := m.near(o), m.near(best); near != was {
				better = near > was
			}
			if best.kind == "" || better {
				best = o
			}
		}
	}
	return best
}
