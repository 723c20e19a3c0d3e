package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// option is one variant on one kind of accelerator, held against the box.
type option struct {
	variant   recipe.Variant
	kind      string
	verdict   Verdict
	reason    string // why it does not fit
	image     string
	spread    bool // over more devices than the recipe says
	need      need
	resources map[string]string
	replicas  []Place
	moves     []Move
	warnings  []string
}

// try holds a variant on a kind of accelerators against the box. What is cheap to say comes first: the reason is the first one.
func (m *maker) try(v recipe.Variant, kind string) option {
	o := option{variant: v, kind: kind, verdict: DoesNotFit}
	base, share := m.devicesOf(v, kind)
	if m.wish.Devices > 0 && kind != recipe.CPU {
		base, share = m.wish.Devices, 1
	}
	o.need = m.needOf(v, kind, base)
	for _, check := range []func(*option) string{m.platform, m.engine, m.lengths, m.disk} {
		if o.reason = check(&o); o.reason != "" {
			return o
		}
	}
	if kind == recipe.CPU {
		m.onHost(&o)
		return o
	}
	able, silent, reason := m.able(&o)
	if o.reason = reason; reason != "" {
		return o
	}
	if o.reason = m.resources(&o, base, share); o.reason != "" {
		return o
	}
	m.onDevices(&o, able, silent, share)
	return o
}

func (m *maker) platform(o *option) string {
	if on := o.variant.Platforms; len(on) > 0 && m.box.Platform != "" && !slices.Contains(on, m.box.Platform) {
		return fmt.Sprintf("is for %s, and this box is %s", listed(on), m.box.Platform)
	}
	return ""
}

// hostImage is the image of what is a program of the box.
const hostImage = "host"

// engine finds what runs it: an image where containers can be run, else a program of the box.
func (m *maker) engine(o *option) string {
	o.image = o.variant.Image(o.kind, m.box.Platform)
	program := m.box.Processes && m.box.Programs[o.variant.Runtime]
	defined := o.variant.Runtime == "custom" && o.image != "" // its command was written for what is in the image
	switch {
	case o.image == hostImage && m.box.Processes:
		return ""
	case o.image != "" && o.image != hostImage && m.box.Containers:
		return ""
	case defined && o.image != hostImage:
		return "this box runs no images, and what it starts is in one"
	case program:
		o.image = hostImage
		return ""
	case o.image == "" || o.image == hostImage:
		return fmt.Sprintf("the recipe has no image for %s, and no program of %s is on this box", o.kind, o.variant.Runtime)
	}
	return fmt.Sprintf("this box runs no images, and has no program of %s", o.variant.Runtime)
}

func (m *maker) lengths(o *option) string {
	if most := m.recipe.Context; most > 0 && o.need.context > most {
		return fmt.Sprintf("a context of %d is asked for, and the model is made for %d", o.need.context, most)
	}
	return ""
}

func (m *maker) disk(o *option) string {
	d := m.diskNeed(o.variant)
	reserve := m.box.Disk.Reserve
	lacks := d.Bytes - d.Here
	if d.Free < 0 || lacks <= 0 || lacks+reserve <= d.Free {
		return ""
	}
	beside := ""
	if reserve > 0 {
		beside = " beside the " + bytesize.Format(reserve) + " that stay free"
	}
	return fmt.Sprintf("its files need %s of disk%s, and %s are free", bytesize.Format(lacks), beside, bytesize.Format(d.Free))
}

func (m *maker) diskNeed(v recipe.Variant) DiskNeed {
	s, _ := m.recipe.Source(v.Source)
	return DiskNeed{Bytes: s.Bytes, Here: min(m.box.Here[s.Where()], max(s.Bytes, 0)), Free: m.box.Disk.Free}
}

func (m *maker) count() int { return max(1, m.wish.Replicas) }

// onHost holds it against the box's own memory.
func (m *maker) onHost(o *option) {
	if len(m.wish.On) > 0 && !slices.Contains(m.wish.On, recipe.CPU) || m.wish.Devices > 0 {
		o.reason = "runs on the box's own processors, and accelerators are asked for"
		return
	}
	if len(o.variant.Accelerators) == 0 && !OnProcessors(o.variant.Runtime) {
		o.reason = fmt.Sprintf("%s wants an accelerator, and this box has none", o.variant.Runtime)
		return
	}
	o.replicas = make([]Place, m.count())
	total, host := o.need.total()*int64(m.count()), m.box.Host
	if host.Total > 0 && total > host.Free {
		o.reason = fmt.Sprintf("%s%s; the box has %s of memory free", o.need.sentence(), m.times(), bytesize.Format(host.Free))
		return
	}
	if o.reason = m.resources(o, 0, 1); o.reason != "" {
		return
	}
	if o.verdict = Fits; host.Total == 0 {
		o.verdict, o.reason = CannotTell, o.need.sentence()+"; how much memory the box has is not known"
	}
}

// times is how often a need is there: ", 3 times".
func (m *maker) times() string {
	if n := m.count(); n > 1 {
		return fmt.Sprintf(", %d times", n)
	}
	return ""
}

// resources chooses between what is recommended and what is the least, by what is free, and says what is lacking of the least.
func (m *maker) resources(o *option, devices int, share float64) string {
	host, replicas := m.box.Host, float64(m.count())
	lacking := func(wanted map[string]string, least bool) string {
		cores, _ := strconv.ParseFloat(wanted["cpu"], 64)
		if cores > host.Cores && host.Cores > 0 && least {
			cores = host.Cores // it runs there too, if slower
		}
		memory := m.hostMemory(o, wanted)
		switch {
		case host.Cores > 0 && cores*replicas > host.FreeCores:
			return fmt.Sprintf("wants %g cores, and %g are free", cores*replicas, host.FreeCores)
		case host.Total > 0 && float64(memory)*replicas > float64(host.Free):
			return fmt.Sprintf("wants %s of the box's memory, and %s are free", bytesize.Format(memory*int64(replicas)), bytesize.Format(host.Free))
		}
		return ""
	}
	chosen := maps.Clone(o.variant.MinimumNeeds)
	if len(o.variant.Recommended) > 0 && lacking(o.variant.Recommended, false) == "" {
		chosen = maps.Clone(o.variant.Recommended)
	}
	if chosen == nil {
		chosen = make(map[string]string)
	}
	maps.DeleteFunc(chosen, func(slot, _ string) bool { return strings.Contains(slot, ".") })
	if cores, err := strconv.ParseFloat(chosen["cpu"], 64); err == nil && host.Cores > 0 && cores > host.Cores {
		o.warn("the recipe wants %g cores, and the box has %g: it is slower for it", cores, host.Cores)
		chosen["cpu"] = strconv.FormatFloat(host.Cores, 'f', -1, 64)
	}
	if memory := m.hostMemory(o, chosen); memory > amountOf(chosen["mem"]) {
		chosen["mem"] = fmt.Sprintf("%dm", (memory+1<<20-1)>>20)
	}
	switch {
	case o.kind == recipe.CPU:
	case share < 1:
		chosen[o.kind+".shares"] = strconv.FormatFloat(share, 'f', -1, 64)
	default:
		chosen[o.kind+".device"] = strconv.Itoa(devices)
	}
	o.resources = chosen
	return lacking(o.variant.MinimumNeeds, true)
}

// hostMemory is what a replica takes of the box's memory: what is wanted, and without an accelerator all that the model needs.
func (m *maker) hostMemory(o *option, wanted map[string]string) int64 {
	memory := amountOf(wanted["mem"])
	if o.kind == recipe.CPU {
		memory = max(memory, o.need.total())
	}
	return memory
}

// amountOf is bytes of a slot's amount: 16g, 256m, 1073741824. 0 where it cannot be read.
func amountOf(text string) int64 {
	text = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), "b"), "i")
	factor := 1.0
	for i, end := range []string{"k", "m", "g", "t"} {
		if number, is := strings.CutSuffix(text, end); is {
			text, factor = number, float64(int64(1)<<(10*(i+1)))
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n*factor > 1<<60 {
		return 0
	}
	return int64(n * factor)
}
