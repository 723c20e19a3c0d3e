// Package otlp makes spans of records and sends them to a collector by OTLP over HTTP. It is the only room that knows
// OpenTelemetry; it decides nothing, and a collector that is slow or away costs requests nothing but their spans.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/palisade-run/palisade/router/record"
)

// Config says where spans go.
type Config struct {
	Endpoint string // URL of a collector; "" is what the environment says
	Version  string // of this program
	Node     string // this box's name; "" says none
}

// The bounds of spans that are not sent yet.
const (
	mostWaiting = 4096
	batchSize   = 512
	batchEvery  = 2 * time.Second
	sendPatient = 10 * time.Second // for one batch
	lastPatient = 3 * time.Second  // for the last one, when the daemon ends
)

// Wanted tells whether spans are to be sent: the settings name a collector, or the environment does.
func Wanted(endpoint string, getenv func(string) string) bool {
	if disabled, err := strconv.ParseBool(getenv("OTEL_SDK_DISABLED")); err == nil && disabled || strings.EqualFold(getenv("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	return endpoint != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
}

// Exporter sends spans. Write may be called from any goroutine; one goroutine, in Run, makes and sends them.
type Exporter struct {
	log      *slog.Logger
	send     sdk.SpanExporter
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	made     *collected
	waiting  chan record.Record

	sent, dropped atomic.Int64
	away          bool // the last batch was not taken; of the goroutine in Run
}

// New makes an exporter; nothing is connected or sent before Run. What is not in c is taken from OpenTelemetry's variables:
// headers, certificates, time-outs, compression, attributes of the resource.
func New(ctx context.Context, c Config, log *slog.Logger) (*Exporter, error) {
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		to, err := url.Parse(c.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("reading the address of the collector: %w", err)
		}
		if strings.Trim(to.Path, "/") == "" {
			to.Path = "/v1/traces"
		}
		options = append(options, otlptracehttp.WithEndpointURL(to.String()))
	}
	send, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("making an exporter of spans: %w", err)
	}
	return newExporter(ctx, c, send, log)
}

func newExporter(ctx context.Context, c Config, send sdk.SpanExporter, log *slog.Logger) (*Exporter, error) {
	attributes := []attribute.KeyValue{attribute.String("service.name", "palisade"), attribute.String("service.version", c.Version)}
	if c.Node != "" {
		attributes = append(attributes, attribute.String("host.name", c.Node))
	}
	// The environment comes last: OTEL_SERVICE_NAME is the owner's word.
	about, err := resource.New(ctx, resource.WithAttributes(attributes...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describing this box to a collector: %w", err)
	}
	e := &Exporter{log: log, send: send, made: &collected{}, waiting: make(chan record.Record, mostWaiting)}
	e.provider = sdk.NewTracerProvider(
		sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(given{}), sdk.WithSpanProcessor(e.made),
	)
	e.tracer = e.provider.Tracer("github.com/palisade-run/palisade/router", trace.WithInstrumentationVersion(c.Version))
	return e, nil
}

// Write notes a record whose trace is sampled. It waits for nobody: where too many wait to be sent, it is dropped, and
// counted. It may be called on nil.
func (e *Exporter) Write(r *record.Record) {
	if e == nil || !r.Trace.Sampled || !r.Trace.Valid() {
		return
	}
	if len(e.waiting) == cap(e.waiting) { // before the copy is made
		e.dropped.Add(1)
		return
	}
	select {
	case e.waiting <- r.Clone():
	default:
		e.dropped.Add(1)
	}
}

// Run sends what waits until ctx ends, and then what is left.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		select {
		case r := <-e.waiting:
			e.span(&r)
			if len(e.made.spans) >= batchSize {
				e.flush(ctx, sendPatient)
			}
		case <-tick.C:
			e.flush(ctx, sendPatient)
		case <-ctx.Done():
			e.end(context.WithoutCancel(ctx))
			return
		}
	}
}

// end sends what is left, all in one, and closes the connection.
func (e *Exporter) end(ctx context.Context) {
	for len(e.waiting) > 0 {
		r := <-e.waiting
		e.span(&r)
	}
	e.flush(ctx, lastPatient)
	ctx, cancel := context.WithTimeout(ctx, lastPatient)
	defer cancel()
	if err := errors.Join(e.provider.Shutdown(ctx), e.send.Shutdown(ctx)); err != nil {
		e.log.Warn("the exporter of spans did not end well", "error", err)
	}
}

// flush sends a batch. One that is not taken is dropped: a collector that is away must not fill the memory.
func (e *Exporter) flush(ctx context.Context, patience time.Duration) {
	batch := e.made.take()
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := e.send.ExportSpans(ctx, batch)
	if err == nil {
		e.sent.Add(int64(len(batch)))
		if e.away {
			e.log.Info("the collector takes spans again")
		}
	} else {
		e.dropped.Add(int64(len(batch)))
		if !e.away {
			e.log.Warn("the collector does not take spans: they are dropped until it does", "error", err,
				"hint", "check traces.endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT; it must speak OTLP over HTTP")
		}
	}
	e.away = err != nil
}

// collected is the spans that have ended. It is used by one goroutine: spans are made and ended in one place.
type collected struct{ spans []sdk.ReadOnlySpan }

// OnStart implements sdk.SpanProcessor, as the following do.
func (*collected) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd keeps a span.
func (c *collected) OnEnd(s sdk.ReadOnlySpan) { c.spans = append(c.spans, s) }

// Shutdown does nothing.
func (*collected) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (*collected) ForceFlush(context.Context) error { return nil }

func (c *collected) take() []sdk.ReadOnlySpan {
	batch := c.spans
	c.spans = make([]sdk.ReadOnlySpan, 0, batchSize)
	return batch
}

// Describe and Collect give the exporter's own counters.
func (e *Exporter) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(e, to) }

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(to chan<- prometheus.Metric) {
	for _, m := range []struct {
		name, help string
		n          int64
	}{
		{"palisade_trace_spans_total", "Spans that a collector has taken.", e.sent.Load()},
		{"palisade_trace_spans_dropped_total", "Spans that were dropped: they came too fast, or no collector took them.", e.dropped.Load()},
	} {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, nil, nil), prometheus.CounterValue, float64(m.n))
	}
}
