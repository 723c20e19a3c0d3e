package scan

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const chunk = `data: {"id":"chatcmpl-7b2f","object":"chat.completion.chunk","created":1750000000,"model":"llama-3.3-70b-instruct","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

// usageChunk is what the engines of OpenAI's kind send when they are asked for usage.
const usageChunk = `data: {"id":"chatcmpl-7b2f","object":"chat.completion.chunk","created":1750000000,"model":"llama-3.3-70b-instruct","choices":[],"usage":{"prompt_tokens":11,"total_tokens":18,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\n"

const doneEvent = "data: [DONE]\n\n"

type outcome struct {
	usage  Usage
	events int64
	done   bool
	failed bool
}

var answers = []struct {
	name, body string
	stream     bool
	want       outcome
}{
	{"chat", `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"\"usage\":{\"prompt_tokens\":999}"}}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":6}}}`, false,
		outcome{usage: Usage{12, 34, 5, 6, true}}},
	{"chat, laid out", "{\n  \"usage\" : {\n    \"prompt_tokens\" : 12 ,\n \"completion_tokens\" : 34\n  },\n \"choices\" : [ ]\n}\n", false, outcome{usage: Usage{12, 34, 0, 0, true}}},
	{"not below other members", `{"choices":[{"usage":{"prompt_tokens":999},"message":{"usage":{"prompt_tokens":999}}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, false, outcome{usage: Usage{1, 2, 0, 0, true}}},
	{"not what a tool is called with", `{"type":"message","usage":{"input_tokens":3,"output_tokens":4},"content":[{"type":"tool_use","input":{"usage":{"input_tokens":0,"output_tokens":0}}}]}`, false, outcome{usage: Usage{3, 4, 0, 0, true}}},
	{"a value is no name", `{"object":"usage","x":{"prompt_tokens":9},"y":["usage",{"prompt_tokens":9}]}`, false, outcome{}},
	{"no usage", `{"object":"list","data":[]}`, false, outcome{}},
	{"null", `{"usage":null,"error":null}`, false, outcome{}},
	{"embeddings", `{"object":"list","data":[{"embedding":[0.1,-2e-5,3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, false, outcome{usage: Usage{8, 0, 0, 0, true}}},
	{"responses", `{"id":"r","object":"response","usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":16},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":50},"error":null}`, false, outcome{usage: Usage{20, 30, 16, 9, true}}},
	{"messages", `{"type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":5,"cache_creation_input_tokens":7,"cache_read_input_tokens":100,"output_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":7}}}`, false, outcome{usage: Usage{112, 9, 100, 0, true}}},
	{"llama.cpp's own", `{"content":"x","stop":true,"timings":{"cache_n":20,"prompt_n":3,"prompt_ms":12.5,"predicted_n":8,"predicted_per_second":1.5e2}}`, false, outcome{usage: Usage{23, 8, 20, 0, true}}},
	{"usage before timings", `{"timings":{"prompt_n":1,"predicted_n":1},"usage":{"prompt_tokens":5,"completion_tokens":6}}`, false, outcome{usage: Usage{5, 6, 0, 0, true}}},
	{"usage and then timings", `{"usage":{"prompt_tokens":5,"completion_tokens":6},"timings":{"prompt_n":1,"predicted_n":1}}`, false, outcome{usage: Usage{5, 6, 0, 0, true}}},
	{"rerank", `{"results":[{"index":0,"relevance_score":0.9}],"usage":{"total_tokens":77}}`, false, outcome{usage: Usage{77, 0, 0, 0, true}}},
	{"rerank of Cohere", `{"results":[],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1,"input_tokens":3},"tokens":{"input_tokens":40,"output_tokens":2}}}`, false, outcome{usage: Usage{40, 2, 0, 0, true}}},
	{"a list", `[{"index":0,"score":0.5},{"usage":{"prompt_tokens":9}}]`, false, outcome{}},
	{"an error with 200", `{"error":{"message":"out of memory"}}`, false, outcome{failed: true}},
	{"odd numbers", `{"usage":{"prompt_tokens":-4,"completion_tokens":7.9,"total_tokens":99999999999999999999999}}`, false, outcome{usage: Usage{1<<50 - 7, 7, 0, 0, true}}},
	{"cut off", `{"usage":{"prompt_tokens":4`, false, outcome{}},
	{"no JSON", `usage: {"usage":{"prompt_tokens":4}} }}}} ]]`, false, outcome{usage: Usage{4, 0, 0, 0, true}}},
	{"empty", ``, false, outcome{}},

	{"stream of something else", "0{\"usage\":{\"prompt_tokens\":1},\"error\":1}\nretry: 5\n\n", true, outcome{}},
	{"stream that is cut off in its usage", chunk + usageChunk[:len(usageChunk)-2], true, outcome{usage: Usage{Completion: 1}, events: 1}},
	{"stream", chunk + chunk + usageChunk + doneEvent, true, outcome{usage: Usage{11, 7, 4, 0, true}, events: 3, done: true}},
	{"stream without usage", chunk + chunk + chunk + doneEvent, true, outcome{usage: Usage{Completion: 3}, events: 3, done: true}},
	{"stream cut off", chunk + chunk[:60], true, outcome{usage: Usage{Completion: 1}, events: 1}},
	{"stream with CR", strings.ReplaceAll(chunk+usageChunk+doneEvent, "\n", "\r\n"), true, outcome{usage: Usage{11, 7, 4, 0, true}, events: 2, done: true}},
	{"stream with usage:null", strings.Replace(chunk, `]}`, `],"usage":null}`, 1) + usageChunk, true, outcome{usage: Usage{11, 7, 4, 0, true}, events: 2}},
	{"stream with usage in each", strings.Replace(chunk, `]}`, `],"usage":{"prompt_tokens":11,"completion_tokens":1}}`, 1) + strings.Replace(chunk, `]}`, `],"usage":{"prompt_tokens":11,"completion_tokens":2}}`, 1) + doneEvent, true, outcome{usage: Usage{11, 2, 0, 0, true}, events: 2, done: true}},
	{"stream that talks of usage", strings.Replace(chunk, " word", `\"usage\":{\"prompt_tokens\":999},\"choices\":[]`, 1), true, outcome{usage: Usage{Completion: 1}, events: 1}},
	{"stream with comments", ": ping\n\n" + `: "usage":{"prompt_tokens":5}` + "\n\n" + chunk + ":\n\n" + doneEvent, true, outcome{usage: Usage{Completion: 1}, events: 1, done: true}},
	{"stream without spaces", "data:" + chunk[6:] + "data:[DONE]\n\n", true, outcome{usage: Usage{Completion: 1}, events: 1, done: true}},
	{"stream of messages", "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":10,\"output_tokens\":1}}}\n\n" +
		"event: ping\ndata: {\"type\": \"ping\"}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", true, outcome{usage: Usage{35, 15, 10, 0, true}, events: 5, done: true}},
	{"stream of messages, cut off", "event: content_block_start\ndata: {\"type\":\"content_block_start\"}\n\nevent: content_block_delta\ndata: {\"delta\":{\"text\":\"Hi\"}}\n\nevent: error\ndata: {\"type\":\"error\"}\n\n", true, outcome{usage: Usage{Completion: 1}, events: 3, failed: true}},
	{"stream of responses", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\nevent: response.output_text.delta\ndata: {\"delta\":\"Hi\"}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"error\":null,\"output\":[],\"usage\":{\"input_tokens\":6,\"output_tokens\":2,\"total_tokens\":8}}}\n\n", true, outcome{usage: Usage{6, 2, 0, 0, true}, events: 3, done: true}},
	{"stream of llama.cpp's own", `data: {"content":"a","stop":false}` + "\n\n" + `data: {"content":"","stop":true,"timings":{"prompt_n":4,"predicted_n":2}}` + "\n\n", true, outcome{usage: Usage{4, 2, 0, 0, true}, events: 2}},
	{"stream with an error", chunk + `data: {"error":{"message":"CUDA error","code":500}}` + "\n\n", true, outcome{usage: Usage{Completion: 2}, events: 2, failed: true}},
	{"stream of lines", `{"response":"a","done":false}` + "\n" + `{"response":"","done":true}` + "\n", true, outcome{usage: Usage{Completion: 2}, events: 2}},
}

// read feeds body in pieces of n bytes, and gives what is passed on.
func read(a *Answer, body string, n int) (string, outcome) {
	var out strings.Builder
	for p := []byte(body); len(p) > 0; {
		piece := p[:min(n, len(p))]
		p = p[len(piece):]
		out.Write(a.Feed(bytes.Clone(piece)))
	}
	out.Write(a.Rest())
	return out.String(), outcome{a.Usage(), a.Events(), a.Done(), a.Failed()}
}

func TestAnswer(t *testing.T) {
	var a Answer // one for all: Reset leaves nothing behind
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			for n := 1; n <= len(c.body)+1; n++ {
				a.Reset(c.stream, false)
				out, got := read(&a, c.body, n)
				if got != c.want {
					t.Fatalf("in pieces of %d: %+v\nwant %+v", n, got, c.want)
				}
				if out != c.body {
					t.Fatalf("in pieces of %d the body changed:\n%s", n, out)
				}
			}
		})
	}
}

func TestHide(t *testing.T) {
	var a Answer
	for _, c := range answers {
		if !c.stream {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			want := strings.ReplaceAll(c.body, usageChunk, "")
			want = strings.ReplaceAll(want, strings.ReplaceAll(usageChunk, "\n", "\r\n"), "")
			for n := 1; n <= len(c.body)+1; n++ {
				a.Reset(true, true)
				out, got := read(&a, c.body, n)
				if got != c.want {
					t.Fatalf("in pieces of %d: %+v\nwant %+v", n, got, c.want)
				}
				if out != want {
					t.Fatalf("in pieces of %d:\n%q\nwant\n%q", n, out, want)
				}
			}
		})
	}
}

func TestHideDelaysNothingElse(t *testing.T) {
	var a Answer
	a.Reset(true, true)
	if got := a.Feed([]byte(chunk)); string(got) != chunk {
		t.Errorf("an event came as %q", got)
	}
	cut := strings.Index(chunk, `"delta"`)
	if got := a.Feed([]byte(chunk[:cut])); string(got) != chunk[:cut] {
		t.Errorf("the beginning of an event with choices came as %q", got)
	}
	if got := a.Feed([]byte(chunk[cut:])); string(got) != chunk[cut:] {
		t.Errorf("its end came as %q", got)
	}
	if got := a.Feed([]byte(usageChunk[:50])); len(got) != 0 {
		t.Errorf("what may be usage only came as %q", got)
	}
	if got := a.Feed([]byte(usageChunk[50:] + doneEvent)); string(got) != doneEvent {
		t.Errorf("after the usage came %q", got)
	}
}

func TestHideHoldsLittle(t *testing.T) {
	var a Answer
	a.Reset(true, true)
	long := `data: {"x":"` + strings.Repeat("y", 3*maxHeld) + `","choices":[],"usage":{"prompt_tokens":1}}` + "\n\n"
	out, got := read(&a, long, 1000)
	if out != long || got.usage.Prompt != 1 {
		t.Errorf("a long event: %d of %d bytes, %+v", len(out), len(long), got)
	}
	if out, _ := read(&a, usageChunk+chunk, 1000); out != chunk {
		t.Errorf("after it: %q", out)
	}
}

func TestCountsOfLongObjectsAreLeftOut(t *testing.T) {
	body := `{"usage":{"x":"` + strings.Repeat("y", 2*maxObject) + `","prompt_tokens":9}}`
	var a Answer
	a.Reset(false, false)
	_, got := read(&a, body, 100)
	if got.usage.Known || cap(a.outline.object) > 2*maxObject {
		t.Errorf("got %+v, kept %d bytes", got, cap(a.outline.object))
	}
}

func FuzzAnswer(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.body), uint8(5), c.stream, c.stream)
	}
	f.Add([]byte("event: response.code_interpreter_call_code.delta.and_more_than_is_kept_of_it\r\ndata: 1\n"), uint8(5), true, true)
	f.Add([]byte("data: {\ndata: {\"choices\":[],\"usage\":{}}\n\n"), uint8(2), true, true)
	f.Fuzz(func(t *testing.T, body []byte, cut uint8, stream, hide bool) {
		var once, pieces Answer
		once.Reset(stream, hide)
		out := string(once.Feed(body))
		out += string(once.Rest())
		if !hide && out != string(body) {
			t.Fatalf("%q was passed on as %q", body, out)
		}
		pieces.Reset(stream, hide)
		inPieces, got := read(&pieces, string(body), int(cut)%13+1)
		if inPieces != out {
			t.Fatalf("%q was passed on as %q, in pieces as %q", body, out, inPieces)
		}
		if want := (outcome{once.Usage(), once.Events(), once.Done(), once.Failed()}); got != want {
			t.Fatalf("%q: in pieces %+v, at once %+v", body, got, want)
		}
		if u := got.usage; u.Prompt < 0 || u.Completion < 0 || u.Cached < 0 || u.Reasoning < 0 {
			t.Fatalf("%q: %+v", body, u)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	event := strings.Replace(chunk, " word", " wordy"+strings.Repeat("x", 300-len(chunk)-1), 1)
	floats := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[` + strings.Repeat("-0.0123456789,", 1023) + `0.5]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}`
	answer := strings.Replace(answers[0].body, `"role"`, `"name":"`+strings.Repeat("z", 400-len(answers[0].body)-10)+`","role"`, 1)
	for _, c := range []struct {
		name, body   string
		stream, hide bool
	}{
		{"event", event, true, false}, {"event-hide", event, true, true}, {"usage-event", usageChunk, true, false},
		{"usage-event-hide", usageChunk, true, true}, {"answer-400", answer, false, false}, {"embedding-1024", floats, false, false},
	} {
		b.Run(fmt.Sprintf("%s-%d", c.name, len(c.body)), func(b *testing.B) {
			var a Answer
			a.Reset(c.stream, c.hide)
			body := []byte(c.body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if !c.stream {
					a.Reset(false, false)
				}
				a.Feed(body)
			}
		})
	}
}

func TestFindName(t *testing.T) {
	for _, text := range []string{`"us`, `"ti`, `"u`, `"t`, `us`, `"uti`, `"tus`, `"ui`} {
		for before := range 80 {
			for after := range 40 {
				p := []byte(strings.Repeat(`"`, before) + text + strings.Repeat("s", after))
				if got, want := findName(p), findNameGo(p); got != want {
					t.Fatalf("%q: at %d, want %d", p, got, want)
				}
			}
		}
	}
}
