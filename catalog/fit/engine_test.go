package fit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/model-definitions/hello/gguf"
)

// engineLog is what a real engine says of the memory that it took, in MiB as it prints them.
type engineLog struct {
	weights, compute float64
	caches           []float64
	parameters       float64 // millions
}

var (
	logWeights    = regexp.MustCompile(`print_info: file size\s+= ([0-9.]+) (MiB|GiB)`)
	logParameters = regexp.MustCompile(`print_info: model params\s+= ([0-9.]+) (K|M|B)`)
	logCache      = regexp.MustCompile(`llama_kv_cache: size =\s+([0-9.]+) MiB`)
	logCompute    = regexp.MustCompile(`sched_reserve:\s+CPU compute buffer size =\s+([0-9.]+) MiB`)
)

// llamaServer is the engine that all tests run, built once into a cache.
func llamaServer(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../../firmware-images/engines/llama-cpp/build.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("building the engine: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return filepath.Join(lines[len(lines)-1], "llama-server")
}

// load has the engine load a model, and returns what it said until it was ready.
func load(t *testing.T, engine, model string, args ...string) engineLog {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	argv := append([]string{"-m", model, "--host", "127.0.0.1", "--port", "0", "-t", "1", "-tb", "1", "-v", "--no-warmup"}, args...)
	cmd := exec.CommandContext(ctx, engine, argv...)
	out, to := io.Pipe()
	cmd.Stdout, cmd.Stderr = to, to
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = to.CloseWithError(errors.Join(io.EOF, err))
		ended <- err
	}()
	var log engineLog
	var tail []string
	ready := false
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for !ready && lines.Scan() {
		line := lines.Text()
		log.read(line)
		tail = append(tail[max(0, len(tail)-20):], line)
		ready = strings.Contains(line, "model loaded")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	cancel()
	<-ended
	if !ready || log.weights == 0 || len(log.caches) == 0 || log.compute == 0 {
		t.Fatalf("%v: the engine did not load the model, or does not say so any more: %+v\n%s", argv, log, strings.Join(tail, "\n"))
	}
	return log
}

func (l *engineLog) read(line string) {
	number := func(m []string) float64 {
		f, _ := strconv.ParseFloat(m[1], 64)
		if len(m) > 2 {
			f *= map[string]float64{"GiB": 1024, "MiB": 1, "K": 0.001, "M": 1, "B": 1000}[m[2]]
		}
		return f
	}
	if m := logWeights.FindStringSubmatch(line); m != nil { // it loads twice: the first time to see what fits
		*l = engineLog{weights: number(m)}
	}
	if m := logParameters.FindStringSubmatch(line); m != nil {
		l.parameters = number(m)
	}
	if m := logCache.FindStringSubmatch(line); m != nil {
		l.caches = append(l.caches, number(m))
	}
	if m := logCompute.FindStringSubmatch(line); m != nil {
		l.compute = number(m)
	}
}

// gemma is a small model of Gemma 3's form, whose layers look back through a window of 64 except each sixth.
func gemma(name string) error {
	const h, head, heads, kv, f, layers = 64, 32, 4, 2, 128, 7
	g := new(ggufFile)
	tokens, scores, kinds := []string{"<unk>", "<s>", "</s>"}, []float32{0, 0, 0}, []int32{2, 3, 3}
	for b := range 256 {
		tokens, scores, kinds = append(tokens, fmt.Sprintf("<0x%02X>", b)), append(scores, 0), append(kinds, 6)
	}
	g.key("general.architecture", "gemma3").key("general.file_type", uint32(0)).key("gemma3.context_length", uint32(8192)).key("gemma3.embedding_length", uint32(h)).
		key("gemma3.block_count", uint32(layers)).key("gemma3.feed_forward_length", uint32(f)).key("gemma3.attention.head_count", uint32(heads)).
		key("gemma3.attention.head_count_kv", uint32(kv)).key("gemma3.attention.key_length", uint32(head)).key("gemma3.attention.value_length", uint32(head)).
		key("gemma3.attention.layer_norm_rms_epsilon", float32(1e-6)).key("gemma3.attention.sliding_window", uint32(64)).
		key("tokenizer.ggml.model", "llama").key("tokenizer.ggml.tokens", tokens).key("tokenizer.ggml.scores", scores).key("tokenizer.ggml.token_type", kinds).
		key("tokenizer.ggml.bos_token_id", uint32(1)).key("tokenizer.ggml.eos_token_id", uint32(2)).key("tokenizer.chat_template", "chatml")
	g.tensor("token_embd.weight", h, uint64(len(tokens))).tensor("output_norm.weight", h)
	for i := range layers {
		p := fmt.Sprintf("blk.%d.", i)
		g.tensor(p+"attn_norm.weight", h).tensor(p+"attn_q.weight", h, heads*head).tensor(p+"attn_k.weight", h, kv*head).tensor(p+"attn_v.weight", h, kv*head).
			tensor(p+"attn_output.weight", heads*head, h).tensor(p+"post_attention_norm.weight", h).tensor(p+"attn_q_norm.weight", head).tensor(p+"attn_k_norm.weight", head).
			tensor(p+"ffn_norm.weight", h).tensor(p+"ffn_gate.weight", h, f).tensor(p+"ffn_up.weight", h, f).tensor(p+"ffn_down.weight", f, h).tensor(p+"post_ffw_norm.weight", h)
	}
	return os.WriteFile(name, g.whole(), 0o644)
}

// TestAgainstARealEngine has llama-server load models, and compares what it says with what was estimated from the files: the
// cache exactly, the weights within 2 %, what it reserves to compute within a quarter.
func TestAgainstARealEngine(t *testing.T) {
	engine, dir := llamaServer(t), t.TempDir()
	model := func(name string, size gguf.Size) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, small(t, size), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tiny, wide := model("tiny.gguf", gguf.Size{Layers: 3, Width: 256}), model("wide.gguf", gguf.Size{Layers: 5, Width: 768, Vocabulary: 4096})
	windowed, recited := filepath.Join(dir, "windowed.gguf"), filepath.Join(dir, "recited.gguf")
	if err := gemma(windowed); err != nil {
		t.Fatal(err)
	}
	one, err := gguf.Recite("recited", "Few heads for many.") // one head of keys for eight of queries
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(recited)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		file string
		args string
		r    Request
	}{
		{tiny, "-c 4096 -np 1", Request{Context: 4096, Sequences: 1}},
		{tiny, "-c 5000 -np 3", Request{Context: 5000, Sequences: 3}},
		{tiny, "-np 3", Request{Sequences: 3}},
		{tiny, "", Request{}},
		{wide, "-c 10000 -np 4 -kvu", Request{Context: 10000, Sequences: 4, Unified: new(true)}},
		{wide, "-c 1000 -np 1 -ctk q8_0 -ctv f16", Request{Context: 1000, Sequences: 1, KeyType: "q8_0", ValueType: "f16"}},
		{wide, "-c 8192 -np 2 -ctk q4_0 -ctv q4_0", Request{Context: 8192, Sequences: 2, KeyType: "q4_0"}},
		{recited, "-c 2048 -np 1", Request{Context: 2048, Sequences: 1}},
		{windowed, "-c 4096 -np 1", Request{Context: 4096, Sequences: 1}},
		{windowed, "-c 16384 -np 4", Request{Context: 16384, Sequences: 4}},
		{windowed, "-c 16384 -np 4 -kvu", Request{Context: 16384, Sequences: 4, Unified: new(true)}},
	}
	for _, tt := range tests {
		t.Run(filepath.Base(tt.file)+" "+tt.args, func(t *testing.T) {
			m, err := Read(os.DirFS(dir), filepath.Base(tt.file), "")
			if err != nil {
				t.Fatal(err)
			}
			tt.r.Engine = LlamaCpp
			need, log := Estimate(m, tt.r), load(t, engine, tt.file, strings.Fields(tt.args)...)
			cache := 0.0
			for _, c := range log.caches {
				cache += c
			}
			if got := float64(need.Cache) / mib; math.Abs(got-cache) > 0.0051*float64(len(log.caches)) { // it prints hundredths
				t.Errorf("a cache of %.3f MiB, the engine has %v", got, log.caches)
			}
			if got := float64(need.Weights) / mib; math.Abs(got-log.weights) > 0.02*log.weights {
				t.Errorf("weights of %.2f MiB, the engine has %.2f", got, log.weights)
			}
			if got := float64(m.Parameters) / 1e6; math.Abs(got-log.parameters) > 0.006*max(1, log.parameters) {
				t.Errorf("%.2f million parameters, the engine says %.2f", got, log.parameters)
			}
			if got := float64(need.Compute) / mib; math.Abs(got-log.compute) > 0.25*log.compute {
				t.Errorf("%.2f MiB to compute, the engine reserves %.2f", got, log.compute)
			}
			t.Logf("cache %.2f of %.2f, weights %.2f of %.2f, compute %.2f of %.2f MiB", float64(need.Cache)/mib, cache, float64(need.Weights)/mib, log.weights, float64(need.Compute)/mib, log.compute)
		})
	}
}
