package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/fit"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// need is the memory of one replica.
type need struct {
	weights, cache, overhead int64 // bytes, of all its devices
	measured                 int64 // all of it, where that was seen; else 0
	context, concurrency     int
	devices                  int // at least 1, for the box's own memory too
}

func (n need) total() int64 {
	if n.measured > 0 {
		return n.measured
	}
	return n.weights + n.cache + n.overhead
}

// each is what every device must have.
func (n need) each() int64 { return (n.total() + int64(n.devices) - 1) / int64(n.devices) }

func (n need) parts() []Part {
	if n.measured > 0 {
		return []Part{{Name: "all", Bytes: n.measured, Measured: true}}
	}
	var out []Part
	for _, p := range []Part{{Name: "weights", Bytes: n.weights}, {Name: "cache", Bytes: n.cache}, {Name: "overhead", Bytes: n.overhead}} {
		if p.Bytes > 0 {
			out = append(out, p)
		}
	}
	return out
}

// needOf is what a variant takes on so many devices: what the recipe says, with the cache in proportion to context and
// concurrency, and the overhead in proportion to devices.
func (m *maker) needOf(v recipe.Variant, kind string, devices int) need {
	n := need{weights: v.Memory.Weights, cache: v.Memory.Cache, overhead: v.Memory.Overhead, devices: devices}
	n.context, n.concurrency = m.wish.Context, m.wish.Concurrency
	if n.context == 0 {
		n.context = v.Context
	}
	if n.concurrency == 0 {
		n.concurrency = v.Concurrency
	}
	if v.Context > 0 && n.context > 0 {
		n.cache = scaled(n.cache, float64(n.context)/float64(v.Context))
	}
	if v.Concurrency > 0 && n.concurrency > 0 {
		n.cache = scaled(n.cache, float64(n.concurrency)/float64(v.Concurrency))
	}
	base, _ := m.devicesOf(v, kind)
	n.overhead = scaled(n.overhead, float64(devices)/float64(base))
	n.measured = m.measured(v, kind, n)
	return n
}

func scaled(bytes int64, by float64) int64 {
	return int64(min(math.Ceil(float64(bytes)*by), math.MaxInt64/16))
}

// measured is what the variant was seen to take, on devices of the only name that the box has of the kind.
func (m *maker) measured(v recipe.Variant, kind string, n need) int64 {
	for _, c := range m.box.Measured.Calibrations {
		if c.Recipe != m.recipe.Name || c.Variant != v.Name || max(1, c.Devices) != n.devices || c.Context != n.context || c.Concurrency != n.concurrency || c.Memory <= 0 {
			continue
		}
		same := true
		for _, d := range m.box.Devices {
			same = same && (d.Kind != kind || d.Name == c.Device)
		}
		if same {
			return c.Memory
		}
	}
	return 0
}

// devicesOf is how many devices the recipe gives a variant, or what part of one. An amount that is written for another kind is
// taken for this one too.
func (m *maker) devicesOf(v recipe.Variant, kind string) (devices int, share float64) {
	if kind == recipe.CPU {
		return 1, 1
	}
	amount := func(end string) (float64, bool) {
		text, said := v.MinimumNeeds[kind+end]
		if !said {
			for slot, other := range v.MinimumNeeds {
				if strings.HasSuffix(slot, end) && (text == "" || other < text) {
					text, said = other, true
				}
			}
		}
		n, err := strconv.ParseFloat(text, 64)
		return n, said && err == nil && n > 0 && n <= 4096
	}
	if n, said := amount(".device"); said && n >= 1 {
		return int(n), 1
	}
	if s, said := amount(".shares"); said && s < 1 {
		return 1, s
	}
	return 1, 1
}

// claims is the part of a device that an engine takes and must find free; 0: what it needs.
func claims(v recipe.Variant) float64 {
	for i, word := range v.Arguments {
		flag, value, joined := strings.Cut(word, "=")
		if flag != "--gpu-memory-utilization" {
			continue
		}
		if !joined && i+1 < len(v.Arguments) {
			value = v.Arguments[i+1]
		}
		if part, err := strconv.ParseFloat(value, 64); err == nil && part > 0 && part <= 1 {
			return part
		}
	}
	return fit.Engine(v.Runtime).Claims()
}

// spreads says whether an engine can spread a model over several devices.
func spreads(runtime string) bool {
	switch runtime {
	case "vllm", "sglang", "huggingface-tgi", "nim", "llama-cpp", "ollama", "modular-max":
		return true
	}
	return false
}

// architectureFits holds a device against the least architecture of a variant. known is false where the device does not say.
// NVIDIA's are numbered upwards; of AMD's, only those of one family can be compared.
func architectureFits(least, has string) (fits, known bool) {
	if least == "" {
		return true, true
	}
	if has == "" {
		return true, false
	}
	number := func(text, begin string, base int) (int, bool) {
		digits, is := strings.CutPrefix(text, begin)
		if base == 10 {
			digits = strings.TrimRight(digits, "af") // sm_90a, sm_100f
		}
		n, err := strconv.ParseInt(digits, base, 32)
		return int(n), is && err == nil
	}
	if a, is := number(least, "sm_", 10); is {
		b, same := number(has, "sm_", 10)
		return same && b >= a, true
	}
	if a, is := number(least, "gfx", 16); is {
		b, same := number(has, "gfx", 16)
		return same && a>>8 == b>>8 && b >= a, true
	}
	return least == has, true
}

// sentence is "needs 17.4 GiB (weights 15.3 GiB, cache 1 GiB for 2 sequences of 8192 tokens, overhead 1.1 GiB)".
func (n need) sentence() string {
	whole := n.total()
	if n.measured > 0 {
		return fmt.Sprintf("needs %s, as it was measured", bytesize.Format(whole))
	}
	var parts []string
	for _, p := range n.parts() {
		text := p.Name + " " + bytesize.Format(p.Bytes)
		if p.Name == "cache" {
			text += n.cacheFor()
		}
		parts = append(parts, text)
	}
	text := fmt.Sprintf("needs %s (%s)", bytesize.Format(whole), strings.Join(parts, ", "))
	if n.devices > 1 {
		text += fmt.Sprintf(", %s on each of %d devices", bytesize.Format(n.each()), n.devices)
	}
	return text
}

// cacheFor is what the cache is for: " for 2 sequences of 8192 tokens".
func (n need) cacheFor() string {
	switch {
	case n.context == 0:
		return ""
	case n.concurrency <= 1:
		return fmt.Sprintf(" for %d tokens", n.context)
	}
	return fmt.Sprintf(" for %d sequences of %d tokens", n.concurrency, n.context)
}
