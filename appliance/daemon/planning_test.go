package daemon

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// oneCard is a box with one card, which a session holds.
func oneCard() []accel.Status {
	const gib = 1 << 30
	claim := accel.Claim{Session: "ses-1", Node: "box", Slots: accel.Slots{accel.SlotCPU: 4000, accel.SlotMem: 8 * gib, "cuda.device": 100}, Shares: []accel.Share{{Device: "GPU-0", Amount: 100}}}
	node := accel.Node{Name: "box", CPU: 8000, Memory: 32 * gib, Devices: []accel.Device{{ID: "GPU-0", Name: "Card", Family: "cuda", Slot: "cuda.device", Memory: 100 * gib}}}
	return []accel.Status{{
		State: accel.NewState(node, claim), Claims: []accel.Entry{{Claim: claim, State: accel.ClaimHeld}},
		Samples: map[string]accel.Sample{"GPU-0": {MemoryUsed: 90 * gib}},
	}}
}

// What takes the place of a service may have what the service has; others find it held.
func TestAServiceIsNotInItsOwnWay(t *testing.T) {
	const gib = 1 << 30
	holders := map[string]plan.Holder{"ses-1": {Name: "service chat"}}
	got := boxOf(oneCard(), "box", holders, map[string]bool{"ses-1": true}, 20*gib)
	want := plan.Box{
		Host:    plan.Host{Total: 32 * gib, Free: 20 * gib, Cores: 8, FreeCores: 8},
		Devices: []plan.Device{{ID: "GPU-0", Name: "Card", Kind: "cuda", Total: 100 * gib, Free: 100 * gib}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("for itself: %s", d)
	}
	got = boxOf(oneCard(), "box", holders, nil, 20*gib)
	want.Host.Free, want.Host.FreeCores = 12*gib, 4
	want.Devices[0].Free, want.Devices[0].Holders = 0, []plan.Holder{{Name: "service chat", Bytes: 100 * gib}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("for others: %s", d)
	}
}

// shipped are recipes that come with the appliance.
type shipped []recipe.Recipe

func (s shipped) Collection(context.Context) *recipe.Collection {
	var out []recipe.Entry
	for _, r := range s {
		out = append(out, recipe.Entry{Catalog: recipe.Shipped, Recipe: r})
	}
	return recipe.NewCollection(out)
}

// An engine's image runs any model; one that holds a model, or that a definition starts, is of nobody else.
func TestImagesAreLentOnlyByEngines(t *testing.T) {
	table, problems := variants.Load("")
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	variant := func(runtime string, images ...recipe.Image) recipe.Recipe {
		return recipe.Recipe{Name: runtime, Variants: []recipe.Variant{{Name: "a", Runtime: runtime, Accelerators: []string{"cuda"}, Images: images}}}
	}
	var all shipped
	for _, name := range []string{"vllm", "nim", "custom", "cmd", "ollama"} {
		all = append(all, variant(name, recipe.Image{Reference: "example.org/" + name + ":1"}))
	}
	p := &planning{variants: table, recipes: all}
	for name, want := range map[string]string{"vllm": "example.org/vllm:1", "nim": "", "custom": "", "cmd": "", "nobody-knows": ""} {
		if got := p.WithImages(t.Context(), variant(name)).Variants[0].Image("cuda", "amd64"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A plan tells nobody what is done in other projects than its own.
func TestHolderName(t *testing.T) {
	services := map[string]string{"svc-1": "chat"}
	for _, c := range []struct {
		s       sessions.Session
		project string
		want    string
	}{
		{sessions.Session{ID: "ses-1", Project: "red", ServiceID: "svc-1"}, "red", "service chat"},
		{sessions.Session{ID: "ses-2", Project: "red", Name: "night"}, "red", "session night"},
		{sessions.Session{ID: "ses-3", Project: "red"}, "red", "session ses-3"},
		{sessions.Session{ID: "ses-1", Project: "red", ServiceID: "svc-1"}, "blue", "somebody of another project"},
		{sessions.Session{ID: "ses-2", Project: "red", Name: "night"}, "", "somebody of another project"},
	} {
		if got := holderName(&c.s, c.project, services); got != c.want {
			t.Errorf("%s of %s for %q: %q, want %q", c.s.ID, c.s.Project, c.project, got, c.want)
		}
	}
}
