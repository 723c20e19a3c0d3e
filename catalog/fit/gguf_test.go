package fit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/palisade-run/palisade/model-definitions/hello/gguf"
)

// ggufFile writes what the generator of small models has no words for: any architecture, any key.
type ggufFile struct {
	keys    bytes.Buffer
	tensors bytes.Buffer
	nKeys   uint64
	nTens   uint64
	data    int64
}

func put(b *bytes.Buffer, v any) {
	if s, ok := v.(string); ok {
		put(b, uint64(len(s)))
		b.WriteString(s)
		return
	}
	out, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	b.Write(out)
}

func (g *ggufFile) key(name string, v any) *ggufFile {
	g.nKeys++
	put(&g.keys, name)
	array := func(kind uint32, n int) {
		put(&g.keys, uint32(ggufArray))
		put(&g.keys, kind)
		put(&g.keys, uint64(n))
	}
	switch v := v.(type) {
	case uint32:
		put(&g.keys, uint32(4))
	case float32:
		put(&g.keys, uint32(6))
	case bool:
		put(&g.keys, uint32(7))
	case string:
		put(&g.keys, uint32(ggufString))
	case []int32:
		array(5, len(v))
	case []bool:
		array(7, len(v))
	case []float32:
		array(6, len(v))
	case []string:
		array(ggufString, len(v))
		for _, s := range v {
			put(&g.keys, s)
		}
		return g
	}
	put(&g.keys, v)
	return g
}

// tensor adds one of 32-bit numbers.
func (g *ggufFile) tensor(name string, dims ...uint64) *ggufFile { return g.typed(name, 0, dims...) }

func (g *ggufFile) typed(name string, kind uint32, dims ...uint64) *ggufFile {
	g.nTens++
	put(&g.tensors, name)
	put(&g.tensors, uint32(len(dims)))
	n := int64(1)
	for _, d := range dims {
		put(&g.tensors, d)
		n *= int64(d)
	}
	put(&g.tensors, kind)
	put(&g.tensors, uint64(g.data))
	t := ggufTypes[kind]
	if t.block == 0 {
		t = ggufType{"", 2, 1}
	}
	g.data += int64(roundUp(int(n/t.block*t.bytes), 32))
	return g
}

// header is the file without its data; all its length is n.
func (g *ggufFile) header() (head []byte, n int64) {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3))
	put(&b, g.nTens)
	put(&b, g.nKeys)
	b.Write(g.keys.Bytes())
	b.Write(g.tensors.Bytes())
	b.Write(make([]byte, roundUp(b.Len(), 32)-b.Len()))
	return b.Bytes(), int64(b.Len()) + g.data
}

func (g *ggufFile) whole() []byte {
	head, n := g.header()
	return append(head, make([]byte, n-int64(len(head)))...)
}

func small(t *testing.T, size gguf.Size) []byte {
	t.Helper()
	m, err := gguf.Random("small", size, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGGUF(t *testing.T) {
	files := fstest.MapFS{
		"models/a.gguf":      {Data: small(t, gguf.Size{Layers: 2, Width: 64})},
		"models/mmproj.gguf": {Data: new(ggufFile).key("general.architecture", "clip").tensor("v.weight", 64).whole()},
	}
	m, err := Read(files, ".", GGUF)
	if err != nil {
		t.Fatal(err)
	}
	const head = 8 // 64 wide, 8 heads
	if m.Path != "models/a.gguf" || m.Architecture != "llama" || m.Layers != 2 || m.MaxContext != 2048 || m.DType != "F16" || m.Quantization != "" || m.Tied || m.Vocabulary != 356 ||
		m.KVBytesPerToken(Half(), Half()) != 2*2*8*head*2 || m.ProjectorBytes == 0 || len(m.Unknown) > 0 {
		t.Errorf("%+v", m)
	}
	if p, err := Read(files, "models/mmproj.gguf", ""); err != nil || p.Kind != Other {
		t.Errorf("%v %v", p.Kind, err)
	}
}

func TestGGUFArchitectures(t *testing.T) {
	base := func(arch string, layers, heads, kv uint32) *ggufFile {
		return new(ggufFile).key("general.architecture", arch).key(arch+".block_count", layers).key(arch+".embedding_length", heads*16).
			key(arch+".attention.head_count", heads).key(arch+".attention.head_count_kv", kv).key(arch+".context_length", uint32(4096))
	}
	tests := []struct {
		name string
		file *ggufFile
		want []Cache
		note string
	}{
		{"llama with a window", base("llama", 4, 8, 2).key("llama.attention.sliding_window", uint32(512)), []Cache{{Layers: 4, Key: 32, Value: 32, Heads: 2}}, "is not known to use it with llama"},
		{"gemma3", base("gemma3", 7, 8, 2).key("gemma3.attention.sliding_window", uint32(512)), []Cache{{6, 32, 32, 2, 512}, {1, 32, 32, 2, 0}}, ""},
		{"a pattern of its own", base("gemma9", 4, 8, 2).key("gemma9.attention.sliding_window", uint32(64)).key("gemma9.attention.sliding_window_pattern", []bool{true, true, false, true}),
			[]Cache{{3, 32, 32, 2, 64}, {1, 32, 32, 2, 0}}, ""},
		{"every other", base("x", 4, 8, 2).key("x.attention.sliding_window", uint32(64)).key("x.attention.sliding_window_pattern", uint32(2)), []Cache{{2, 32, 32, 2, 64}, {2, 32, 32, 2, 0}}, ""},
		{"widths of its own", base("x", 1, 8, 2).key("x.attention.key_length", uint32(128)).key("x.attention.value_length", uint32(64)), []Cache{{1, 256, 128, 2, 0}}, ""},
		{"mla", base("deepseek2", 3, 8, 1).key("deepseek2.attention.key_length", uint32(576)).key("deepseek2.attention.value_length", uint32(512)).
			key("deepseek2.attention.key_length_mla", uint32(192)).key("deepseek2.attention.value_length_mla", uint32(128)), []Cache{{3, 576, 0, 1, 0}}, ""},
		{"heads of each layer", new(ggufFile).key("general.architecture", "jamba").key("jamba.block_count", uint32(3)).key("jamba.embedding_length", uint32(128)).
			key("jamba.attention.head_count", uint32(8)).key("jamba.attention.head_count_kv", []int32{0, 2, 0}).key("jamba.ssm.inner_size", uint32(256)).key("jamba.ssm.state_size", uint32(16)).
			key("jamba.ssm.conv_kernel", uint32(4)), []Cache{{1, 32, 32, 2, 0}}, ""},
		{"shared", base("x", 4, 8, 2).key("x.attention.shared_kv_layers", uint32(1)), []Cache{{3, 32, 32, 2, 0}}, ""},
		{"bert", base("bert", 4, 8, 8), nil, ""},
		{"nothing", new(ggufFile).key("a", "b"), nil, "does not say what its layers are"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Read(fstest.MapFS{"m.gguf": {Data: tt.file.tensor("output.weight", 64, 2).whole()}}, "m.gguf", "")
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Cache) != len(tt.want) {
				t.Fatalf("%+v", m.Cache)
			}
			for i, c := range tt.want {
				if m.Cache[i] != c {
					t.Errorf("%+v, want %+v", m.Cache[i], c)
				}
			}
			if notes := strings.Join(m.Unknown, "\n"); (tt.note == "") != (notes == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("%q, want %q", notes, tt.note)
			}
			if tt.name == "heads of each layer" && m.StateBytes != 2*4*(3*256+16*256) {
				t.Errorf("a state of %d", m.StateBytes)
			}
		})
	}
}

func TestSplitGGUF(t *testing.T) {
	part := func(n int32) []byte {
		return new(ggufFile).key("general.architecture", "llama").key("llama.block_count", uint32(1)).key("split.no", uint32(n)).tensor("a.weight", 64, 10).whole()
	}
	files := fstest.MapFS{"m-00001-of-00002.gguf": {Data: part(0)}, "m-00002-of-00002.gguf": {Data: part(1)}}
	for _, at := range []string{".", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"} {
		m, err := Read(files, at, GGUF)
		if err != nil || m.WeightBytes != 2*64*10*4 || len(m.Files) != 2 || m.Path != "m-00001-of-00002.gguf" {
			t.Errorf("%s: %+v, %v", at, m, err)
		}
	}
	delete(files, "m-00002-of-00002.gguf")
	if _, err := Read(files, ".", GGUF); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "part 2 is missing") {
		t.Error(err)
	}
	if _, err := Read(fstest.MapFS{"m-00001-of-99999.gguf": {Data: part(0)}}, ".", GGUF); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestDamagedGGUF(t *testing.T) {
	whole := new(ggufFile).key("general.architecture", "llama").tensor("a.weight", 64, 10).whole()
	changed := func(at int, v any) []byte {
		out := bytes.Clone(whole)
		var b bytes.Buffer
		put(&b, v)
		copy(out[at:], b.Bytes())
		return out
	}
	odd := new(ggufFile).typed("a.weight", 12, 100).whole()
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "its header does not end"},
		{"another kind of file", []byte("PK\x03\x04 and so on"), "does not begin with GGUF"},
		{"version 1", changed(4, uint32(1)), "has version 1 of the format"},
		{"the other order of bytes", changed(4, uint32(3<<24)), "the other order of bytes"},
		{"tensors", changed(8, uint64(math.MaxUint64)), "claims 18446744073709551615 tensors"},
		{"keys", changed(16, uint64(1<<40)), "claims 1 tensors and 1099511627776 keys"},
		{"a string without end", changed(24, uint64(math.MaxInt64)), "its header does not end"},
		{"a string of more than can be", changed(24, uint64(math.MaxUint64)), "has a string of"},
		{"a type of value", changed(24+8+len("general.architecture"), uint32(99)), "a type 99, which is not known"},
		{"cut in the header", whole[:40], "its header does not end"},
		{"cut in the data", whole[:len(whole)-1], "it is not all there"},
		{"half a block", odd, "rows of 100, which Q4_K cannot hold"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(fstest.MapFS{"m.gguf": {Data: tt.data}}, "m.gguf", "")
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	m, err := Read(fstest.MapFS{"m.gguf": {Data: new(ggufFile).typed("a.weight", 77, 64).whole()}}, "m.gguf", "")
	if err != nil || !strings.Contains(strings.Join(m.Unknown, " "), "a tensor type 77 is not known") {
		t.Errorf("%v %v", m.Unknown, err)
	}
}

func FuzzGGUF(f *testing.F) {
	f.Add(new(ggufFile).key("general.architecture", "gemma3").key("gemma3.block_count", uint32(7)).key("gemma3.attention.sliding_window", uint32(512)).
		key("gemma3.attention.head_count", []int32{1, 2}).key("tokenizer.ggml.tokens", []string{"a", "b"}).tensor("output.weight", 8).whole())
	f.Add([]byte("GGUF\x03\x00\x00\x00\xff\xff\x0f\x00\x00\x00\x00\x00\xff\xff\x0f\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(fstest.MapFS{"m.gguf": {Data: data}}, "m.gguf", "")
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Error(err)
			}
			return
		}
		if m.WeightBytes < 0 || m.Parameters < 0 || m.StateBytes < 0 || len(m.Unknown) < 16 && m.WeightBytes > int64(len(data)) {
			t.Errorf("%+v", m)
		}
		for engine := range families {
			sound(t, Estimate(m, Request{Engine: engine}))
		}
	})
}
