package otlp

import (
	"context"
	"net"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/palisade-run/palisade/router/record"
)

// given hands out the ids that the router made: engines were told them long before the span is made.
type given struct{}

type givenKey struct{}

// NewIDs implements sdk.IDGenerator.
func (given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	t, _ := ctx.Value(givenKey{}).(record.Trace)
	return t.ID, t.Span
}

// NewSpanID implements sdk.IDGenerator.
func (given) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	t, _ := ctx.Value(givenKey{}).(record.Trace)
	return t.Span
}

// span makes the span of a record.
func (e *Exporter) span(r *record.Record) {
	ctx := context.WithValue(context.Background(), givenKey{}, r.Trace)
	if r.Trace.Parent != [8]byte{} {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: r.Trace.ID, SpanID: r.Trace.Parent, TraceFlags: trace.FlagsSampled, Remote: true,
		}))
	}
	_, s := e.tracer.Start(ctx, nameOf(r), trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(r.Start), trace.WithAttributes(attributesOf(r)...))
	if r.First > 0 {
		s.AddEvent("gen_ai.first_chunk", trace.WithTimestamp(r.Start.Add(r.First)))
	}
	if r.Failed() {
		s.SetStatus(codes.Error, valid(failure(r)))
	}
	s.End(trace.WithTimestamp(r.Start.Add(r.Took)))
}

// nameOf is "operation model" where it is one of the conventions, else the method. Only models that a service has name
// spans: others are a client's choice.
func nameOf(r *record.Record) string {
	op := operation(r.Kind)
	switch {
	case op == "":
		return valid(r.Method)
	case r.ServiceID == "" || r.Model == "":
		return op
	}
	return valid(op + " " + r.Model)
}

// operation is a kind of call in the words of the conventions for generative models; "" has none.
func operation(kind string) string {
	switch kind {
	case "chat", "responses", "messages":
		return "chat"
	case "completions":
		return "text_completion"
	case "embeddings", "rerank":
		return kind
	case "audio", "images":
		return "generate_content"
	}
	return ""
}

func failure(r *record.Record) string {
	switch {
	case r.Fault != "" && r.Err != nil:
		return r.Fault + ": " + r.Err.Error()
	case r.Fault != "":
		return r.Fault
	case r.Code != "":
		return r.Code
	}
	return "answered " + strconv.Itoa(r.Status)
}

// attributesOf says what a request did: by the semantic conventions for HTTP and for generative models where they have a
// word for it, else by our own.
func attributesOf(r *record.Record) []attribute.KeyValue {
	a := attributes{}
	if op := operation(r.Kind); op != "" {
		a.text("gen_ai.operation.name", op)
		a.text("gen_ai.provider.name", "palisade")
	}
	a.text("gen_ai.request.model", r.Model)
	a.number("gen_ai.usage.input_tokens", r.Usage.Prompt)
	a.number("gen_ai.usage.output_tokens", r.Usage.Completion)
	a.number("gen_ai.usage.cache_read.input_tokens", r.Usage.Cached)
	if r.First > 0 && r.Stream {
		a.all = append(a.all, attribute.Float64("gen_ai.response.time_to_first_chunk", r.First.Seconds()))
	}
	a.text("http.request.method", r.Method)
	a.text("url.path", r.Path)
	a.number("http.response.status_code", int64(r.Status))
	a.number("http.request.body.size", r.In)
	a.number("http.response.body.size", r.Out)
	if host, port, err := net.SplitHostPort(r.Client); err == nil {
		n, _ := strconv.Atoi(port)
		a.text("client.address", host)
		a.number("client.port", int64(n))
	} else {
		a.text("client.address", r.Client)
	}
	switch {
	case r.Fault != "":
		a.text("error.type", r.Fault)
	case r.Code != "":
		a.text("error.type", r.Code)
	case r.Status >= 500:
		a.text("error.type", strconv.Itoa(r.Status))
	}
	a.text("palisade.request.id", r.ID)
	a.text("palisade.kind", r.Kind)
	a.text("palisade.project", r.Project)
	a.text("palisade.service.id", r.ServiceID)
	a.text("palisade.service.name", r.Service)
	a.text("palisade.route.id", r.Route)
	a.text("palisade.token.id", r.TokenID)
	a.text("palisade.token.name", r.TokenName)
	a.number("palisade.retries", int64(r.Retries))
	if r.Held > 0 {
		a.all = append(a.all, attribute.Float64("palisade.held", r.Held.Seconds()))
	}
	a.yes("gen_ai.request.stream", r.Stream)
	a.yes("palisade.aborted", r.Aborted)
	a.yes("palisade.repeated", r.Repeated)
	a.yes("palisade.usage.estimated", r.Usage.Estimated)
	return a.all
}

// attributes leaves out what is empty.
type attributes struct{ all []attribute.KeyValue }

func (a *attributes) text(name, value string) {
	if value != "" {
		a.all = append(a.all, attribute.String(name, valid(value)))
	}
}

func (a *attributes) number(name string, value int64) {
	if value != 0 {
		a.all = append(a.all, attribute.Int64(name, value))
	}
}

func (a *attributes) yes(name string, value bool) {
	if value {
		a.all = append(a.all, attribute.Bool(name, true))
	}
}

const longest = 1024

// valid is a text that protobuf takes, of a bounded length: one that is no UTF-8 would lose the whole batch.
func valid(s string) string {
	s = s[:min(len(s), longest)]
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
