package otlp_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/record/otlp"
)

// gathered is a collector: it keeps what is sent to it.
type gathered struct {
	mu       sync.Mutex
	path     string
	resource map[string]string
	spans    []*spans.Span
}

func (g *gathered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(body, &sent)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.path = r.URL.Path
	for _, of := range sent.GetResourceSpans() {
		g.resource = words(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			g.spans = append(g.spans, scope.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func words(all []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range all {
		out[kv.GetKey()] = strings.TrimSpace(kv.GetValue().String())
	}
	return out
}

// sent runs an exporter, gives it records, and ends it: all is sent then.
func sent(t *testing.T, endpoint string, log *slog.Logger, records ...*record.Record) map[string]float64 {
	t.Helper()
	e, err := otlp.New(t.Context(), otlp.Config{Endpoint: endpoint, Version: "1.2.3", Node: "gpu-box"}, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		e.Write(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.Run(ctx)
	registry := prometheus.NewRegistry()
	registry.MustRegister(e)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		counts[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	return counts
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestSpans(t *testing.T) {
	g := &gathered{}
	server := httptest.NewServer(g)
	defer server.Close()
	at := time.Unix(1_700_000_000, 123456000)
	good := &record.Record{
		ID: "req-1", Start: at, Took: 2 * time.Second, First: 300 * time.Millisecond, Method: "POST", Path: "/v1/chat/completions", Kind: "chat", Client: "[::1]:5123",
		ServiceID: "svc-1", Service: "qwen", Project: "default", Model: "qwen3", Route: "ses-1", TokenID: "tok-1", Status: 200, Stream: true,
		Usage: record.Usage{Prompt: 812, Completion: 230, Cached: 512}, Trace: record.Trace{ID: [16]byte{1, 2}, Span: [8]byte{3}, Parent: [8]byte{4}, Sampled: true},
	}
	bad := &record.Record{
		ID: "req-\xff", Start: at, Took: time.Second, Method: "GET", Path: "/x\xc3", Kind: "other", Status: 502, Fault: "broken", Err: errors.New("\xfe"),
		Trace: record.Trace{ID: [16]byte{9}, Span: [8]byte{8}, Sampled: true},
	}
	unsampled := &record.Record{Trace: record.Trace{ID: [16]byte{9}, Span: [8]byte{8}}}
	counts := sent(t, server.URL, silent(), good, bad, unsampled, &record.Record{})
	if g.path != "/v1/traces" || len(g.spans) != 2 || counts["palisade_trace_spans_total"] != 2 || counts["palisade_trace_spans_dropped_total"] != 0 {
		t.Fatalf("%s: %d spans, %v", g.path, len(g.spans), counts)
	}
	if !strings.Contains(g.resource["service.name"], `"palisade"`) || !strings.Contains(g.resource["service.version"], "1.2.3") || !strings.Contains(g.resource["host.name"], "gpu-box") {
		t.Errorf("%v", g.resource)
	}
	s := g.spans[0]
	if s.GetName() != "chat qwen3" || s.GetTraceId()[1] != 2 || s.GetSpanId()[0] != 3 || s.GetParentSpanId()[0] != 4 || s.GetKind() != spans.Span_SPAN_KIND_SERVER ||
		s.GetStartTimeUnixNano() != uint64(at.UnixNano()) || s.GetEndTimeUnixNano() != uint64(at.Add(2*time.Second).UnixNano()) || len(s.GetEvents()) != 1 || s.GetStatus().GetCode() != spans.Status_STATUS_CODE_UNSET {
		t.Errorf("%v", s)
	}
	got := words(s.GetAttributes())
	for name, want := range map[string]string{
		"gen_ai.operation.name": `string_value:"chat"`, "gen_ai.request.model": `string_value:"qwen3"`, "gen_ai.usage.input_tokens": "int_value:812",
		"gen_ai.usage.output_tokens": "int_value:230", "gen_ai.usage.cache_read.input_tokens": "int_value:512", "http.response.status_code": "int_value:200",
		"client.address": `string_value:"::1"`, "palisade.route.id": `string_value:"ses-1"`, "gen_ai.response.time_to_first_chunk": "double_value:0.3",
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	if s := g.spans[1]; s.GetName() != "GET" || len(s.GetParentSpanId()) != 0 || s.GetTraceId()[0] != 9 || s.GetStatus().GetCode() != spans.Status_STATUS_CODE_ERROR || s.GetStatus().GetMessage() != "broken: \ufffd" {
		t.Errorf("%v", s)
	}
}

// TestCollectorIsAway: requests go on, the memory is bounded, it is said once, and the end does not hang.
func TestCollectorIsAway(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	defer server.Close()
	var told strings.Builder
	var many []*record.Record
	for range 5000 {
		many = append(many, &record.Record{Trace: record.Trace{ID: [16]byte{1}, Span: [8]byte{1}, Sampled: true}})
	}
	counts := sent(t, server.URL+"/custom", slog.New(slog.NewTextHandler(&told, nil)), many...)
	if counts["palisade_trace_spans_dropped_total"] != 5000 || counts["palisade_trace_spans_total"] != 0 {
		t.Errorf("%v", counts)
	}
	if strings.Count(told.String(), "the collector does not take spans") != 1 || !strings.Contains(told.String(), "traces.endpoint") {
		t.Error(told.String())
	}
	var none *otlp.Exporter
	none.Write(many[0])
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		env      map[string]string
		want     bool
	}{
		{"", nil, false}, {"http://x", nil, true}, {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{"", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true},
		{"http://x", map[string]string{"OTEL_SDK_DISABLED": "true"}, false}, {"http://x", map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		if got := otlp.Wanted(c.endpoint, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	e, err := otlp.New(b.Context(), otlp.Config{Endpoint: "http://127.0.0.1:1"}, silent())
	if err != nil {
		b.Fatal(err)
	}
	r := &record.Record{ID: "req-1", Model: "qwen3", Path: "/v1/chat/completions", Trace: record.Trace{ID: [16]byte{1}, Span: [8]byte{1}}}
	b.ReportAllocs()
	for b.Loop() {
		e.Write(r)
	}
}
