package autoscaler

import (
	"slices"
	"strings"
)

// Info is what is known of a metric: the vocabulary of rules.
type Info struct {
	Metric Metric
	Unit   string // "requests", "requests/s", "tokens/s", "s", "share", "percent", "bytes/s"
	Phrase string // follows its value in a sentence: "in flight"
	About  string // one sentence
	Totals bool   // routes' values add up to the service's; else they are means, shares, quantiles
	Busier bool   // it grows as the load does: a target can be kept by more routes
}

// Vocabulary lists the metrics that have a name of ours, sorted by source and name. An engine may have others under the
// names that it gives them, and a Prometheus server's are queries.
func Vocabulary() []Info {
	out := make([]Info, 0, len(vocabulary))
	for _, v := range vocabulary {
		out = append(out, v.info())
	}
	slices.SortFunc(out, func(a, b Info) int { return strings.Compare(a.Metric.String(), b.Metric.String()) })
	return out
}

// Known tells of a metric. ok is false for one that no source of ours has. Raw names of engines and queries are told
// by how they are spelled.
func Known(m Metric) (info Info, ok bool) {
	if w := lookUp(m); w != nil {
		return w.info(), true
	}
	switch m.Source {
	case SourcePrometheus:
		return Info{Metric: m, Phrase: "by the query", Totals: true, Busier: true, About: "A query to the Prometheus server: one figure of the whole service."}, m.Name != ""
	case SourceEngine:
		return Info{Metric: m, Phrase: m.Name, Totals: addsUp(m.Name), Busier: true, About: "A metric of the engine's own."}, m.Name != ""
	case SourceRouter, SourceKernel:
	}
	return Info{}, false
}

type word struct {
	source Source
	name   string
	unit   string
	phrase string
	totals bool
	busier bool
	about  string
}

func (w *word) info() Info {
	return Info{Metric{w.source, w.name}, w.unit, w.phrase, w.about, w.totals, w.busier}
}

// vocabulary is constant.
var vocabulary = [...]word{
	{SourceRouter, "concurrency", "requests", "in flight", true, true, "Requests in flight and waiting for a route, as the router counts them."},
	{SourceRouter, "queued", "requests", "waiting", true, true, "Requests that wait for a route."},
	{SourceRouter, "requests_per_second", "requests/s", "requests a second", true, true, "Requests that arrive."},
	{SourceRouter, "tokens_per_second", "tokens/s", "tokens a second", true, true, "Tokens answered, prompt and completion, as usage counts them."},
	{SourceRouter, "ttft_p95", "s", "s to first token (p95)", false, true, "Time to first token that 95 of 100 requests stay under."},
	{SourceRouter, "latency_p95", "s", "s to the end (p95)", false, true, "Time to the end of the answer that 95 of 100 requests stay under."},
	{SourceRouter, "error_rate", "share", "answered with an error", false, false, "Share of requests that were answered with a status of 500 or more, or broke off: 0 to 1."},
	{SourceEngine, "running", "requests", "running", true, true, "Requests that the engine works on."},
	{SourceEngine, "waiting", "requests", "waiting in the engine", true, true, "Requests in the engine's own queue."},
	{SourceEngine, "kv_usage", "share", "of the KV cache in use", false, true, "Share of the engine's KV cache that is in use: 0 to 1."},
	{SourceEngine, "ttft", "s", "s to first token", false, true, "Time to first token as the engine counts it: the mean of the last samples."},
	{SourceEngine, "tokens_per_second", "tokens/s", "tokens a second", true, true, "Tokens that the engine generates."},
	{SourceKernel, "cpu_util", "percent", "% of its cores in use", false, true, "Use of the cores that a session may use."},
	{SourceKernel, "mem", "percent", "% of its memory in use", false, false, "Use of the memory that a session may use."},
	{SourceKernel, "cuda_util", "percent", "% of its accelerators in use", false, true, "Use of a session's accelerators."},
	{SourceKernel, "cuda_mem", "percent", "% of its accelerators' memory in use", false, false, "Use of the memory of a session's accelerators."},
	{SourceKernel, "net_rx", "bytes/s", "bytes a second received", false, true, "Bytes that a session receives."},
	{SourceKernel, "net_tx", "bytes/s", "bytes a second sent", false, true, "Bytes that a session sends."},
	{SourceKernel, "io_read", "bytes/s", "bytes a second read", false, true, "Bytes that a session reads from its disks."},
	{SourceKernel, "io_write", "bytes/s", "bytes a second written", false, true, "Bytes that a session writes to its disks."},
}

func lookUp(m Metric) *word {
	for i := range vocabulary {
		if w := &vocabulary[i]; w.name == m.Name && w.source == m.Source {
			return w
		}
	}
	return nil
}

// quantileNames are how the last part of NAME:p95 may be written.
var quantileNames = [...]string{":p50", ":p90", ":p95", ":p99", ":mean"}

// addsUp reports whether a raw metric's values of several routes add up. Shares, quantiles and times do not.
func addsUp(name string) bool {
	for _, end := range quantileNames {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	for _, end := range [...]string{"_perc", "_percent", "_ratio", "_usage", "_utilization", "_seconds"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return true
}

// names lists the metrics of a source that have a name of ours.
func names(source Source) (of []string) {
	for _, w := range vocabulary {
		if w.source == source {
			of = append(of, w.name)
		}
	}
	return of
}
