package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/recipe"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// eight is a model of eight billion parameters, as vLLM runs it whole or in four bits, and llama.cpp without a device.
func eight() recipe.Recipe {
	return recipe.Recipe{
		Name: "qwen3-8b", Context: 40960,
		Sources: []recipe.Source{{Name: "whole", From: "hf:Qwen/Qwen3-8B", Bytes: 16 * gib}, {Name: "small", From: "hf:Qwen/Qwen3-8B-AWQ", Bytes: 6 * gib}, {Name: "gguf", From: "hf:Qwen/Qwen3-8B-GGUF", Bytes: 5 * gib}},
		Variants: []recipe.Variant{
			{
				Name: "bf16", Runtime: "vllm", Accelerators: []string{"cuda", "rocm"}, Minimum: "sm_80", Source: "whole", Context: 32768, Concurrency: 1,
				Images: []recipe.Image{{Reference: "docker.io/vllm/vllm-openai:v0.11.0"}}, Memory: recipe.Memory{Weights: 15 * gib, Cache: 4 * gib, Overhead: 2 * gib},
				MinimumNeeds: map[string]string{"cpu": "4", "mem": "16g", "cuda.device": "1"}, Recommended: map[string]string{"cpu": "8", "mem": "32g", "cuda.device": "1"},
			},
			{
				Name: "awq", Runtime: "vllm", Accelerators: []string{"cuda"}, Minimum: "sm_75", Source: "small", Context: 32768, Concurrency: 1,
				Images: []recipe.Image{{Reference: "docker.io/vllm/vllm-openai:v0.11.0"}}, Memory: recipe.Memory{Weights: 6 * gib, Cache: 4 * gib, Overhead: 2 * gib},
				MinimumNeeds: map[string]string{"cpu": "4", "mem": "16g", "cuda.device": "1"},
			},
			{
				Name: "q4", Runtime: "llama-cpp", Accelerators: []string{"cpu"}, Source: "gguf", Context: 8192, Concurrency: 1,
				Images: []recipe.Image{{Reference: "ghcr.io/ggml-org/llama.cpp:server"}}, Memory: recipe.Memory{Weights: 5 * gib, Cache: gib, Overhead: gib / 2},
				MinimumNeeds: map[string]string{"cpu": "4", "mem": "2g"},
			},
		},
	}
}

func cards(n int, total int64, more ...func(int, *Device)) []Device {
	out := make([]Device, n)
	for i := range out {
		out[i] = Device{ID: fmt.Sprintf("GPU-%d", i), Name: fmt.Sprintf("Card %d", total/gib), Kind: "cuda", Architecture: "sm_90", Total: total, Free: total}
		for _, change := range more {
			change(i, &out[i])
		}
	}
	return out
}

// room is a box with containers, a disk, and memory and cores enough.
func room(devices []Device, more ...func(*Box)) Box {
	b := Box{
		Platform: "amd64", Devices: devices, Host: Host{Total: 64 * gib, Free: 64 * gib, Cores: 32, FreeCores: 32},
		Disk: Disk{Free: 500 * gib}, Containers: true, Processes: true,
	}
	for _, change := range more {
		change(&b)
	}
	return b
}

func held(by string, move bool) func(int, *Device) {
	return func(_ int, d *Device) { d.Free, d.Holders = 0, []Holder{{Name: by, Bytes: d.Total, MayMove: move}} }
}

func TestPlans(t *testing.T) {
	for _, row := range []struct {
		name string
		wish Wish
		box  Box
		want string // verdict, variant, kind, image, devices; then what the sentence holds
		says string
	}{
		{"a large card", Wish{}, room(cards(1, 80*gib)), "fits bf16 cuda GPU-0", "needs 21 GiB (weights 15 GiB, cache 4 GiB for 32768 tokens, overhead 2 GiB); fits Card 80"},
		{"the smallest that is enough", Wish{}, room(append(cards(1, 80*gib), Device{ID: "S", Name: "Card 24", Kind: "cuda", Architecture: "sm_89", Total: 24 * gib, Free: 24 * gib})), "fits bf16 cuda S", ""},
		{"a smaller card", Wish{}, room(cards(1, 16*gib)), "fits awq cuda GPU-0", "fits Card 16"},
		{"quantized on one before whole on two", Wish{}, room(cards(2, 16*gib)), "fits awq cuda GPU-0", ""},
		{"whole on two, as wished", Wish{Variant: "bf16"}, room(cards(2, 16*gib)), "fits bf16 cuda GPU-0,GPU-1", "overhead 4 GiB), 11.5 GiB on each of 2 devices; fits 2 devices (Card 16)"},
		{"no card", Wish{}, room(nil), "fits q4 cpu ", "fits the box's memory, of which 64 GiB are free"},
		{"two replicas", Wish{Replicas: 2}, room(cards(2, 80*gib)), "fits bf16 cuda GPU-0|GPU-1", "2 times; fits 2 devices (Card 80)"},
		{"three replicas on two cards", Wish{Replicas: 3, Variant: "bf16"}, room(cards(2, 80*gib)), "does not fit bf16 cuda ", "it takes 3 devices, and there are 2; would fit as q4 (6.5 GiB), or with 2 replicas (21 GiB), or on 4 devices such as Card 80 (21 GiB)"},
		{"an old card", Wish{}, room(cards(1, 80*gib, func(_ int, d *Device) { d.Architecture = "sm_75" })), "fits awq cuda GPU-0", ""},
		{"a card that does not say", Wish{Variant: "bf16"}, room(cards(1, 80*gib, func(_ int, d *Device) { d.Architecture = "" })), "fits bf16 cuda GPU-0", ""},
		{"somebody has it", Wish{Variant: "bf16"}, room(cards(1, 80*gib, held("service chat", false))), "does not fit bf16 cuda ", "all 1 device of this kind are used by service chat; would fit as q4 (6.5 GiB), or when service chat no longer ran (21 GiB)"},
		{"who has it may move", Wish{Variant: "bf16"}, room(cards(1, 80*gib, held("session abc", true))), "fits when others move bf16 cuda GPU-0", "fits Card 80 when session abc made room"},
		{"moving is for later variants too late", Wish{}, room(cards(1, 80*gib, held("session abc", true))), "fits q4 cpu ", ""},
		{"vLLM wants most of it free", Wish{Variant: "awq"}, room(cards(1, 24*gib, func(_ int, d *Device) { d.Free = 20 * gib })), "does not fit awq cuda ", "the largest free device has 20 GiB, and vllm starts only where 21.6 GiB of it are free"},
		{"too long for the model", Wish{Context: 100_000}, room(cards(1, 80*gib)), "does not fit q4 cpu ", "none of its variants can run here: a context of 100000 is asked for, and the model is made for 40960; would fit with a context of 40960 (22 GiB)"},
		{"too long for the card", Wish{Variant: "awq", Context: 40960}, room(cards(1, 14*gib)), "does not fit awq cuda ", "would fit as q4 (10.5 GiB), or with a context of 36864 (12.5 GiB), or on 2 devices such as Card 14 (15 GiB)"},
		{"many at once", Wish{Variant: "awq", Concurrency: 64}, room(cards(1, 24*gib)), "does not fit awq cuda ", "with 3 sequences at once (20 GiB)"},
		{"a disk that is full", Wish{}, room(cards(1, 80*gib), func(b *Box) { b.Disk = Disk{Free: 8 * gib, Reserve: gib} }), "fits awq cuda GPU-0", ""},
		{"a disk that has it already", Wish{}, room(cards(1, 80*gib), func(b *Box) { b.Disk.Free, b.Here = gib, map[string]int64{"hf:Qwen/Qwen3-8B": 16 * gib} }), "fits bf16 cuda GPU-0", ""},
		{"no disk at all", Wish{}, room(cards(1, 80*gib), func(b *Box) { b.Disk.Free = gib }), "does not fit q4 cpu ", "none of its variants fits; of q4: its files need 5 GiB of disk, and 1 GiB are free"},
		{"no images, a program", Wish{}, room(cards(1, 80*gib), func(b *Box) { b.Containers, b.Programs = false, map[string]bool{"llama-cpp": true} }), "fits q4 cpu ", ""},
		{"no images, no programs", Wish{}, room(nil, func(b *Box) { b.Containers = false }), "does not fit q4 cpu ", "this box runs no images, and has no program of"},
		{"another platform", Wish{}, room(nil, func(b *Box) { b.Platform = "arm64" }), "fits q4 cpu ", ""},
		{"an unknown variant", Wish{Variant: "fp4"}, room(nil), "does not fit   ", `qwen3-8b has no variant "fp4"; it has bf16, awq, q4`},
		{"little memory", Wish{Variant: "q4"}, room(nil, func(b *Box) { b.Host.Free = 4 * gib }), "does not fit q4 cpu ", "needs 6.5 GiB"},
		{"few cores", Wish{Variant: "q4"}, room(nil, func(b *Box) { b.Host.FreeCores = 2 }), "does not fit q4 cpu ", "wants 4 cores, and 2 are free"},
		{"a broken card", Wish{Variant: "bf16"}, room(cards(1, 80*gib, func(_ int, d *Device) { d.Trouble = "fell off the bus" })), "does not fit bf16 cuda ", "Card 80: fell off the bus"},
		{"a card without a size", Wish{Variant: "bf16"}, room(cards(1, 0)), "cannot tell bf16 cuda GPU-0", "Card 0 does not say how much memory it has"},
		{"these devices", Wish{On: []string{"GPU-1"}}, room(cards(2, 80*gib)), "fits bf16 cuda GPU-1", ""},
		{"devices that are not there", Wish{On: []string{"GPU-7"}, Variant: "bf16"}, room(cards(2, 80*gib)), "does not fit bf16 cuda ", "none of those is among the devices that are asked for; would fit on other devices of this box"},
		{"on the processors", Wish{On: []string{"cpu"}}, room(cards(2, 80*gib)), "fits q4 cpu ", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := Make(eight(), row.wish, row.box)
			var replicas []string
			for _, r := range p.Replicas {
				var ids []string
				for _, u := range r.Devices {
					ids = append(ids, u.ID)
				}
				replicas = append(replicas, strings.Join(ids, ","))
			}
			if got := fmt.Sprintf("%s %s %s %s", p.Verdict, p.Variant, p.Kind, strings.Join(replicas, "|")); got != row.want {
				t.Errorf("%s, want %s\n%s\n%+v", got, row.want, p.Sentence, p.Considered)
			}
			if !strings.Contains(p.Sentence, row.says) {
				t.Errorf("%s\nwant %s", p.Sentence, row.says)
			}
		})
	}
}

func TestWhatAPlanSays(t *testing.T) {
	box := room(cards(2, 80*gib), func(b *Box) {
		b.Here = map[string]int64{"hf:Qwen/Qwen3-8B": 6 * gib}
		b.Measured = Measured{Download: Speed{Rate: 100 * mib, From: "the last download"}, Load: Speed{Rate: gib, From: "5 starts"}}
	})
	p := Make(eight(), Wish{Replicas: 2}, box)
	if p.Image != "docker.io/vllm/vllm-openai:v0.11.0" || p.ImageHere || p.Source != "whole" || p.Resources["cpu"] != "8" || p.Resources["mem"] != "32g" || p.Resources["cuda.device"] != "1" || len(p.Resources) != 3 {
		t.Errorf("%+v", p)
	}
	want := []Step{
		{Name: "download", Bytes: 10 * gib, Took: 102400 * time.Millisecond, Known: true, From: "the last download"},
		{Name: "image", From: "how large it is is known once it is asked for"},
		{Name: "load", Bytes: 15 * gib, Took: 15 * time.Second, Known: true, From: "5 starts"},
	}
	if fmt.Sprint(p.Steps) != fmt.Sprint(want) {
		t.Errorf("%+v", p.Steps)
	}
	if sum, known := p.Seconds(); known || sum != 117400*time.Millisecond {
		t.Errorf("%v, %v", sum, known)
	}
	// Two of them with what is recommended do not fit the box's cores: the least is taken.
	box.Host.FreeCores = 10
	if p := Make(eight(), Wish{Replicas: 2}, box); p.Resources["cpu"] != "4" || p.Verdict != Fits {
		t.Errorf("%+v", p)
	}
	// A box with fewer cores than the recipe wants runs it all the same.
	small := box
	small.Host.Cores, small.Host.FreeCores = 2, 2
	if p := Make(eight(), Wish{}, small); p.Verdict != Fits || p.Resources["cpu"] != "2" || len(p.Warnings) != 1 || p.Warnings[0] != "the recipe wants 4 cores, and the box has 2: it is slower for it" {
		t.Errorf("%+v", p)
	}
	// What was measured on this kind of device wins over what the recipe says.
	box.Measured.Calibrations = []Calibration{{Recipe: "other", Variant: "bf16", Device: "Card 80", Devices: 1, Context: 32768, Concurrency: 1, Memory: gib}, {Recipe: "qwen3-8b", Variant: "bf16", Device: "Card 80", Devices: 1, Context: 32768, Concurrency: 1, Memory: 33 * gib, Load: time.Minute}}
	p = Make(eight(), Wish{}, box)
	if p.Memory != 33*gib || len(p.Parts) != 1 || !p.Parts[0].Measured || p.Steps[2].Took != time.Minute || !strings.Contains(p.Sentence, "as it was measured") {
		t.Errorf("%+v", p)
	}
	// A part of a device goes where others are already.
	r := eight()
	r.Variants[2].Accelerators, r.Variants[2].MinimumNeeds = []string{"cuda"}, map[string]string{"cpu": "1", "mem": "1g", "cuda.shares": "0.05"}
	box = room(cards(2, 40*gib, func(i int, d *Device) {
		if i == 1 {
			d.Free, d.Holders = 20*gib, []Holder{{Name: "service a", Bytes: 20 * gib}}
		}
	}))
	p = Make(r, Wish{Variant: "q4"}, box)
	if p.Verdict != Fits || p.Replicas[0].Devices[0].ID != "GPU-1" || p.Resources["cuda.shares"] != "0.2" || p.Replicas[0].Devices[0].Share != 0.2 {
		t.Errorf("%+v", p)
	}
}

// What was made up of files names no kinds of accelerators.
func TestRecipesWithoutKinds(t *testing.T) {
	r := recipe.Recipe{Name: "x", Variants: []recipe.Variant{{Name: "files", Runtime: "vllm", Images: []recipe.Image{{Reference: "x:1"}}, Memory: recipe.Memory{Weights: gib}}}}
	if p := Make(r, Wish{}, room(cards(1, 16*gib))); p.Verdict != Fits || p.Kind != "cuda" {
		t.Errorf("%+v", p)
	}
	if p := Make(r, Wish{}, room(nil)); p.Verdict != DoesNotFit || p.Sentence != "vllm wants an accelerator, and this box has none" {
		t.Errorf("%+v", p)
	}
	r.Variants[0].Runtime = "llama-cpp"
	if p := Make(r, Wish{}, room(nil)); p.Verdict != Fits || p.Kind != "cpu" {
		t.Errorf("%+v", p)
	}
}

func TestArchitectures(t *testing.T) {
	for _, row := range []struct {
		least, has  string
		fits, known bool
	}{
		{"", "sm_70", true, true}, {"sm_80", "sm_90", true, true}, {"sm_80", "sm_75", false, true}, {"sm_90", "sm_120", true, true},
		{"sm_90a", "sm_90", true, true}, {"sm_80", "", true, false}, {"sm_80", "gfx942", false, true}, {"gfx942", "gfx950", true, true},
		{"gfx942", "gfx90a", false, true}, {"gfx90a", "gfx942", true, true}, {"gfx942", "gfx1100", false, true}, {"gfx1100", "gfx1100", true, true},
	} {
		if fits, known := architectureFits(row.least, row.has); fits != row.fits || known != row.known {
			t.Errorf("%q on %q: %v, %v", row.least, row.has, fits, known)
		}
	}
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "16g": 16 * gib, "16GiB": 16 * gib, "256m": 256 * mib, "5": 5, "1.5g": 3 * gib / 2, "x": 0, "-1g": 0, "9e99g": 0} {
		if got := amountOf(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// What is refused may be tried all the same, and then takes what it would have taken: an engine without its device would start on
// the processors.
func TestRefusedPlansSayTheirResources(t *testing.T) {
	full := room(cards(1, 80*gib), func(b *Box) { b.Disk.Free = gib })
	old := room(cards(1, 80*gib, func(_ int, d *Device) { d.Architecture = "sm_70" }))
	for name, b := range map[string]Box{"disk": full, "architecture": old} {
		p := Make(eight(), Wish{Variant: "bf16"}, b)
		if p.Verdict != DoesNotFit || p.Resources["cuda.device"] != "1" || p.Resources["cpu"] == "" || p.Resources["mem"] == "" {
			t.Errorf("%s: %s, takes %v: %s", name, p.Verdict, p.Resources, p.Sentence)
		}
	}
}

// Files are here when those of the same source are: other files of the same place are not.
func TestWhatIsHereIsNotFetched(t *testing.T) {
	r := eight()
	r.Sources[0].Files = []string{"*.safetensors"}
	b := room(cards(1, 80*gib), func(b *Box) {
		b.Disk.Free = 4 * gib
		b.Here = map[string]int64{"hf:Qwen/Qwen3-8B": 16 * gib}
	})
	if p := Make(r, Wish{Variant: "bf16"}, b); p.Verdict != DoesNotFit || p.Disk.Here != 0 {
		t.Errorf("other files count: %+v: %s", p.Disk, p.Sentence)
	}
	b.Here[r.Sources[0].Where()] = 15 * gib
	if p := Make(r, Wish{Variant: "bf16"}, b); p.Verdict != Fits || p.Disk.Here != 15*gib {
		t.Errorf("what is here does not count: %+v: %s", p.Disk, p.Sentence)
	}
}

// What a definition starts is in its image: a box that runs none has nothing to start.
func TestADefinitionsImageIsNoProgramOfTheBox(t *testing.T) {
	r := eight()
	r.Variants = r.Variants[2:]
	r.Variants[0].Runtime = "custom"
	b := room(nil, func(b *Box) { b.Containers, b.Programs = false, map[string]bool{"custom": true} })
	if p := Make(r, Wish{}, b); p.Verdict != DoesNotFit || !strings.Contains(p.Sentence, "this box runs no images") {
		t.Errorf("%s: %s", p.Verdict, p.Sentence)
	}
	r.Variants[0].Images = nil
	if p := Make(r, Wish{}, b); p.Verdict != Fits || p.Image != "host" {
		t.Errorf("without an image: %s: %s", p.Verdict, p.Sentence)
	}
}
