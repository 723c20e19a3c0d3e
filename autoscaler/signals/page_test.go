package signals

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// grown is a page some time later: every counter and every part of a histogram has doubled.
func grown(page []byte) []byte {
	counter := regexp.MustCompile(`(?m)^([a-z:_]+(?:_total|_us|_bucket|_sum|_count)(?:\{.*\})?) ([0-9.e+]+)$`)
	return counter.ReplaceAllFunc(page, func(line []byte) []byte {
		if bytes.Contains(line, []byte("pending")) { // a gauge that is called a count
			return line
		}
		parts := counter.FindSubmatch(line)
		v, _ := strconv.ParseFloat(string(parts[2]), 64)
		return []byte(string(parts[1]) + " " + strconv.FormatFloat(2*v, 'g', -1, 64))
	})
}

// told reads a page twice, ten seconds apart, and gives what it said then.
func told(t *testing.T, p *plan, pages ...[]byte) map[string]float64 {
	t.Helper()
	past, page := newPast(), newPage(p)
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	var of []reading
	for i, text := range pages {
		if err := page.read(bytes.NewReader(text), make([]byte, longestLine)); err != nil {
			t.Fatal(err)
		}
		if page.bad > 0 {
			t.Fatalf("not understood: %q", page.firstBad)
		}
		of = past.readings(page, now.Add(time.Duration(i)*10*time.Second), time.Minute, of)
	}
	out := map[string]float64{}
	for i, r := range of {
		if r.ok {
			out[p.figures[i].name] = math.Round(r.value*1e6) / 1e6
		}
	}
	return out
}

func TestEveryEngineSpeaksOneVocabulary(t *testing.T) {
	p := compile([]string{"ttft:p50", "ttft:p95"}, nil)
	for name, want := range map[string]map[string]float64{
		"vllm":          {Running: 7, Waiting: 4, KVUsage: 0.375, TTFT: 0.3, TokensPerSecond: 2000, "ttft:p50": 0.1 + 0.4*40/70, "ttft:p95": 0.875},
		"vllm-old":      {Running: 4, Waiting: 7, KVUsage: 0.4565, TokensPerSecond: 321.5},
		"sglang":        {Running: 20, Waiting: 3, KVUsage: 0.28, TTFT: 0.3, TokensPerSecond: 86.5, "ttft:p50": 0.5, "ttft:p95": 0.95},
		"tgi":           {Running: 4, Waiting: 7, TTFT: 0.15, TokensPerSecond: 812.3},
		"llama-cpp":     {Running: 4, Waiting: 2, TokensPerSecond: 125},
		"triton":        {Running: 0.1, Waiting: 6, TTFT: 0.3, "ttft:p50": 0.1 + 0.4*40/70, "ttft:p95": 0.5},
		"triton-trtllm": {Running: 8, Waiting: 3, KVUsage: 0.4875},
		"trtllm":        {Running: 6, Waiting: 2, KVUsage: 0.62, TTFT: 0.3, TokensPerSecond: 100, "ttft:p50": 0.1 + 0.4*40/70, "ttft:p95": 0.5},
		"nim":           {Running: 1, Waiting: 4, KVUsage: 0.1, TTFT: 0.3, TokensPerSecond: 200, "ttft:p50": 0.1, "ttft:p95": 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			for key, v := range want {
				want[key] = math.Round(v*1e6) / 1e6
			}
			if diff := cmp.Diff(want, told(t, p, page, grown(page))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRawNames(t *testing.T) {
	page, err := os.ReadFile("testdata/vllm.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"vllm:num_requests_waiting":             4,
		"vllm_num_requests_waiting":             4,
		"vllm_kv_cache_usage_perc":              0.375,
		"vllm:generation_tokens_total":          40000,
		"vllm:generation_tokens_total:rate":     2000,
		"vllm_generation_tokens:rate":           2000,
		"vllm:time_to_first_token_seconds:p95":  0.875,
		"vllm:time_to_first_token_seconds:mean": 0.3,
		"vllm_time_to_first_token_seconds:p99":  0.975,
	}
	var names []string
	for n := range want {
		names = append(names, n)
	}
	got := told(t, compile(append(names, "vllm:no_such_thing", "vllm:time_to_first_token_seconds"), nil), page, grown(page))
	for _, w := range vocabulary() {
		delete(got, w)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestASummaryTellsItsQuantiles(t *testing.T) {
	page := []byte("x_seconds{quantile=\"0.5\"} 1\nx_seconds{quantile=\"0.95\"} 3\nx_seconds{quantile=\"0.99\"} NaN\nx_seconds_sum 10\nx_seconds_count 4\n")
	got := told(t, compile([]string{"x_seconds:p95", "x_seconds:p99", "x_seconds:mean", "x_seconds"}, nil), page, grown(page))
	if diff := cmp.Diff(map[string]float64{"x_seconds:p95": 3, "x_seconds:mean": 2.5}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOwnersNames(t *testing.T) {
	p := compile([]string{"latency:p90", "latency", "prompt_tokens"}, map[string][]string{
		Running: {"maxserve_num_requests_running"}, TTFT: {"my_ttft"}, "latency": {"my_latency"}, "prompt_tokens": {"my_prompt_total"},
		KVUsage: {"vllm:kv_cache_usage_perc"},
	})
	page := []byte(`maxserve_num_requests_running 3
my_ttft_bucket{le="1"} 10
my_ttft_bucket{le="+Inf"} 10
my_ttft_sum 5
my_ttft_count 10
my_latency_bucket{le="10"} 10
my_latency_bucket{le="+Inf"} 10
my_latency_sum 50
my_latency_count 10
my_prompt_total 100
vllm:kv_cache_usage_perc 0.25
`)
	want := map[string]float64{Running: 3, TTFT: 0.5, "latency": 5, "latency:p90": 9, "prompt_tokens": 10, KVUsage: 0.25}
	if diff := cmp.Diff(want, told(t, p, page, grown(page))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLines(t *testing.T) {
	for line, want := range map[string]float64{
		`a 1`:                          1,
		`a{} 1`:                        1,
		`a { } 1`:                      1,
		"\ta\t1\t":                     1,
		"a 1\r":                        1,
		`a 1.5e-3`:                     1.5e-3,
		`a +1.5E+3`:                    1500,
		`a -0`:                         0,
		`a 0012`:                       12,
		`a 123456789012345678`:         123456789012345678,
		`a 12.0`:                       12,
		`a 1 1700000000000`:            1,
		`a 1 1700000000.123`:           1,
		`a{x="y"} 1`:                   1,
		`a{x="y",} 1`:                  1,
		`a{ x = "y" , z = "" } 1`:      1,
		`a{x="}"} 1`:                   1,
		`a{x="\"} 9"} 1`:               1,
		`a{x="\\"} 1`:                  1,
		`a{x="\n # HELP"} 1`:           1,
		`a{x="ü"} 1`:                   1,
		`a 1 # {trace_id="x"} 0.5`:     1,
		`a 1 170.5 # {trace_id="x"} 5`: 1,
		`a +Inf`:                       math.NaN(), // understood, and no value
		`a Inf`:                        math.NaN(),
		`a -Inf`:                       math.NaN(),
		`a NaN`:                        math.NaN(),
		`a nan`:                        math.NaN(),
	} {
		p := compile([]string{"a"}, nil)
		page := newPage(p)
		if err := page.read(strings.NewReader(line), make([]byte, 4096)); err != nil || page.bad != 0 || page.good != 1 {
			t.Errorf("%q: %v, %d good, %d bad", line, err, page.good, page.bad)
		}
		got, ok := page.tally[p.index["a"][0]].value(false)
		if ok == math.IsNaN(want) || ok && got != want {
			t.Errorf("%q gives %v, %t, not %v", line, got, ok, want)
		}
	}
	for _, line := range []string{
		`a`, `a `, `a{`, `a{x`, `a{x=`, `a{x=y} 1`, `a{x="y} 1`, `a{x="y"`, `a{x="y"}`, `a{x="y" z="w"} 1`, `a{="y"} 1`, `a{1="y"} 1`, `a{,} 1`, `a{x="\q"} 1`, `a{x="\`,
		`a x`, `a 0x1p3`, `a 1_000`, `a 1 2 3`, `a 1 x`, `a 1e`, `1a 1`, `<html>`, `{"error": 1}`, `a-b 1`, `"a" 1`, `a 1e999`,
	} {
		page := newPage(compile([]string{"a"}, nil))
		if err := page.read(strings.NewReader(line), make([]byte, 4096)); err != nil || page.bad != 1 || page.good != 0 {
			t.Errorf("%q: %v, %d good, %d bad", line, err, page.good, page.bad)
		}
	}
}

func TestAPageComesInPieces(t *testing.T) {
	text, err := os.ReadFile("testdata/sglang.txt")
	if err != nil {
		t.Fatal(err)
	}
	p := compile(nil, nil)
	whole, pieces := newPage(p), newPage(p)
	if err := whole.read(bytes.NewReader(text), make([]byte, longestLine)); err != nil {
		t.Fatal(err)
	}
	if err := pieces.read(iotest.OneByteReader(bytes.NewReader(text)), make([]byte, 300)); err != nil {
		t.Fatal(err)
	}
	if whole.good == 0 || whole.good != pieces.good || pieces.bad != 0 {
		t.Errorf("%d and %d good, %d bad", whole.good, pieces.good, pieces.bad)
	}
	for i := range whole.tally {
		a, _ := whole.tally[i].value(false)
		b, _ := pieces.tally[i].value(false)
		if a != b {
			t.Errorf("slot %v: %v and %v", p.slots[i], a, b)
		}
	}
}

func TestALineThatIsTooLongIsPassedOver(t *testing.T) {
	page := newPage(compile([]string{"a"}, nil))
	text := "a 1\na{x=\"" + strings.Repeat("y", 1000) + "\"} 1\na 1\n"
	if err := page.read(strings.NewReader(text), make([]byte, 100)); err != nil || page.good != 2 || page.bad != 1 {
		t.Errorf("%v, %d good, %d bad", err, page.good, page.bad)
	}
}

func TestTooManySeriesOfRanks(t *testing.T) {
	var text strings.Builder
	for i := range mostGroups + 1 {
		text.WriteString("sglang:num_running_reqs{tp_rank=\"0\",x=\"" + strconv.Itoa(i) + "\"} 1\n")
	}
	page := newPage(compile(nil, nil))
	if err := page.read(strings.NewReader(text.String()), make([]byte, 4096)); !errors.Is(err, errTooMany) {
		t.Errorf("%v", err)
	}
}

// FuzzPage: no page makes it fail or keep more than its bounds, and where the reference reads a page and so do we, we
// read the same.
func FuzzPage(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("# TYPE a counter\na{b=\"c\\\"d\"} 1e3 17\na_bucket{le=\"+Inf\"} NaN\n# EOF"))
	f.Add([]byte("a{b=\"\\\\\",c=\"\\n\"} +Inf\r\n\n\na\t-3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		// Every name of the page is wanted, so that every line is read.
		var wanted []string
		for line := range bytes.Lines(text) {
			if name, _ := cutName(trim(line)); name != nil && len(wanted) < 50 && len(name) <= longestName {
				wanted = append(wanted, string(name))
			}
		}
		p := compile(wanted, nil)
		page := newPage(p)
		if err := page.read(bytes.NewReader(text), make([]byte, 1024)); err != nil {
			return
		}
		past := newPast()
		past.readings(page, time.Unix(1, 0), time.Minute, nil)
		if page.bad > 0 {
			return
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			return
		}
		for name, family := range families {
			if family.GetType().String() == "HISTOGRAM" || family.GetType().String() == "SUMMARY" {
				continue // told apart by types, which we do not look at
			}
			total, n, odd := 0.0, 0, false
			for _, m := range family.GetMetric() {
				v := m.GetUntyped().GetValue() + m.GetGauge().GetValue() + m.GetCounter().GetValue()
				for _, l := range m.GetLabel() {
					odd = odd || slices.Contains([]string{"le", "quantile", "tp_rank", "pp_rank", "moe_ep_rank", "priority"}, l.GetName())
				}
				if !math.IsNaN(v) && !math.IsInf(v, 0) {
					total += v
					n++
				}
			}
			slots := p.of([]byte(name), make([]byte, longestName))
			// Names that are the same with "_" for ":" are one to us.
			if odd || len(slots) == 0 || strings.Contains(name, ":") || bytes.Contains(text, []byte(":")) {
				continue
			}
			for _, i := range slots {
				if s := p.slots[i]; s.label != "" || s.kind != values {
					continue
				}
				got, _ := page.tally[i].value(false)
				if page.tally[i].whole.n != n || math.Abs(got-total) > 1e-9*max(math.Abs(got), 1) && !math.IsInf(total, 0) {
					t.Errorf("%s: %v of %d, not %v of %d", name, got, page.tally[i].whole.n, total, n)
				}
			}
		}
	})
}
