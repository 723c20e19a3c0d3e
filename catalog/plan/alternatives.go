package plan

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// alternatives finds changes with which it would fit. Each is really planned; none is guessed.
func (m *maker) alternatives() (out []Alternative) {
	out = append(out, m.otherVariants()...)
	out = append(out, m.shorter()...)
	out = append(out, m.fewer()...)
	out = append(out, m.moreDevices()...)
	if m.wish.Replicas > 1 {
		w := m.wish
		for w.Replicas--; w.Replicas > 0; w.Replicas-- {
			if o, fits := m.with(w); fits {
				out = append(out, offer(o, "replicas", strconv.Itoa(w.Replicas), "--replicas", "with "+plural(w.Replicas, "replica")))
				break
			}
		}
	}
	if len(out) == 0 {
		out = append(out, m.combined()...)
	}
	if len(m.wish.On) > 0 {
		w := m.wish
		w.On = nil
		if o, fits := m.with(w); fits {
			out = append(out, offer(o, "on", "any", "", "on other devices of this box"))
		}
	}
	return append(out, m.stopped()...)
}

// with is whether it would fit, if this were wished for. Nothing further is looked for.
func (m *maker) with(w Wish) (option, bool) {
	other := &maker{recipe: m.recipe, wish: w, box: m.box}
	options, _ := other.options()
	best, found := choose(options)
	return best, found && (best.verdict == Fits || best.verdict == FitsMoving)
}

// offer is an alternative that was found.
func offer(o option, change, value, option, text string) Alternative {
	a := Alternative{Change: change, Value: value, Text: fmt.Sprintf("%s (%s)", text, bytesize.Format(o.need.total())), Needs: o.need.total()}
	if option != "" {
		a.Option = option + " " + value
	}
	return a
}

// otherVariants is the first other variant that fits, where one was wished for.
func (m *maker) otherVariants() []Alternative {
	if m.wish.Variant == "" {
		return nil
	}
	w := m.wish
	w.Variant = ""
	if o, fits := m.with(w); fits {
		return []Alternative{offer(o, "variant", o.variant.Name, "--variant", "as "+o.variant.Name)}
	}
	return nil
}

// shortest is the least context that is offered: with less, no conversation is had.
const shortest = 2048

// shorter is the longest context that fits.
func (m *maker) shorter() []Alternative {
	const step = 1024
	w := m.wish
	fits := func(n int) (option, bool) {
		w.Context = n * step
		return m.with(w)
	}
	o, n := m.most(m.now(func(v recipe.Variant) int { return v.Context }, m.wish.Context)/step-1, fits)
	if n*step < shortest {
		return nil
	}
	return []Alternative{offer(o, "context", strconv.Itoa(n*step), "--context", fmt.Sprintf("with a context of %d", n*step))}
}

// fewer is the most sequences at once that fit.
func (m *maker) fewer() []Alternative {
	w := m.wish
	o, n := m.most(m.now(func(v recipe.Variant) int { return v.Concurrency }, m.wish.Concurrency)-1, func(n int) (option, bool) {
		w.Concurrency = n
		return m.with(w)
	})
	if n < 1 {
		return nil
	}
	text := fmt.Sprintf("with %d sequences at once", n)
	if n == 1 {
		text = "with one sequence at a time"
	}
	return []Alternative{offer(o, "concurrency", strconv.Itoa(n), "--concurrency", text)}
}

// now is what was wished for, or the most that a variant says.
func (m *maker) now(of func(recipe.Variant) int, wished int) int {
	if wished > 0 {
		return wished
	}
	for _, v := range m.candidates() {
		wished = max(wished, of(v))
	}
	return wished
}

// most is the largest number up to a bound with which it fits; 0 where none does. What fits with a number fits with a smaller one.
func (m *maker) most(bound int, fits func(int) (option, bool)) (best option, n int) {
	low, high := 0, bound+1
	for high-low > 1 {
		middle := low + (high-low)/2
		if o, is := fits(middle); is {
			low, best = middle, o
		} else {
			high = middle
		}
	}
	return best, low
}

// moreDevices is another number of devices that this box has, where one was wished for.
func (m *maker) moreDevices() []Alternative {
	if m.wish.Devices == 0 {
		return nil
	}
	for _, n := range []int{1, 2, 4, 8, 16} {
		w := m.wish
		if w.Devices = n; n == m.wish.Devices {
			continue
		}
		if o, fits := m.with(w); fits {
			return []Alternative{offer(o, "devices", strconv.Itoa(n), "--devices", "on "+plural(n, "device"))}
		}
	}
	return nil
}

// combined is the longest context for one sequence at a time.
func (m *maker) combined() []Alternative {
	const step = 1024
	w := m.wish
	w.Concurrency = 1
	o, n := m.most(m.now(func(v recipe.Variant) int { return v.Context }, m.wish.Context)/step-1, func(n int) (option, bool) {
		w.Context = n * step
		return m.with(w)
	})
	if n*step < shortest {
		return nil
	}
	a := offer(o, "combined", fmt.Sprintf("context %d, concurrency 1", n*step), "", fmt.Sprintf("with one sequence at a time of %d tokens", n*step))
	a.Option = fmt.Sprintf("--concurrency 1 --context %d", n*step)
	return []Alternative{a}
}

// stopped finds devices that are large enough and held by others: nothing is wrong with the model then. Where even an empty box is
// too small, it says how many devices such as the largest would do.
func (m *maker) stopped() []Alternative {
	empty := *m
	empty.box.Devices = slices.Clone(m.box.Devices)
	for i := range empty.box.Devices {
		d := &empty.box.Devices[i]
		for _, h := range d.Holders {
			d.Free = min(d.Free+h.Bytes, d.Total)
		}
		d.Holders = nil
	}
	if o, fits := empty.with(m.wish); fits {
		var who []string
		for _, r := range o.replicas {
			for _, u := range r.Devices {
				at := slices.IndexFunc(m.box.Devices, func(d Device) bool { return d.ID == u.ID })
				for _, h := range m.box.Devices[at].Holders {
					if !slices.Contains(who, h.Name) {
						who = append(who, h.Name)
					}
				}
			}
		}
		if len(who) > 0 {
			return []Alternative{offer(o, "stop", listed(who), "", "when "+some(who)+" no longer ran")}
		}
		return nil
	}
	return m.largerBox()
}

// largerBox says how many devices such as the largest of a kind would do.
func (m *maker) largerBox() []Alternative {
	if m.wish.Devices > 0 {
		return nil
	}
	var best Device
	for _, d := range m.box.Devices {
		if d.Total > best.Total && d.Trouble == "" {
			best = d
		}
	}
	if best.Total == 0 {
		return nil
	}
	for _, n := range []int{2, 4, 8} {
		larger := *m
		larger.box.Devices = nil
		for i := range n {
			larger.box.Devices = append(larger.box.Devices, Device{
				ID: strconv.Itoa(i), Name: best.Name, Kind: best.Kind, Architecture: best.Architecture, Total: best.Total, Free: best.Total,
			})
		}
		if o, fits := larger.with(m.wish); fits && o.kind != recipe.CPU {
			return []Alternative{offer(o, "more devices", strconv.Itoa(n), "", fmt.Sprintf("on %d devices such as %s", n, best.Name))}
		}
	}
	return nil
}
