package fit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func tensorsOf(bytes int64) []byte {
	tensors := map[string]tensor{"a.weight": {DType: "BF16", Shape: []int64{bytes / 2}}}
	return append(header(tensors), make([]byte, bytes)...)
}

func TestReadFolders(t *testing.T) {
	llama := &fstest.MapFile{Data: []byte(`{"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4, "torch_dtype": "float32"}`)}
	weights := func(n int64) *fstest.MapFile { return &fstest.MapFile{Data: tensorsOf(n)} }
	model := new(ggufFile).key("general.architecture", "llama").key("llama.block_count", uint32(1)).key("llama.embedding_length", uint32(64)).key("llama.attention.head_count", uint32(4))
	larger := new(ggufFile).key("general.architecture", "llama").key("llama.block_count", uint32(1)).key("llama.embedding_length", uint32(64)).key("llama.attention.head_count", uint32(4))
	tests := []struct {
		name   string
		files  fstest.MapFS
		prefer Format
		want   Model // Path, Format, Kind and WeightBytes of it
		note   string
	}{
		{"safetensors", fstest.MapFS{"config.json": llama, "model.safetensors": weights(64)}, "", Model{Path: ".", Format: Safetensors, Kind: Decoder, WeightBytes: 64}, ""},
		{"both, and the engine wants GGUF", fstest.MapFS{"config.json": llama, "model.safetensors": weights(64), "m.gguf": {Data: model.tensor("a.weight", 32).whole()}}, GGUF,
			Model{Path: "m.gguf", Format: GGUF, Kind: Decoder, WeightBytes: 128}, ""},
		{"a second time", fstest.MapFS{"config.json": llama, "model.safetensors": weights(64), "consolidated.safetensors": weights(64)}, "", Model{Path: ".", Format: Safetensors, Kind: Decoder, WeightBytes: 64}, ""},
		{"no config", fstest.MapFS{"model.safetensors": weights(64)}, "", Model{Path: ".", Format: Safetensors, Kind: Other, WeightBytes: 64}, "there is no config.json"},
		{"pickles", fstest.MapFS{"config.json": llama, "pytorch_model-1.bin": {Data: make([]byte, 40)}, "pytorch_model-2.bin": {Data: make([]byte, 40)}, "training_args.bin": {Data: make([]byte, 7)}}, "",
			Model{Path: ".", Format: PyTorch, Kind: Decoder, WeightBytes: 80}, "by the size of their files only"},
		{"an adapter", fstest.MapFS{"adapter_config.json": {Data: []byte(`{"base_model_name_or_path": "meta/llama"}`)}, "adapter_model.safetensors": weights(32)}, "",
			Model{Path: ".", Format: Safetensors, Kind: Adapter, WeightBytes: 32}, "what its base model needs comes on top"},
		{"a pipeline", fstest.MapFS{"model_index.json": {Data: []byte(`{"_class_name": "FluxPipeline"}`)}, "vae/a.safetensors": weights(32), "unet/a.safetensors": weights(64)}, "",
			Model{Path: ".", Format: Safetensors, Kind: Other, WeightBytes: 96}, "depends on the pictures"},
		{"below", fstest.MapFS{"README.md": {}, "llama/config.json": llama, "llama/model.safetensors": weights(64)}, "", Model{Path: "llama", Format: Safetensors, Kind: Decoder, WeightBytes: 64}, ""},
		{"ollama", fstest.MapFS{"manifests/a": {}, "blobs/sha256-1": {Data: larger.tensor("a.weight", 32).tensor("b.weight", 32).whole()}, "blobs/sha256-2": {Data: model.whole()}, "blobs/sha256-3": {Data: []byte("a license, long enough to be looked at")}}, GGUF,
			Model{Path: "blobs/sha256-1", Format: GGUF, Kind: Decoder, WeightBytes: 256}, "there are 2 models: this is the largest"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Read(tt.files, ".", tt.prefer)
			if err != nil {
				t.Fatal(err)
			}
			if m.Path != tt.want.Path || m.Format != tt.want.Format || m.Kind != tt.want.Kind || m.WeightBytes != tt.want.WeightBytes {
				t.Errorf("%s %s %s %d bytes, want %+v", m.Path, m.Format, m.Kind, m.WeightBytes, tt.want)
			}
			if notes := strings.Join(m.Unknown, "\n"); (notes == "") != (tt.note == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("%q, want %q", notes, tt.note)
			}
		})
	}
	for _, files := range []fstest.MapFS{{}, {"README.md": {}}, {"training_args.bin": {}, "config.json": llama}, {"a/b/model.safetensors": weights(2)}} {
		if _, err := Read(files, ".", ""); !errors.Is(err, ErrNoModel) {
			t.Errorf("%v", err)
		}
	}
}

// What is no plain file is not opened: a FIFO would hold the daemon for ever. A link out of the folder leads nowhere.
func TestReadHostileFolder(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "model.safetensors")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.gguf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, tensorsOf(64), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := Read(root.FS(), ".", ""); !errors.Is(err, ErrNoModel) {
		t.Errorf("%v", err)
	}
	for name, want := range map[string]string{"fifo.gguf": "is not a plain file", "model.safetensors": "escapes"} {
		if _, err := Read(root.FS(), name, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
