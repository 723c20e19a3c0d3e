package fit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Place is memory that a model may be loaded into.
type Place struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Total int64  `json:"total"` // bytes; 0: it does not say, and nothing is said about it
	Free  int64  `json:"free"`  // bytes that nobody has, or that the session has a right to
}

// Box is the memory that there is.
type Box struct {
	Devices []Place
	Host    Place // the box's own; Total 0: not known, or not to be used
}

// Outcome is whether a model fits.
type Outcome string

// Outcomes. Only DoesNotFit is a reason to refuse.
const (
	Fits       Outcome = "fits"
	FitsPartly Outcome = "fits partly" // with a part of it in the box's own memory: it runs, slower
	DoesNotFit Outcome = "does not fit"
	CannotTell Outcome = "cannot tell"
)

// Verdict is whether and where a model fits, in figures and in a sentence.
type Verdict struct {
	Outcome      Outcome       `json:"outcome"`
	Sentence     string        `json:"sentence"` // for a person, without a full stop
	Model        Model         `json:"model"`
	Need         Need          `json:"need"`
	Places       []PlaceFit    `json:"places"`
	On           []string      `json:"on,omitempty"`      // where it would go: IDs of devices, or of the box's memory
	Context      int           `json:"context,omitempty"` // the longest that fits there
	Alternatives []Alternative `json:"alternatives,omitempty"`
}

// PlaceFit is one place held against the need.
type PlaceFit struct {
	Place
	Usable int64  `json:"usable"` // of it, by the engine
	Fits   bool   `json:"fits"`
	Reason string `json:"reason,omitempty"` // why not
}

// Alternative is a change with which it would fit, really computed.
type Alternative struct {
	Change string `json:"change"` // context, sequences, cache type, quantization, devices, memory fraction, combined, to itself
	Value  string `json:"value"`  // 8192, fp8, Q4_K_M, 2
	Needs  int64  `json:"needs"`  // bytes of each device, with it
	Text   string `json:"text"`   // "with a context of 8192 (10.1 GiB)"
}

// Check reads a model and says whether it fits. A folder without files that are known is CannotTell, with no error. The
// error is ErrDamaged, or that of the file system.
func Check(files fs.FS, r Request, box Box) (Verdict, error) {
	if r.Path == "" {
		r.Path = "."
	}
	m, err := Read(files, r.Path, r.Engine.prefers())
	if errors.Is(err, ErrNoModel) {
		return Verdict{Outcome: CannotTell, Sentence: "cannot tell what it needs: " + err.Error(), Places: []PlaceFit{}}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	return Fit(m, r, box), nil
}

// Fit says whether a model fits a box, and if not what would. In this order:
//
//  1. What cannot be told is not refused: an adapter, an engine that is not known.
//  2. Without devices, engines that can run in the box's memory are held against that.
//  3. It fits where as many devices as it is spread over have room.
//  4. It fits shorter, with an engine that shortens the context by itself where none is given.
//  5. It fits partly, with an engine that leaves layers in the box's memory.
//  6. It does not fit, and here is what would.
func Fit(m Model, r Request, box Box) Verdict {
	f, known := families[r.Engine]
	c := &comparison{model: m, request: r, family: f, box: box}
	v := Verdict{Model: m, Need: c.estimate(r), Places: []PlaceFit{}}
	host := len(box.Devices) == 0
	if host && known && box.Host.Total > 0 {
		v.Need = c.hostNeed(r)
	}
	switch {
	case m.Kind == Adapter:
		v.Outcome, v.Sentence = CannotTell, "cannot tell what it needs: it is an adapter, and its base model is not here"
		return v
	case !known:
		v.Outcome, v.Sentence = CannotTell, fmt.Sprintf("cannot tell what it needs: its weights have %s, and what the engine adds is not known", bytesize.Format(m.WeightBytes))
		return v
	case v.Need.Impossible != "":
		v.Outcome, v.Sentence = DoesNotFit, v.Need.Impossible
		v.Alternatives = c.otherDevices(r)
		v.Sentence += would(v.Alternatives)
		return v
	case host:
		return c.onHost(v)
	}
	return c.onDevices(v)
}

// comparison is one call of Fit.
type comparison struct {
	model   Model
	request Request
	family  family
	box     Box
}

// large is from where on vLLM computes more tokens a step.
const large = 70 * gib

// estimate is Estimate with what depends on the devices.
func (c *comparison) estimate(r Request) Need {
	if r.Engine == VLLM && r.BatchTokens == 0 && slices.ContainsFunc(c.box.Devices, func(p Place) bool { return p.Total >= large }) {
		r.BatchTokens = 8192
	}
	return Estimate(c.model, r)
}

func (c *comparison) hostNeed(r Request) Need {
	r.Devices = 1
	return c.estimate(r).onHost(c.family)
}

// usable is how much of a device the engine uses, and why it would not start there at all.
func (c *comparison) usable(p Place, r Request) (int64, string) {
	fraction := r.MemoryFraction
	if fraction <= 0 || fraction > 1 {
		fraction = c.family.fraction
	}
	if fraction <= 0 {
		return p.Free, ""
	}
	limit := int64(fraction * float64(p.Total))
	if r.Engine == VLLM && p.Free < limit { // it looks before it loads
		return p.Free, fmt.Sprintf("%s starts only where %.2g of the device is free: %s of %s", c.family.title, fraction, bytesize.Format(limit), bytesize.Format(p.Total))
	}
	return min(limit, p.Free), ""
}

// room holds every device against a need.
func (c *comparison) room(n Need, r Request) []PlaceFit {
	out := make([]PlaceFit, 0, len(c.box.Devices))
	for _, p := range c.box.Devices {
		one := PlaceFit{Place: p}
		one.Usable, one.Reason = c.usable(p, r)
		switch {
		case p.Total <= 0:
			one.Reason = "it does not say how much memory it has"
		case one.Reason != "":
		case n.PerDevice > one.Usable:
			one.Reason = fmt.Sprintf("%s too little", bytesize.Format(n.PerDevice-one.Usable))
		default:
			one.Fits = true
		}
		out = append(out, one)
	}
	return out
}

// fits reports where the request fits: the devices with the least room that still do.
func (c *comparison) fits(r Request) (on []string, n Need) {
	if len(c.box.Devices) == 0 {
		n = c.hostNeed(r)
		if n.Total <= c.box.Host.Free {
			on = []string{c.box.Host.ID}
		}
		return on, n
	}
	n = c.estimate(r)
	if n.Impossible != "" {
		return nil, n
	}
	places := slices.DeleteFunc(c.room(n, r), func(p PlaceFit) bool { return !p.Fits })
	if len(places) < n.Devices {
		return nil, n
	}
	slices.SortStableFunc(places, func(a, b PlaceFit) int { return cmp.Compare(a.Free, b.Free) })
	for _, p := range places[:n.Devices] {
		on = append(on, p.ID)
	}
	return on, n
}

// onHost says whether it fits the box's own memory.
func (c *comparison) onHost(v Verdict) Verdict {
	host := c.box.Host
	if host.Total <= 0 {
		v.Outcome, v.Sentence = CannotTell, c.needs(v.Need)+"; there is no device, and the box's memory is not known"
		return v
	}
	place := PlaceFit{Place: host, Usable: host.Free, Fits: v.Need.Total <= host.Free}
	if !place.Fits {
		place.Reason = fmt.Sprintf("%s too little", bytesize.Format(v.Need.Total-host.Free))
	}
	v.Places = append(v.Places, place)
	if v.Need.Total <= host.Free {
		v.Outcome, v.On = Fits, []string{host.ID}
		v.Context = c.longest()
		v.Sentence = fmt.Sprintf("%s; fits the box's memory, of which %s are free", c.needs(v.Need), bytesize.Format(host.Free))
		if c.family.pool {
			v.Outcome, v.On = CannotTell, nil
			v.Sentence = fmt.Sprintf("%s; there is no device, and %s runs without one only where it was built for that", c.needs(v.Need), c.family.title)
		}
		return v
	}
	if shorter, ok := c.shortened(); ok {
		return c.fitsShorter(v, shorter, "the box's memory")
	}
	v.Outcome = DoesNotFit
	v.Alternatives = c.alternatives()
	v.Sentence = fmt.Sprintf("%s; the box has %s of memory free%s", c.needs(v.Need), bytesize.Format(host.Free), would(v.Alternatives))
	return v
}

// onDevices says whether it fits the devices.
func (c *comparison) onDevices(v Verdict) Verdict {
	v.Places = c.room(v.Need, c.request)
	if on, _ := c.fits(c.request); on != nil {
		v.Outcome, v.On, v.Context = Fits, on, c.longest()
		v.Sentence = fmt.Sprintf("%s; fits %s", c.needs(v.Need), c.named(on))
		return v
	}
	if shorter, ok := c.shortened(); ok {
		return c.fitsShorter(v, shorter, "")
	}
	silent := slices.ContainsFunc(v.Places, func(p PlaceFit) bool { return p.Total <= 0 })
	if partly, ok := c.partly(v); ok {
		return partly
	}
	v.Outcome = DoesNotFit
	v.Alternatives = c.alternatives()
	v.Sentence = fmt.Sprintf("%s; %s%s", c.needs(v.Need), c.largest(v), would(v.Alternatives))
	if silent {
		v.Outcome, v.Sentence = CannotTell, c.needs(v.Need)+"; not every device says how much memory it has"
	}
	return v
}

// shortened is the request with the longest context that fits, where the engine finds that by itself.
func (c *comparison) shortened() (Request, bool) {
	if !c.family.shrinks || c.request.Context > 0 || c.model.Kind != Decoder {
		return Request{}, false
	}
	least := shortest
	if c.model.MaxContext > 0 {
		least = min(least, c.model.MaxContext)
	}
	if n := c.longest(); n >= least {
		r := c.request
		r.Context = n
		return r, true
	}
	return Request{}, false
}

func (c *comparison) fitsShorter(v Verdict, r Request, where string) Verdict {
	on, need := c.fits(r)
	if where == "" {
		where = c.named(on)
		v.Places = c.room(need, r)
	} else {
		v.Places = []PlaceFit{{Place: c.box.Host, Usable: c.box.Host.Free, Fits: true}}
	}
	v.Outcome, v.On, v.Need, v.Context = Fits, on, need, r.Context
	v.Sentence = fmt.Sprintf("%s; fits %s: %s takes the context that there is room for, up to about %d tokens instead of the model's longest",
		c.needs(need), where, c.family.title, r.Context)
	return v
}

// partly puts as many layers as fit on the devices, and the rest into the box's memory.
func (c *comparison) partly(v Verdict) (Verdict, bool) {
	if !c.family.ggml || c.request.DeviceLayers != nil || c.model.Layers == 0 {
		return v, false
	}
	n := v.Need
	fixed := (n.Compute + n.Overhead) / int64(n.Devices)
	layer := (n.Weights + n.Cache) / int64(c.model.Layers)
	layers := int64(0)
	for _, p := range c.bestDevices(n.Devices) {
		if layer > 0 && p.Free > fixed {
			layers += (p.Free - fixed) / layer
		}
	}
	layers = min(layers, int64(c.model.Layers))
	rest := times(int64(c.model.Layers)-layers, layer)
	if rest > c.box.Host.Free || c.box.Host.Total <= 0 {
		return v, false
	}
	v.Outcome = FitsPartly
	v.On = append(v.On, c.box.Host.ID)
	v.Alternatives = c.alternatives()
	v.Sentence = fmt.Sprintf("%s; %s; %s would keep %d of %d layers there and %s in the box's memory, which is slower%s",
		c.needs(n), c.largest(v), c.family.title, layers, c.model.Layers, bytesize.Format(rest), would(v.Alternatives))
	return v, true
}

// bestDevices are those with the most room.
func (c *comparison) bestDevices(n int) []Place {
	places := slices.Clone(c.box.Devices)
	slices.SortStableFunc(places, func(a, b Place) int { return cmp.Compare(b.Free, a.Free) })
	return places[:min(n, len(places))]
}
