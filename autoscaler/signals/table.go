package signals

// The vocabulary that all engines share. A rule may say quantiles and means of TTFT: "ttft:p95", "ttft:mean".
const (
	Running         = "running"           // requests that are being computed
	Waiting         = "waiting"           // requests that the engine has accepted and has not begun
	KVUsage         = "kv_usage"          // 0 to 1
	TTFT            = "ttft"              // seconds to the first token; its mean over the window
	TokensPerSecond = "tokens_per_second" // generated
)

// vocabulary lists it in the order in which it is shown.
func vocabulary() []string { return []string{Running, Waiting, KVUsage, TTFT, TokensPerSecond} }

// operation is what makes a figure out of what a page says.
type operation string

const (
	asIs     operation = "as is"
	rate     operation = "rate"     // of a counter, a second
	mean     operation = "mean"     // of a histogram or a summary, over the window
	quantile operation = "quantile" // of a histogram, over the window
)

// source is one place where an engine tells a word.
type source struct {
	raw   string // the name on the page
	label string // counts only where this label ...
	is    string // ... has this value; "": all series
	op    operation
	scale float64 // times; 0: 1
	// also is the name of another histogram whose mean is added, of the series with alsoLabel alone.
	also, alsoLabel, alsoIs string
}

// engine is what one engine calls the words, over its versions: the first that a page has counts.
type engine struct {
	name    string
	prefix  string // what its names begin with; "": nothing
	missing string // what to do where it shows no page
	words   map[string][]source
}

// engines is the table. Names are written as the engine writes them; a page may have ":" or "_".
//
// Not told by an engine, and so missing: TTFT of llama.cpp; the KV cache of TGI, of newer llama.cpp and of Triton without
// TensorRT-LLM; tokens of Triton without an engine that tells them itself.
func engines() []engine {
	return []engine{
		{
			name: "vllm", prefix: "vllm:",
			words: map[string][]source{
				Running: {{raw: "vllm:num_requests_running", op: asIs}},
				Waiting: {{raw: "vllm:num_requests_waiting", op: asIs}},
				KVUsage: {{raw: "vllm:kv_cache_usage_perc", op: asIs}, {raw: "vllm:gpu_cache_usage_perc", op: asIs}},
				TTFT:    {{raw: "vllm:time_to_first_token_seconds", op: mean}},
				TokensPerSecond: {
					{raw: "vllm:generation_tokens_total", op: rate},
					{raw: "vllm:avg_generation_throughput_toks_per_s", op: asIs},
				},
			},
		},
		{
			// The same figure comes once for each rank of a model that is cut in parts: see ranks.
			name: "sglang", prefix: "sglang:", missing: "start SGLang with --enable-metrics",
			words: map[string][]source{
				Running: {{raw: "sglang:num_running_reqs", op: asIs}},
				Waiting: {{raw: "sglang:num_queue_reqs", op: asIs}},
				KVUsage: {{raw: "sglang:token_usage", op: asIs}},
				TTFT:    {{raw: "sglang:time_to_first_token_seconds", op: mean}},
				// Its counter grows when a request ends, its gauge while one goes on.
				TokensPerSecond: {
					{raw: "sglang:gen_throughput", op: asIs},
					{raw: "sglang:generation_tokens_total", op: rate},
				},
			},
		},
		{
			name: "tgi", prefix: "tgi_",
			words: map[string][]source{
				Running: {{raw: "tgi_batch_current_size", op: asIs}},
				Waiting: {{raw: "tgi_queue_size", op: asIs}},
				// It tells no first token: what comes before one is the queue and the prefill.
				TTFT:            {{raw: "tgi_request_queue_duration", op: mean, also: "tgi_batch_inference_duration", alsoLabel: "method", alsoIs: "prefill"}},
				TokensPerSecond: {{raw: "tgi_request_generated_tokens_sum", op: rate}},
			},
		},
		{
			name: "llama-cpp", prefix: "llamacpp:", missing: "start llama-server with --metrics",
			words: map[string][]source{
				Running: {{raw: "llamacpp:requests_processing", op: asIs}},
				Waiting: {{raw: "llamacpp:requests_deferred", op: asIs}},
				KVUsage: {{raw: "llamacpp:kv_cache_usage_ratio", op: asIs}},
				// predicted_tokens_seconds is how fast one slot was, not what all yield.
				TokensPerSecond: {
					{raw: "llamacpp:tokens_predicted_total", op: rate},
					{raw: "llamacpp:predicted_tokens_seconds", op: asIs},
				},
			},
		},
		{
			name: "trtllm", prefix: "trtllm_", missing: "its page is /prometheus/metrics",
			words: map[string][]source{
				Running:         {{raw: "trtllm_num_requests_running", op: asIs}},
				Waiting:         {{raw: "trtllm_num_requests_waiting", op: asIs}},
				KVUsage:         {{raw: "trtllm_kv_cache_utilization", op: asIs}},
				TTFT:            {{raw: "trtllm_time_to_first_token_seconds", op: mean}},
				TokensPerSecond: {{raw: "trtllm_generation_tokens_total", op: rate}},
			},
		},
		{
			// TensorRT-LLM's own figures before Triton's, which count the parts of an ensemble one by one.
			name: "triton", prefix: "nv_", missing: "its page is on port 8002",
			words: map[string][]source{
				Running: {
					{raw: "nv_trt_llm_request_metrics", label: "request_type", is: "scheduled", op: asIs},
					// As long as they compute in a second, so many of them compute at once.
					{raw: "nv_inference_compute_infer_duration_us", op: rate, scale: 1e-6},
				},
				Waiting: {
					{raw: "nv_trt_llm_request_metrics", label: "request_type", is: "waiting", op: asIs},
					{raw: "nv_inference_pending_request_count", op: asIs},
				},
				KVUsage: {{raw: "nv_trt_llm_kv_cache_block_metrics", label: "kv_cache_block_type", is: "fraction", op: asIs}},
				TTFT:    {{raw: "nv_inference_first_response_histogram_ms", op: mean, scale: 1e-3}},
			},
		},
		{
			name: "nim", missing: "its page is /v1/metrics",
			words: map[string][]source{
				Running:         {{raw: "num_requests_running", op: asIs}},
				Waiting:         {{raw: "num_requests_waiting", op: asIs}},
				KVUsage:         {{raw: "gpu_cache_usage_perc", op: asIs}},
				TTFT:            {{raw: "time_to_first_token_seconds", op: mean}},
				TokensPerSecond: {{raw: "generation_tokens_total", op: rate}},
			},
		},
	}
}

// ranks are labels of the parts of one model: series that differ in them alone tell the same thing, and the largest counts.
func ranks() []string { return []string{"tp_rank", "pp_rank", "moe_ep_rank"} }

// wholes are labels whose empty value marks the sum of the others.
func wholes() []string { return []string{"priority"} }

// elsewhere are the paths at which engines show their pages, where the one that was given has none.
func elsewhere() []string { return []string{"/metrics", "/v1/metrics", "/prometheus/metrics"} }
