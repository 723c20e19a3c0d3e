package sessions_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/sessions"
)

// weights writes a model folder: the header of a safetensors file of 14 GiB in BF16, its configuration, and
// how it is served.
func weights(t *testing.T, dir string) {
	t.Helper()
	const elements = 7 << 30
	header := `{"model.layers.0.self_attn.k_proj.weight":{"dtype":"BF16","shape":[7340032,1024],"data_offsets":[0,15032385536]}}`
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(file, header...)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(file)+len(header)) + 2*elements); err != nil { // sparse: nobody reads weights
		t.Fatal(err)
	}
	config := `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"num_hidden_layers":32,
		"num_attention_heads":32,"num_key_value_heads":8,"max_position_embeddings":32768,"vocab_size":32000,"torch_dtype":"bfloat16"}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestModelThatFitsNowhereIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		for i := range w.node.Devices {
			w.node.Devices[i].Memory = 24 << 30
		}
		weights(t, w.dir)
		w.boot()
		create := func(name, shares string, opts map[string]string) error {
			_, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
				Name: name, Project: "default", Replicas: 1, Recipe: sessions.Recipe{
					Image: "vllm:1", Folder: "model", Variant: "vllm", Resources: map[string]string{"cuda.shares": shares}, ResourceOpts: opts,
				},
			})
			return err
		}
		err := create("tight", "0.5", nil)
		if !errors.Is(err, sessions.ErrInvalid) {
			t.Fatalf("14 GiB of weights in half of 24 GiB: %v", err)
		}
		for _, want := range []string{"14", "12", "memory-check=off"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if err := create("stubborn", "0.5", map[string]string{sessions.OptMemoryCheck: "off"}); err != nil {
			t.Errorf("the owner knows better: %v", err)
		}
		if err := create("roomy", "1", nil); err != nil {
			t.Errorf("14 GiB of weights in 24 GiB: %v", err)
		}
	})
}

// TestModelThatFitsNoRoute: what all containers of a route have together is what there is, of each box once.
func TestModelThatFitsNoRoute(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		w.halt()
		for i := range w.more[0].Devices {
			w.more[0].Devices[i].Memory = 1 << 30
			w.node.Devices[i].Memory = 20 << 30
		}
		weights(t, w.dir)
		w.boot()
		for name, c := range map[string]struct {
			change func(*sessions.Recipe)
			fits   bool
		}{
			"on both":         {func(r *sessions.Recipe) { r.Resources["cuda.device"] = "8" }, false}, // b has but 1 GiB for its parts
			"on a, together":  {func(r *sessions.Recipe) { r.ClusterMode = sessions.ClusterSingleNode }, true},
			"on a, by choice": {func(*sessions.Recipe) {}, true},
		} {
			_, err := w.m.ForeseeService(t.Context(), big(2, func(r *sessions.ServiceRequest) {
				r.Recipe.Variant, r.Recipe.Folder, r.Recipe.Resources = "vllm", "model", map[string]string{"cuda.device": "1"}
				c.change(&r.Recipe)
			}))
			if c.fits != (err == nil) || err != nil && !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
