package modeldefinitions_test

import (
	"fmt"
	"testing"

	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
	modeldefinitions "github.com/palisade-run/palisade/model-definitions"
)

// box has so many devices of a kind, and as much memory of its own beside them.
func box(n int, name, kind, architecture string, memory, own int64) plan.Box {
	b := plan.Box{
		Platform: "amd64", Containers: true, Host: plan.Host{Total: own << 30, Free: own << 30, Cores: 64, FreeCores: 64}, Disk: plan.Disk{Free: 4 << 40},
	}
	for i := range n {
		b.Devices = append(b.Devices, plan.Device{
			ID: fmt.Sprint(i), Name: name, Kind: kind, Architecture: architecture, Total: memory << 20, Free: memory << 20,
		})
	}
	return b
}

// Devices as their drivers count them, in MiB.
func boxes() map[string]plan.Box {
	return map[string]plan.Box{
		"laptop":   box(0, "", "", "", 0, 14),
		"8 GB":     box(1, "RTX 4060", "cuda", "sm_89", 8188, 30),
		"12 GB":    box(1, "RTX 3060", "cuda", "sm_86", 12288, 30),
		"16 GB":    box(1, "T4", "cuda", "sm_75", 15360, 60),
		"24 GB":    box(1, "RTX 4090", "cuda", "sm_89", 24564, 60),
		"48 GB":    box(1, "L40S", "cuda", "sm_89", 46068, 120),
		"80 GB":    box(1, "H100", "cuda", "sm_90", 81559, 240),
		"2x80 GB":  box(2, "A100", "cuda", "sm_80", 81920, 480),
		"8x80 GB":  box(8, "H100", "cuda", "sm_90", 81559, 1900),
		"8x141 GB": box(8, "H200", "cuda", "sm_90", 143771, 1900),
		"192 GB":   box(1, "MI300X", "rocm", "gfx942", 196592, 480),
	}
}

// What people with known boxes are offered.
func TestBoxesGetTheVariantsThatAreMeantForThem(t *testing.T) {
	wants := map[string]map[string]string{
		"qwen3-8b": {
			"laptop": "q8-0", "8 GB": "q8-0", "12 GB": "awq", "16 GB": "awq", "24 GB": "bf16", "80 GB": "bf16", "192 GB": "bf16-rocm",
		},
		"qwen3-32b":            {"24 GB": "q4-k-m", "48 GB": "fp8", "80 GB": "bf16", "2x80 GB": "bf16"},
		"llama-3.3-70b":        {"48 GB": "q4-k-m", "80 GB": "awq", "8x80 GB": "bf16", "192 GB": "bf16-rocm"},
		"gpt-oss-20b":          {"laptop": "gguf", "24 GB": "mxfp4", "80 GB": "mxfp4"},
		"gpt-oss-120b":         {"80 GB": "mxfp4", "2x80 GB": "mxfp4"},
		"llama-3.1-405b":       {"8x80 GB": "fp8", "80 GB": ""},
		"deepseek-r1-0528":     {"8x141 GB": "fp8", "8x80 GB": ""},
		"qwen3-235b-a22b":      {"8x80 GB": "fp8"},
		"qwen3-0.6b":           {"laptop": "q8-0", "8 GB": "q8-0", "12 GB": "bf16"},
		"gemma-3-27b":          {"24 GB": "q4-k-m", "80 GB": "bf16"},
		"qwen2.5-vl-7b":        {"laptop": "q4-k-m", "24 GB": "bf16"},
		"bge-m3":               {"laptop": "tei-cpu", "16 GB": "tei"},
		"whisper-large-v3":     {"16 GB": "f16", "laptop": ""},
		"kokoro-82m":           {"laptop": "cpu", "80 GB": "cpu"},
		"qwen-image":           {"80 GB": "bf16", "24 GB": ""},
		"mixtral-8x7b":         {"2x80 GB": "bf16"},
		"qwen3-embedding-0.6b": {"laptop": "tei-cpu", "192 GB": "tei-cpu"},
	}
	all := boxes()
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		for name, want := range wants[e.Name] {
			b, known := all[name]
			if !known {
				t.Fatalf("there is no box %q", name)
			}
			p := plan.Make(e.Recipe, plan.Wish{}, b)
			got := p.Variant
			if p.Verdict != plan.Fits {
				got = ""
			}
			if got != want {
				t.Errorf("on %s: %q, want %q: %s: %s; %v", name, got, want, p.Verdict, p.Sentence, p.Considered)
			}
		}
	})
}

// Each variant has a box that it fits.
func TestEveryVariantFitsSomewhere(t *testing.T) {
	all := boxes()
	all["8x192 GB"] = box(8, "MI300X", "rocm", "gfx942", 196592, 1900)
	each(t, func(t *testing.T, e recipe.Entry, _ facts) {
		for _, v := range e.Variants {
			fits := false
			for _, b := range all {
				fits = fits || plan.Make(e.Recipe, plan.Wish{Variant: v.Name}, b).Verdict == plan.Fits
			}
			if !fits {
				t.Errorf("%s fits none of %d boxes", v.Name, len(all))
			}
		}
	})
}

// BenchmarkListing lists everything that comes with the appliance, and how each fits a box of eight devices: palisade catalog list.
func BenchmarkListing(b *testing.B) {
	entries, _, err := recipe.Load(modeldefinitions.Files, recipe.Shipped)
	if err != nil {
		b.Fatal(err)
	}
	c, eight := recipe.NewCollection(entries), boxes()["8x80 GB"]
	for b.Loop() {
		for _, found := range c.Search(recipe.Query{}) {
			plan.Judge(found.Entry.Recipe, plan.Wish{}, eight)
		}
	}
}

// BenchmarkLoading reads them, as the appliance does once when it starts.
func BenchmarkLoading(b *testing.B) {
	for b.Loop() {
		if _, _, err := recipe.Load(modeldefinitions.Files, recipe.Shipped); err != nil {
			b.Fatal(err)
		}
	}
}
