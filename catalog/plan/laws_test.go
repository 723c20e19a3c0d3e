package plan

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// made are a recipe, a wish and a box of any kind.
func made(seed uint64) (recipe.Recipe, Wish, Box) {
	r := rand.New(rand.NewPCG(seed, 7))
	of := func(words ...string) string { return words[r.IntN(len(words))] }
	out := recipe.Recipe{Name: "m", Context: []int{0, 32768, 131072}[r.IntN(3)], Sources: []recipe.Source{{Name: "s", From: "hf:a/b", Bytes: int64(r.IntN(40)) * gib}}}
	for i := range 1 + r.IntN(4) {
		v := recipe.Variant{
			Name: fmt.Sprintf("v%d", i), Runtime: of("vllm", "sglang", "llama-cpp", "tei"), Minimum: of("", "sm_80", "gfx942"), Source: of("s", ""),
			Memory:  recipe.Memory{Weights: r.Int64N(60 * gib), Cache: r.Int64N(20 * gib), Overhead: r.Int64N(3 * gib)},
			Context: r.IntN(3) * 8192, Concurrency: r.IntN(5), MinimumNeeds: map[string]string{"cpu": of("1", "8"), "mem": of("1g", "20g")},
			Images: []recipe.Image{{Reference: "x:1"}},
		}
		v.Accelerators = [][]string{{"cuda"}, {"cpu"}, {"cuda", "cpu"}, {"rocm", "cuda"}}[r.IntN(4)]
		switch r.IntN(3) {
		case 0:
			v.MinimumNeeds["cuda.device"] = of("1", "2")
		case 1:
			v.MinimumNeeds["cuda.shares"] = of("0.1", "0.5")
		}
		out.Variants = append(out.Variants, v)
	}
	w := Wish{Devices: max(0, r.IntN(6)-3), Context: max(0, r.IntN(4)-2) * 20000, Concurrency: max(0, r.IntN(8)-4), Replicas: r.IntN(4)}
	if r.IntN(4) == 0 {
		w.Variant = "v0"
	}
	b := room(nil)
	b.Host.Free, b.Host.FreeCores, b.Disk.Free = r.Int64N(64*gib), float64(r.IntN(32)), r.Int64N(100*gib)
	for i := range r.IntN(6) {
		total := []int64{0, 16 * gib, 24 * gib, 80 * gib}[r.IntN(4)]
		d := Device{ID: fmt.Sprint(i), Name: fmt.Sprint("card ", total/gib), Kind: of("cuda", "cuda", "rocm"), Architecture: of("sm_75", "sm_90", "gfx942", ""), Total: total, Free: total}
		for h := range r.IntN(3) {
			holder := Holder{Name: fmt.Sprintf("h%d-%d", i, h), Bytes: r.Int64N(total/2 + 1), MayMove: r.IntN(2) == 0}
			d.Holders, d.Free = append(d.Holders, holder), d.Free-holder.Bytes
		}
		if r.IntN(8) == 0 {
			d.Trouble = "broken"
		}
		b.Devices = append(b.Devices, d)
	}
	return out, w, b
}

// What holds of every plan.
//
//  1. The same arguments make the same plan.
//  2. No device is given more than it has free, over all replicas; nobody is put beside others on a whole device; nobody is moved
//     who may not; a device in trouble, of another kind or too old is not used.
//  3. An earlier variant that fits on the devices that its recipe says is never passed over for a later one.
//  4. Every alternative with an option fits when it is wished for.
//  5. A plan says why: a sentence always, and a reason with every variant that was passed over.
func TestLaws(t *testing.T) {
	seen := map[Verdict]int{}
	for seed := range uint64(900) {
		r, w, b := made(seed)
		p := Make(r, w, b)
		seen[p.Verdict]++
		if again := Make(r, w, b); !reflect.DeepEqual(p, again) { // 1
			t.Fatalf("seed %d: %+v, and again %+v", seed, p, again)
		}
		if wrong := overfull(p, b); wrong != "" && p.Verdict != DoesNotFit { // 2
			t.Fatalf("seed %d: %s\n%+v\n%+v", seed, wrong, p, b)
		}
		if wrong := passedOver(p, r, w, b); wrong != "" { // 3
			t.Fatalf("seed %d: %s", seed, wrong)
		}
		for _, a := range p.Alternatives { // 4
			if wrong := notSo(a, r, w, b); wrong != "" {
				t.Fatalf("seed %d: %s\n%s", seed, wrong, p.Sentence)
			}
		}
		if p.Sentence == "" { // 5
			t.Fatalf("seed %d: %+v", seed, p)
		}
		for _, a := range p.Considered {
			if a.Reason == "" && !a.Fits {
				t.Fatalf("seed %d: %+v", seed, p.Considered)
			}
		}
	}
	for _, v := range []Verdict{Fits, FitsMoving, DoesNotFit, CannotTell} {
		if seen[v] < 9 {
			t.Errorf("%s was the verdict %d times: the boxes are not mixed enough", v, seen[v])
		}
	}
}

func overfull(p Plan, b Box) string {
	v := p.Variant
	free, movable := map[string]int64{}, map[string]int64{}
	for _, d := range b.Devices {
		free[d.ID] = d.Free
	}
	for _, m := range p.Moves {
		movable[m.Device] += m.Bytes
	}
	for _, r := range p.Replicas {
		for _, u := range r.Devices {
			var d Device
			for _, other := range b.Devices {
				if other.ID == u.ID {
					d = other
				}
			}
			switch {
			case d.Trouble != "", d.Kind != p.Kind:
				return fmt.Sprintf("%s runs on %+v", v, d)
			case d.Total == 0 && p.Verdict == CannotTell:
				continue
			case u.Bytes > free[u.ID]+movable[u.ID]:
				return fmt.Sprintf("%s takes %d of %+v", v, u.Bytes, d)
			}
			for _, h := range d.Holders {
				moved := false
				for _, m := range p.Moves {
					moved = moved || m.Who == h.Name
				}
				if moved && !h.MayMove || !moved && u.Share == 1 {
					return fmt.Sprintf("%s beside or instead of %+v", v, h)
				}
			}
			free[u.ID] -= max(u.Bytes, int64(u.Share*float64(d.Total))-d.Total/1000)
		}
	}
	if n := len(p.Replicas); p.Kind == recipe.CPU && p.Verdict == Fits && p.Memory*int64(n) > b.Host.Free {
		return fmt.Sprintf("%s takes %d of the box's memory", v, p.Memory)
	}
	return ""
}

func passedOver(p Plan, r recipe.Recipe, w Wish, b Box) string {
	if w.Variant != "" {
		return ""
	}
	for _, v := range r.Variants {
		if v.Name == p.Variant && p.Verdict != DoesNotFit {
			return ""
		}
		alone := w
		alone.Variant = v.Name
		if o := Make(r, alone, b); o.Verdict == Fits {
			m := &maker{recipe: r, wish: w, box: b}
			if base, _ := m.devicesOf(v, o.Kind); w.Devices > 0 || len(o.Replicas[0].Devices) <= base {
				return fmt.Sprintf("%s was taken, and %s fits: %s", p.Variant, v.Name, o.Sentence)
			}
		}
	}
	return ""
}

func notSo(a Alternative, r recipe.Recipe, w Wish, b Box) string {
	var n int
	_, _ = fmt.Sscan(a.Value, &n)
	switch a.Change {
	case "variant":
		w.Variant = a.Value
	case "context":
		w.Context = n
	case "concurrency":
		w.Concurrency = n
	case "devices":
		w.Devices = n
	case "replicas":
		w.Replicas = n
	case "combined":
		if _, err := fmt.Sscanf(a.Option, "--concurrency %d --context %d", &w.Concurrency, &w.Context); err != nil {
			return err.Error()
		}
	default:
		return ""
	}
	if p := Make(r, w, b); p.Verdict != Fits && p.Verdict != FitsMoving {
		return fmt.Sprintf("%+v: %s", a, p.Sentence)
	}
	return ""
}

func BenchmarkMake(b *testing.B) {
	r := eight()
	box := room(cards(8, 24*gib, held("service chat", false)), func(b *Box) { b.Host.Free = gib })
	for b.Loop() {
		Make(r, Wish{}, box)
	}
}
