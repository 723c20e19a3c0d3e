package autoscaler

import (
	"math"
	"testing"
	"time"
)

func series(every time.Duration, samples ...Sample) *Series {
	s := &Series{}
	for i, v := range samples {
		v.At = noon.Add(time.Duration(i-len(samples)+1) * every)
		s.Add(v)
	}
	return s
}

func TestMean(t *testing.T) {
	t.Parallel()
	second := time.Second
	for _, c := range []struct {
		name    string
		s       *Series
		window  time.Duration
		want    Sample
		covered time.Duration
		ok      bool
	}{
		{"nothing", nil, time.Minute, Sample{}, 0, false},
		{"empty", &Series{}, time.Minute, Sample{}, 0, false},
		{"one", series(second, Sample{Total: 4}), time.Minute, Sample{At: noon, Total: 4}, 0, true},
		{"of the window alone", series(second, Sample{Total: 100}, Sample{Total: 2}, Sample{Total: 4}), 2 * second, Sample{At: noon, Total: 3}, 2 * second, true},
		{"no window", series(second, Sample{Total: 1}), 0, Sample{}, 0, false},
		{"routes count alike", series(second, Sample{Total: 4, Of: 4}, Sample{Total: 3, Of: 1}), time.Minute, Sample{At: noon, Total: 2, Of: 1}, second, true},
		{"a gap is a gap", series(time.Minute, Sample{Total: 1}, Sample{Total: 3}), 2 * time.Minute, Sample{At: noon, Total: 2}, speaks, true},
	} {
		got, covered, ok := c.s.Mean(noon, c.window)
		if math.Abs(got.Total-c.want.Total) > 1e-9 || got.Of != c.want.Of || !got.At.Equal(c.want.At) || covered != c.covered || ok != c.ok {
			t.Errorf("%s: %+v %s %t", c.name, got, covered, ok)
		}
	}
	if _, _, ok := series(second, Sample{Total: 1}).Mean(noon.Add(-time.Second), time.Minute); ok {
		t.Error("a sample of a time to come counts")
	}
}

func TestSeries(t *testing.T) {
	t.Parallel()
	s := &Series{}
	s.Add(Sample{At: noon, Total: 1})
	for _, v := range []Sample{
		{At: noon, Total: 2}, {At: noon.Add(-time.Second), Total: 2}, {At: noon.Add(time.Second), Total: math.NaN()},
		{At: noon.Add(time.Second), Total: math.Inf(-1)}, {At: noon.Add(time.Second), Of: -1},
	} {
		if s.Add(v); s.Len() != 1 {
			t.Errorf("%+v was taken", v)
		}
	}
	for i := range 5000 {
		s.Add(Sample{At: noon.Add(time.Duration(i+1) * 2 * time.Second), Total: float64(i)})
		if last, _ := s.Last(); last.Total != float64(i) {
			t.Fatal(last)
		}
	}
	if first, _ := s.First(noon.Add(5000*2*time.Second), time.Hour); s.Len() != 301 || first.Total != 4699 {
		t.Error(s.Len(), first)
	}
	for i := range 5000 {
		s.Add(Sample{At: noon.Add(3*time.Hour + time.Duration(i)*time.Millisecond)})
	}
	if s.Len() != seriesMost {
		t.Error("not bounded:", s.Len())
	}
	if s.Add(Sample{At: noon, Total: 7}); s.Len() != 1 {
		t.Error("a clock that was set back leaves it deaf")
	}
}

// TestVocabulary: every metric is found by its name, and told whole.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	all := Vocabulary()
	for _, info := range all {
		got, ok := Known(info.Metric)
		if !ok || got != info || info.Unit == "" || info.Phrase == "" || info.About == "" {
			t.Errorf("%+v", info)
		}
	}
	if len(all) != len(vocabulary) {
		t.Error(len(all))
	}
	for m, totals := range map[Metric]bool{
		{SourceEngine, "vllm:num_requests_waiting"}: true, {SourceEngine, "vllm_kv_cache_usage_perc"}: false,
		{SourceEngine, "vllm:time_to_first_token_seconds:p95"}: false, {SourceEngine, "sglang:num_queue_reqs"}: true,
		{SourcePrometheus, "sum(x)"}: true,
	} {
		if info, ok := Known(m); !ok || info.Totals != totals {
			t.Errorf("%+v", info)
		}
	}
	if _, ok := Known(Metric{SourceRouter, "nonsense"}); ok {
		t.Error("nonsense is known")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	p := good()
	got := p.Metrics()
	want := []Metric{{SourceEngine, "vllm:num_requests_waiting"}, concurrency(), queued(), arrivals()}
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Error(got[i], want[i])
		}
	}
}
