package fit

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// published is a model as its own files would say it, by the parameters that its makers publish.
func published(t *testing.T, name string, parameters int64) Model {
	t.Helper()
	m := configOf(t, name)
	m.Format, m.Parameters, m.WeightBytes, m.DType = Safetensors, parameters, 2*parameters, "BF16"
	return m
}

func asGGUF(m Model, bits float64) Model {
	m.Format, m.WeightBytes, m.DType = GGUF, int64(float64(m.Parameters)*bits/8), "F16"
	return m
}

// gpus are devices of so many GiB, all of it free.
func gpus(sizes ...float64) Box {
	var b Box
	for i, s := range sizes {
		b.Devices = append(b.Devices, Place{ID: string(rune('a' + i)), Total: int64(s * gib), Free: int64(s * gib)})
	}
	return b
}

func (b Box) withHost(size float64) Box {
	b.Host = Place{ID: "host", Total: int64(2 * size * gib), Free: int64(size * gib)}
	return b
}

// What vLLM logs of Llama 3 8B on one device: "model weights take 14.96GiB", "PyTorch activation peak memory 1.26GiB" (of
// other versions 1.19 and 1.23) with 8192 tokens a step, and 0.22GiB with 512.
func TestPublishedNeeds(t *testing.T) {
	m := published(t, "llama-3-8b", 8_030_261_248)
	n := Estimate(m, Request{Engine: VLLM, BatchTokens: 8192})
	if g := float64(n.Weights) / gib; g < 14.9 || g > 15 {
		t.Errorf("weights %.2f GiB", g)
	}
	if g := float64(n.Compute) / gib; g < 1.0 || g > 1.3 {
		t.Errorf("compute %.2f GiB", g)
	}
	if n.Cache != gib || n.Context != 8192 || n.PerToken != 128<<10 {
		t.Errorf("%+v", n)
	}
	if g := float64(Estimate(m, Request{Engine: VLLM, BatchTokens: 512}).Compute) / gib; g < 0.2 || g > 0.35 {
		t.Errorf("compute %.2f GiB", g)
	}
	if n := Estimate(m, Request{Engine: VLLM, Quantization: "fp8"}); n.Weights < 8e9 || n.Weights > 9.3e9 {
		t.Errorf("weights %d in fp8", n.Weights) // as published for Llama-3-8B-FP8: 9.1 GB
	}
	if n := Estimate(published(t, "llama-3-70b", 70_553_706_496), Request{Engine: VLLM, Devices: 4, Context: 8192}); n.PerDevice < 33*gib || n.PerDevice > 38*gib {
		t.Errorf("%d on each of 4: about 35 GB of weights", n.PerDevice)
	}
}

func TestSpread(t *testing.T) {
	qwen := published(t, "qwen2.5-7b", 7_615_616_512)
	one := Estimate(qwen, Request{Engine: VLLM, Context: 32768})
	four := Estimate(qwen, Request{Engine: VLLM, Context: 32768, Devices: 4})
	if four.Cache != one.Cache {
		t.Errorf("4 heads of keys over 4 devices: %d, on one %d", four.Cache, one.Cache)
	}
	small := published(t, "qwen3-0.6b", 596_049_920)
	if n := Estimate(small, Request{Engine: VLLM, Context: 4096, Devices: 16}); n.Cache != 2*Estimate(small, Request{Engine: VLLM, Context: 4096}).Cache {
		t.Errorf("8 heads of keys over 16 devices are kept twice: %d", n.Cache)
	}
	if n := Estimate(qwen, Request{Engine: VLLM, Devices: 8}); !strings.Contains(n.Impossible, "28 attention heads can not be spread evenly over 8 devices") {
		t.Errorf("%q", n.Impossible)
	}
	if n := Estimate(qwen, Request{Engine: VLLM, Context: 32768, Devices: 8, Stages: 2}); n.Impossible != "" || n.Cache != one.Cache {
		t.Errorf("2 stages over 4 devices each: %q, %d", n.Impossible, n.Cache)
	}
	if n := Estimate(qwen, Request{Engine: VLLM, Devices: 3, Stages: 2}); n.Impossible != "3 devices can not be divided in 2 stages" {
		t.Errorf("%q", n.Impossible)
	}
	deepseek := published(t, "deepseek-v3", 671_026_419_200)
	if n := Estimate(deepseek, Request{Engine: VLLM, Devices: 8, Context: 16384}); n.Cache != 8*16384*61*576*2 {
		t.Errorf("what MLA keeps is not split: %d", n.Cache)
	}
	if n := Estimate(asGGUF(qwen, 16), Request{Engine: LlamaCpp, Devices: 2, Context: 4096, Sequences: 1}); n.PerDevice > n.Total/2+1 || n.Impossible != "" {
		t.Errorf("%+v", n)
	}
}

func TestWindows(t *testing.T) {
	m := published(t, "mistral-7b", 7_241_732_096)
	whole := Estimate(m, Request{Engine: SGLang, Context: 32768}).Cache
	if whole != 32768*128<<10 {
		t.Errorf("SGLang: %d", whole)
	}
	if n := Estimate(m, Request{Engine: VLLM, Context: 32768}); n.Cache != (4096+2048)*128<<10 {
		t.Errorf("vLLM: %d", n.Cache)
	}
}

func TestVerdicts(t *testing.T) {
	llama := published(t, "llama-3-8b", 8_030_261_248)
	seventy := published(t, "llama-3-70b", 70_553_706_496)
	qwen := published(t, "qwen2.5-7b", 7_615_616_512)
	bge := published(t, "bge-m3", 567_754_752)
	bge.DType, bge.WeightBytes = "F32", 4*bge.Parameters
	busy := gpus(24)
	busy.Devices[0].Free = 19 * gib
	taken := gpus(24, 24)
	taken.Devices[0].Free, taken.Devices[1].Free = 0, 0
	silent := gpus(24, 24)
	silent.Devices[0].Total, silent.Devices[0].Free = 0, 0
	silent.Devices[1].Total, silent.Devices[1].Free = 0, 0
	adapter := llama
	adapter.Kind = Adapter
	tests := []struct {
		name    string
		model   Model
		request Request
		box     Box
		outcome Outcome
		want    string
	}{
		{"fits", llama, Request{Engine: VLLM}, gpus(24), Fits, "needs 17.4 GiB (weights 15 GiB, KV cache 1 GiB for 8192 tokens, engine 1.5 GiB); fits a"},
		{"fits the smallest", llama, Request{Engine: VLLM}, gpus(80, 24, 48), Fits, "fits b"},
		{"too small", llama, Request{Engine: VLLM}, gpus(12), DoesNotFit,
			"needs 17.4 GiB (weights 15 GiB, KV cache 1 GiB for 8192 tokens, engine 1.5 GiB); the largest free device has 12 GiB, of which the engine uses 10.8 GiB; " +
				"would fit as AWQ or GPTQ with 4 bits (7.9 GiB), or on 2 devices such as this (9.9 GiB each)"},
		{"a long context", qwen, Request{Engine: VLLM, Context: 131072}, gpus(24), DoesNotFit,
			"would fit with a context of 109568 (21.6 GiB), or with the KV cache in fp8 (19.2 GiB), or as FP8 (16.7 GiB), or on 2 devices such as this (12.7 GiB each), or with --gpu-memory-utilization 0.95 (22.7 GiB)"},
		{"several", seventy, Request{Engine: VLLM}, gpus(80, 80, 80, 80), DoesNotFit, "; the largest free device has 80 GiB, of which the engine uses 72 GiB; " +
			"would fit as AWQ or GPTQ with 4 bits (43.3 GiB), or on 2 devices (70.5 GiB each)"},
		{"several that it is spread over", seventy, Request{Engine: VLLM, Devices: 4}, gpus(80, 80, 80, 80), Fits, "37 GiB on each of 4 devices; fits 4 devices"},
		{"more than there are", seventy, Request{Engine: VLLM, Devices: 4}, gpus(80, 80), DoesNotFit, "there are 2 devices; would fit"},
		{"heads", qwen, Request{Engine: VLLM, Devices: 8}, gpus(24, 24, 24, 24, 24, 24, 24, 24), DoesNotFit, "28 attention heads can not be spread evenly over 8 devices; would fit on one device (17.5 GiB)"},
		{"sequences", llama, Request{Engine: VLLM, Sequences: 16}, gpus(24), DoesNotFit, "KV cache 16 GiB for 8192 tokens of each of 16 sequences, engine 1.5 GiB); the largest free device has 24 GiB, " +
			"of which the engine uses 21.6 GiB; would fit with a context of 2560 (21.4 GiB), or with 5 sequences at once (21.4 GiB)"},
		{"a device in use", llama, Request{Engine: VLLM}, busy, DoesNotFit, "vLLM starts only where 0.9 of the device is free: 21.6 GiB of 24 GiB; would fit with --gpu-memory-utilization 0.79 (17.4 GiB), or with a to itself (17.4 GiB)"},
		{"devices that others hold", llama, Request{Engine: VLLM}, taken, DoesNotFit, "21.6 GiB of 24 GiB; would fit with a to itself (17.4 GiB)"},
		{"several that others hold", seventy, Request{Engine: VLLM, Quantization: "fp8"}, taken, DoesNotFit, "nothing was found"},
		{"a fraction", llama, Request{Engine: VLLM, MemoryFraction: 0.5}, gpus(24), DoesNotFit, "of which the engine uses 12 GiB"},
		{"nothing helps", seventy, Request{Engine: VLLM}, gpus(4), DoesNotFit, "; nothing was found that would fit: it wants a larger device"},
		{"all together", llama, Request{Engine: SGLang, Context: 1 << 20, Sequences: 8}, gpus(10), DoesNotFit, "would fit as AWQ or GPTQ with 4 bits with a context of 31744 and the KV cache in fp8"},
		{"shorter by itself", llama, Request{Engine: SGLang}, gpus(18.5), Fits, "SGLang takes the context that there is room for, up to about"},
		{"llama.cpp", asGGUF(llama, 4.8944), Request{Engine: LlamaCpp, Context: 8192}, gpus(12), Fits, "needs 6.3 GiB (weights 4.6 GiB, KV cache 1 GiB for 8192 tokens shared by 4 sequences, engine 770.5 MiB); fits a"},
		{"llama.cpp shorter", asGGUF(llama, 4.8944), Request{Engine: LlamaCpp}, gpus(8), Fits, "llama.cpp takes the context that there is room for"},
		{"llama.cpp partly", asGGUF(llama, 16), Request{Engine: LlamaCpp, Context: 8192, Sequences: 1}, gpus(12).withHost(32), FitsPartly,
			"llama.cpp would keep 22 of 32 layers there and 5 GiB in the box's memory, which is slower; would fit as Q8_0 (9.7 GiB)"},
		{"llama.cpp without", asGGUF(llama, 16), Request{Engine: LlamaCpp, Context: 8192, Sequences: 1}, gpus(8), DoesNotFit, "would fit as Q6_K (7.9 GiB)"},
		{"all layers asked for", asGGUF(llama, 16), Request{Engine: LlamaCpp, Context: 8192, Sequences: 1, DeviceLayers: new(99)}, gpus(8).withHost(64), DoesNotFit, "would fit as Q6_K"},
		{"the box's memory", asGGUF(llama, 4.8944), Request{Engine: LlamaCpp, Context: 4096}, Box{}.withHost(16), Fits, "fits the box's memory, of which 16 GiB are free"},
		{"too small a box", asGGUF(llama, 16), Request{Engine: LlamaCpp, Context: 4096}, Box{}.withHost(8), DoesNotFit, "the box has 8 GiB of memory free; would fit as Q6_K"},
		{"no box", asGGUF(llama, 16), Request{Engine: LlamaCpp, Context: 4096}, Box{}, CannotTell, "there is no device, and the box's memory is not known"},
		{"no device for vLLM", llama, Request{Engine: VLLM}, Box{}.withHost(64), CannotTell, "vLLM runs without one only where it was built for that"},
		{"embeddings", bge, Request{Engine: TEI}, gpus(4), Fits, "needs 2 GiB (weights 1.1 GiB, engine 960 MiB); fits a"},
		{"embeddings without a device", bge, Request{Engine: TEI}, Box{}.withHost(4), Fits, "needs 2.8 GiB (weights 2.1 GiB, engine 748 MiB); fits the box's memory"},
		{"silent devices", llama, Request{Engine: VLLM}, silent, CannotTell, "not every device says how much memory it has"},
		{"an adapter", adapter, Request{Engine: VLLM}, gpus(24), CannotTell, "it is an adapter"},
		{"another engine", llama, Request{Engine: "triton"}, gpus(24), CannotTell, "its weights have 15 GiB, and what the engine adds is not known"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Fit(tt.model, tt.request, tt.box)
			if v.Outcome != tt.outcome || !strings.Contains(v.Sentence, tt.want) {
				t.Errorf("%s: %s\nwant %s: %s", v.Outcome, v.Sentence, tt.outcome, tt.want)
			}
			if (v.Outcome == Fits) != (len(v.On) > 0) && v.Outcome != FitsPartly {
				t.Errorf("%s on %v", v.Outcome, v.On)
			}
		})
	}
}

// An alternative that is offered is one that fits, and a longest context is one that fits where the next longer does not.
func TestAlternativesAreTrue(t *testing.T) {
	models := []Model{published(t, "llama-3-8b", 8_030_261_248), published(t, "gemma-3-4b", 4_300_079_472), published(t, "gpt-oss-20b", 20_914_757_184)}
	for _, m := range models {
		for _, engine := range []Engine{VLLM, SGLang, LlamaCpp, Ollama} {
			for _, device := range []float64{4, 8, 12, 16, 24, 48, 80} {
				r, box := Request{Engine: engine, Context: 65536, Sequences: 4}, gpus(device)
				v := Fit(m, r, box)
				if v.Outcome == Fits {
					longer := r
					longer.Context = v.Context
					if Fit(m, longer, box).Outcome != Fits {
						t.Errorf("%s on %s of %g: a context of %d does not fit", m.Architecture, engine, device, v.Context)
					}
					continue
				}
				for _, a := range v.Alternatives {
					if a.Needs <= 0 || float64(a.Needs) > device*gib {
						t.Errorf("%s on %s of %g: %+v", m.Architecture, engine, device, a)
					}
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	files := fstest.MapFS{"README.md": {Data: []byte("# nothing")}, "bad/m.gguf": {Data: []byte("GG")}}
	v, err := Check(files, Request{Engine: LlamaCpp}, gpus(8))
	if !errors.Is(err, ErrDamaged) || v.Outcome != "" {
		t.Errorf("%+v %v", v, err)
	}
	delete(files, "bad/m.gguf")
	v, err = Check(files, Request{Engine: LlamaCpp}, gpus(8))
	if want := (Verdict{Outcome: CannotTell, Sentence: "cannot tell what it needs: no model files that can be read in .", Places: []PlaceFit{}}); err != nil || !cmp.Equal(want, v) {
		t.Errorf("%+v %v", v, err)
	}
	if _, err = Check(files, Request{Engine: LlamaCpp, Path: "gone"}, gpus(8)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
