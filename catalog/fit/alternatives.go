package fit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// storage is a way to store weights, and how many bits one takes on average.
type storage struct {
	name string
	bits float64
}

// Bits of a weight, all tensors together, as published for Llama 3.1 8B by llama.cpp's quantize tool. Ordered by quality.
var ggufStorage = []storage{{"Q8_0", 8.5008}, {"Q6_K", 6.5633}, {"Q5_K_M", 5.7036}, {"Q4_K_M", 4.8944}, {"Q3_K_M", 4.0097}, {"Q2_K", 3.1593}}

// Bits of a weight in the layers: 4 and a 16-bit scale and zero for each 128. Embedding and output keep 16.
var pagedStorage = []storage{{"FP8", 8}, {"AWQ or GPTQ with 4 bits", 4.25}}

// alternatives finds changes that make it fit, each by itself; where none does, all together.
func (c *comparison) alternatives() []Alternative {
	var out []Alternative
	r := c.request
	if n := c.longest(); n > 0 && n < c.estimate(r).Context {
		shorter := r
		shorter.Context = n
		out = c.offer(out, shorter, Alternative{Change: "context", Value: fmt.Sprint(n)}, fmt.Sprintf("with a context of %d", n))
	}
	out = c.fewer(out)
	out = c.smallerCache(out)
	out = c.otherStorage(out)
	out = append(out, c.otherDevices(r)...)
	if need := c.estimate(r); r.Engine == VLLM {
		out = c.smallerClaim(out, need)
	}
	if len(out) == 0 {
		out = c.combined()
	}
	return append(out, c.toItself()...)
}

// toItself finds devices that are large enough, and only held by others: nothing is wrong with the model then.
func (c *comparison) toItself() []Alternative {
	empty := *c
	empty.box.Devices = slices.Clone(c.box.Devices)
	for i := range empty.box.Devices {
		empty.box.Devices[i].Free = empty.box.Devices[i].Total
	}
	if slices.Equal(empty.box.Devices, c.box.Devices) {
		return nil
	}
	on, _ := empty.fits(c.request)
	a := Alternative{Change: "to itself", Value: strings.Join(on, ",")}
	return empty.offer(nil, c.request, a, fmt.Sprintf("with %s to itself", c.named(on)))
}

// offer adds an alternative if the request fits with it.
func (c *comparison) offer(out []Alternative, r Request, a Alternative, text string) []Alternative {
	on, need := c.fits(r)
	if on == nil {
		return out
	}
	a.Needs, a.Text = need.PerDevice, fmt.Sprintf("%s (%s)", text, bytesize.Format(need.PerDevice))
	return append(out, a)
}

// longest is the longest context that fits, at most what the model can; 0 where none does. It is rounded down.
func (c *comparison) longest() int {
	if c.model.Kind != Decoder || c.family.encoder {
		return 0
	}
	const step = 256
	fits := func(steps int) bool {
		r := c.request
		r.Context = steps * step
		on, _ := c.fits(r)
		return on != nil
	}
	whole := c.request
	whole.Context = 0
	most := max(c.estimate(c.request).Context, c.estimate(whole).Context, c.model.MaxContext)
	low, high := 0, most/step // low fits, or is nothing
	if fits(high) {
		return high * step
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	if tokens := low * step; tokens > 8192 {
		return tokens / 1024 * 1024
	}
	return low * step
}

// fewer finds how many sequences fit.
func (c *comparison) fewer(out []Alternative) []Alternative {
	if c.request.Sequences <= 1 || c.family.ggml && c.request.Context > 0 && c.request.Engine == LlamaCpp {
		return out // llama.cpp divides its context: fewer sequences free nothing
	}
	low, high := 0, c.request.Sequences
	for high-low > 1 {
		r := c.request
		r.Sequences = low + (high-low)/2
		if on, _ := c.fits(r); on != nil {
			low = r.Sequences
		} else {
			high = r.Sequences
		}
	}
	if low == 0 {
		return out
	}
	r := c.request
	r.Sequences = low
	text := fmt.Sprintf("with %d sequences at once", low)
	if low == 1 {
		text = "with one sequence at a time"
	}
	return c.offer(out, r, Alternative{Change: "sequences", Value: fmt.Sprint(low)}, text)
}

// cacheType is the smaller type that the engine can keep its cache in.
func (c *comparison) cacheType() string {
	if c.family.ggml {
		return "q8_0"
	}
	return "fp8"
}

func (c *comparison) smallerCache(out []Alternative) []Alternative {
	need := c.estimate(c.request)
	now, _ := ElementTypeOf(need.KeyType)
	smaller, _ := ElementTypeOf(c.cacheType())
	if need.Cache == 0 || !smaller.smaller(now) {
		return out
	}
	r := c.request
	r.KeyType, r.ValueType = smaller.Name, ""
	return c.offer(out, r, Alternative{Change: "cache type", Value: smaller.Name}, "with the KV cache in "+smaller.Name)
}

// stored is the model with its weights stored in another way, and whether that makes it smaller.
func (m Model) stored(as storage, gguf bool) (Model, bool) {
	other := m
	other.Format, other.Quantization, other.DType = GGUF, as.name, as.name
	other.WeightBytes = int64(float64(m.Parameters) * as.bits / 8)
	if !gguf {
		other.Format = Safetensors
		other.WeightBytes = m.quantized(as.bits)
	}
	return other, m.Parameters > 0 && other.WeightBytes < m.WeightBytes*95/100
}

func (c *comparison) storages() []storage {
	if c.family.ggml {
		return ggufStorage
	}
	return pagedStorage
}

// otherStorage finds the best quantization that fits.
func (c *comparison) otherStorage(out []Alternative) []Alternative {
	for _, as := range c.storages() {
		model, smaller := c.model.stored(as, c.family.ggml)
		if !smaller {
			continue
		}
		other := *c
		other.model, other.request.Quantization = model, ""
		if found := other.offer(nil, other.request, Alternative{Change: "quantization", Value: as.name}, "as "+as.name); len(found) > 0 {
			return append(out, found[0])
		}
	}
	return out
}

// otherDevices finds over how many devices it fits: of this box, or of its kind if there were more.
func (c *comparison) otherDevices(r Request) []Alternative {
	best := c.bestDevices(1)
	if len(best) == 0 {
		return nil
	}
	for _, n := range []int{1, 2, 4, 8} {
		if n == max(1, r.Devices) || n < r.Devices && c.estimate(r).Impossible == "" {
			continue
		}
		spread := r
		spread.Devices, spread.Stages = n, 0
		a := Alternative{Change: "devices", Value: fmt.Sprint(n)}
		text := fmt.Sprintf("on %d devices", n)
		if n == 1 {
			text = "on one device"
		}
		if found := c.offer(nil, spread, a, text); len(found) > 0 {
			if n > 1 {
				found[0].Text = fmt.Sprintf("%s (%s each)", text, bytesize.Format(found[0].Needs))
			}
			return found
		}
		more := *c
		more.box.Devices = nil
		for range n {
			more.box.Devices = append(more.box.Devices, best[0])
		}
		if found := more.offer(nil, spread, a, text); len(found) > 0 && len(c.box.Devices) < n {
			found[0].Text = fmt.Sprintf("%s such as this (%s each)", text, bytesize.Format(found[0].Needs))
			return found
		}
	}
	return nil
}

// smallerClaim finds a fraction with which vLLM starts: a smaller one on a device that others use too, or a larger one, of
// which it leaves a little.
func (c *comparison) smallerClaim(out []Alternative, need Need) []Alternative {
	for _, p := range c.bestDevices(1) {
		if p.Total <= 0 || need.PerDevice > p.Free {
			continue
		}
		fraction := min(0.95, float64(p.Free*100/p.Total)/100)
		r := c.request
		r.MemoryFraction = fraction
		out = c.offer(out, r, Alternative{Change: "memory fraction", Value: fmt.Sprintf("%.2f", fraction)}, fmt.Sprintf("with --gpu-memory-utilization %.2f", fraction))
	}
	return out
}

// combined takes the best quantization with which a usable context fits, with the smaller cache.
func (c *comparison) combined() []Alternative {
	for _, as := range append([]storage{{}}, c.storages()...) {
		other := *c
		text := "with"
		if as.name != "" {
			model, smaller := c.model.stored(as, c.family.ggml)
			if !smaller {
				continue
			}
			other.model = model
			text = "as " + as.name + " with"
		}
		other.request.Sequences, other.request.Quantization = min(1, c.request.Sequences), ""
		other.request.KeyType, other.request.ValueType = c.cacheType(), ""
		n := other.longest()
		if n < 2048 {
			continue
		}
		other.request.Context = n
		a := Alternative{Change: "combined", Value: fmt.Sprintf("%s, context %d, cache %s", as.name, n, c.cacheType())}
		return other.offer(nil, other.request, a, fmt.Sprintf("%s a context of %d and the KV cache in %s", text, n, c.cacheType()))
	}
	return nil
}
