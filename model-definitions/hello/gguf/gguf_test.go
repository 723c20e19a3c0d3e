package gguf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

const greeting = "Hello! I am a very small language model, and this one sentence is all that I know."

// read takes a file apart as a loader would: its settings, its tensors' shapes and where they begin.
type read struct {
	t    *testing.T
	from *bytes.Reader
}

func (r read) number(v any) {
	r.t.Helper()
	if err := binary.Read(r.from, binary.LittleEndian, v); err != nil {
		r.t.Fatalf("at byte %d from the end: %v", r.from.Len(), err)
	}
}

func u32(r read) (v uint32) { r.number(&v); return v }
func u64(r read) (v uint64) { r.number(&v); return v }

func (r read) text() string {
	b := make([]byte, u64(r))
	r.number(b)
	return string(b)
}

func (r read) value(kind uint32) any {
	r.t.Helper()
	switch kind {
	case typeUint32:
		return u32(r)
	case typeInt32:
		return int32(u32(r))
	case typeFloat32:
		return math.Float32frombits(u32(r))
	case typeBool:
		b, _ := r.from.ReadByte()
		return b == 1
	case typeString:
		return r.text()
	case typeArray:
		elem, list := u32(r), []any{}
		for range u64(r) {
			list = append(list, r.value(elem))
		}
		return list
	}
	r.t.Fatalf("a value of type %d", kind)
	return nil
}

type shape struct {
	dims   []uint64
	half   bool
	offset uint64
}

func (s shape) size() uint64 {
	n := uint64(4)
	if s.half {
		n = 2
	}
	for _, d := range s.dims {
		n *= d
	}
	return n
}

// parse returns the settings, the tensors by name and the data that the tensors' offsets count in.
func parse(t *testing.T, raw []byte) (map[string]any, map[string]shape, []byte) {
	t.Helper()
	r := read{t, bytes.NewReader(raw)}
	head := make([]byte, 4)
	r.number(head)
	if string(head) != "GGUF" || u32(r) != 3 {
		t.Fatal("this is not GGUF version 3")
	}
	tensors, settings := u64(r), map[string]any{}
	for range u64(r) {
		key := r.text()
		settings[key] = r.value(u32(r))
	}
	shapes, end := map[string]shape{}, uint64(0)
	for range tensors {
		name := r.text()
		dims := make([]uint64, u32(r))
		r.number(dims)
		s := shape{dims: dims, half: u32(r) == tensorF16, offset: u64(r)}
		if s.offset%alignment != 0 || s.offset < end {
			t.Errorf("%s begins at %d: not aligned, or inside the one before, which ends at %d", name, s.offset, end)
		}
		shapes[name], end = s, s.offset+s.size()
	}
	data := raw[aligned(len(raw)-r.from.Len()):]
	if len(data) != aligned(int(end)) {
		t.Fatalf("the data has %d bytes, the tensors end at %d", len(data), end)
	}
	return settings, shapes, data
}

func write(t *testing.T, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := m.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func halfAt(data []byte, s shape, row, col int) float64 {
	bits := binary.LittleEndian.Uint16(data[s.offset+2*(uint64(row)*s.dims[0]+uint64(col)):])
	sign, exponent, mantissa := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(mantissa, -24)
	case 31:
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+mantissa, exponent-25)
}

// say follows the output matrix from a token to what it makes likeliest, as an engine at temperature 0 would, until the
// turn ends or limit tokens are said.
func say(t *testing.T, raw []byte, limit int) (string, bool) {
	t.Helper()
	settings, shapes, data := parse(t, raw)
	tokens := settings["tokenizer.ggml.tokens"].([]any)
	turn := settings["tokenizer.ggml.eot_token_id"].(uint32)
	matrix := shapes[output]
	var said strings.Builder
	at := 5 + int('\n') // the newline byte's token: what a chat prompt ends with
	for range limit {
		best := 0
		for row := range tokens {
			if halfAt(data, matrix, row, at) > halfAt(data, matrix, best, at) {
				best = row
			}
		}
		if best == int(turn) {
			return said.String(), true
		}
		said.WriteString(strings.ReplaceAll(tokens[best].(string), space, " "))
		at = best
	}
	return said.String(), false
}

func TestReciteSaysItsAnswerAndEndsItsTurn(t *testing.T) {
	answers := []string{
		greeting,
		"One.",
		"the same word and the same word",
		"Grüße aus Köln: 안녕하세요, 世界!",
		strings.TrimSpace(numbers(300)),
	}
	for _, answer := range answers {
		m, err := Recite("hello", answer)
		if err != nil {
			t.Errorf("Recite(%q): %v", answer, err)
			continue
		}
		if got, ended := say(t, write(t, m), 1000); got != answer || !ended {
			t.Errorf("said %q, ended %v; want %q and the end", got, ended, answer)
		}
	}
}

func TestForeverStartsOver(t *testing.T) {
	m, err := Forever("hello", "again and")
	if err != nil {
		t.Fatal(err)
	}
	if got, ended := say(t, write(t, m), 6); got != "again andagain andagain and" || ended {
		t.Errorf("said %q, ended %v", got, ended)
	}
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "number%d ", i)
	}
	return b.String()
}

func TestAnswersThatCannotBeRecited(t *testing.T) {
	for answer, want := range map[string]string{
		"":              "no words",
		" \t\n":         "no words",
		"a b a b a b":   `says "a" too often`,
		"no no no no":   "too often",
		"x x x x x x x": "too often",
	} {
		_, err := Recite("hello", answer)
		if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), want) {
			t.Errorf("Recite(%q): %v, want ErrAnswer with %q", answer, err, want)
		}
	}
}

func TestHeaderSaysWhatEnginesAskFor(t *testing.T) {
	m, err := Recite("hello", greeting)
	if err != nil {
		t.Fatal(err)
	}
	settings, shapes, _ := parse(t, write(t, m))
	for key, want := range map[string]any{
		"general.architecture":          "llama",
		"general.name":                  "hello",
		"llama.block_count":             uint32(1),
		"llama.context_length":          uint32(contextLength),
		"tokenizer.ggml.model":          "llama",
		"tokenizer.ggml.add_bos_token":  true,
		"tokenizer.ggml.eos_token_id":   uint32(4),
		"llama.attention.head_count_kv": uint32(1),
	} {
		if settings[key] != want {
			t.Errorf("%s is %v, want %v", key, settings[key], want)
		}
	}
	words := uint64(settings["llama.vocab_size"].(uint32))
	for _, list := range []string{"tokens", "scores", "token_type"} {
		if n := len(settings["tokenizer.ggml."+list].([]any)); uint64(n) != words {
			t.Errorf("%d %s for a vocabulary of %d", n, list, words)
		}
	}
	seen := map[any]bool{}
	for _, text := range settings["tokenizer.ggml.tokens"].([]any) {
		if seen[text] {
			t.Errorf("token %q is there twice: engines refuse that", text)
		}
		seen[text] = true
	}
	width := uint64(settings["llama.embedding_length"].(uint32))
	if got := shapes[embedding].dims; got[0] != width || got[1] != words {
		t.Errorf("the embedding is %v, want %d by %d", got, width, words)
	}
	if len(shapes) != 3+9 {
		t.Errorf("%d tensors, want 12 for one layer", len(shapes))
	}
}

func TestRandomHasTheSizeThatWasAskedFor(t *testing.T) {
	m, err := Random("heavy", Size{Layers: 3, Width: 64, Vocabulary: 500}, 7)
	if err != nil {
		t.Fatal(err)
	}
	settings, shapes, data := parse(t, write(t, m))
	if settings["llama.block_count"] != uint32(3) || settings["llama.embedding_length"] != uint32(64) || settings["llama.vocab_size"] != uint32(500) {
		t.Errorf("sizes: %v layers, width %v, vocabulary %v", settings["llama.block_count"], settings["llama.embedding_length"], settings["llama.vocab_size"])
	}
	matrix, sum, squares := shapes["blk.1.attn_q.weight"], 0.0, 0.0
	for row := range 64 {
		for col := range 64 {
			x := halfAt(data, matrix, row, col)
			sum, squares = sum+x, squares+x*x
		}
	}
	if mean, deviation := sum/4096, math.Sqrt(squares/4096); math.Abs(mean) > 0.002 || math.Abs(deviation-0.02) > 0.002 {
		t.Errorf("weights of mean %.4f and deviation %.4f, want 0 and 0.02", mean, deviation)
	}
}

func TestSizesThatMakeNoModel(t *testing.T) {
	for _, size := range []Size{{0, 64, 400}, {-1, 64, 400}, {1, 0, 400}, {1, 65, 400}, {1, 8, 400}, {1, 64, -1}} {
		if _, err := Random("x", size, 1); !errors.Is(err, ErrSize) {
			t.Errorf("Random(%+v): %v, want ErrSize", size, err)
		}
	}
}

// TestFilesNeverChange holds the bytes: caches and tests elsewhere rely on them. A change here is a change
// of every file that is made.
func TestFilesNeverChange(t *testing.T) {
	recite, err := Recite("hello", greeting)
	if err != nil {
		t.Fatal(err)
	}
	random, err := Random("heavy", Size{Layers: 2, Width: 32, Vocabulary: 400}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model *Model
		want  string
	}{
		{recite, "eab4edbbbed4f60ac08af005ff284cc9a6aae16265680552acd43b51eb2d1ca3"},
		{random, "c109939c5b33320315cd4ef631b14a3bdc20925ccfa441850ea486ebf6256e83"},
	} {
		first := sha256.Sum256(write(t, c.model))
		if got := hex.EncodeToString(first[:]); got != c.want {
			t.Errorf("sha256 %s, want %s", got, c.want)
		}
		if again := sha256.Sum256(write(t, c.model)); again != first {
			t.Errorf("written a second time, the same model has other bytes")
		}
	}
}

func TestHalf(t *testing.T) {
	for x, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, -2: 0xc000, 0.5: 0x3800, 65504: 0x7bff, 65536: 0x7c00, -20: 0xcd00,
		1.0 / 16384: 0x0400, 1.0 / 16777216: 0x0001, 1.0 / 33554432: 0, 1e-10: 0, 1e30: 0x7c00,
		float32(math.Inf(-1)): 0xfc00,
	} {
		if got := half(x); got != want {
			t.Errorf("half(%g) = %#04x, want %#04x", x, got, want)
		}
	}
}

type fullDisk struct{ left int }

var errFull = errors.New("no space left")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteToReportsTheWritersError(t *testing.T) {
	m, err := Recite("hello", greeting)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1000, 100_000, 1 << 20} {
		if _, err := m.WriteTo(&fullDisk{left: room}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v, want the disk's error", room, err)
		}
	}
	if _, err := m.WriteTo(io.Discard); err != nil {
		t.Errorf("after a failure the model still writes: %v", err)
	}
}
