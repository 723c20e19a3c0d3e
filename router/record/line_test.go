package record

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func sample() *Record {
	return &Record{
		ID: "req-abcdefgh12345678", Start: time.Date(2026, 3, 1, 14, 3, 22, 123456789, time.UTC), Took: 1234567 * time.Microsecond,
		First: 85 * time.Millisecond, Method: "POST", Path: "/v1/chat/completions", Kind: "chat", Client: "10.0.0.7:51234",
		ServiceID: "svc-0123456789ab", Service: "qwen", Project: "default", Model: "qwen3-32b", Route: "ses-abcdefghijkl",
		TokenID: "tok-abcdefghijkl", TokenName: "notebook", Status: 200, Stream: true, In: 1024, Out: 40960,
		Usage: Usage{Prompt: 812, Completion: 230, Cached: 512},
		Trace: Trace{ID: [16]byte{1}, Span: [8]byte{2}, Sampled: true},
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Record)
		of     float64
		want   string
	}{
		{"all of it", func(*Record) {}, 1, `{"time":"2026-03-01T14:03:22.123456Z","id":"req-abcdefgh12345678","client":"10.0.0.7:51234","method":"POST",` +
			`"path":"/v1/chat/completions","kind":"chat","service":"qwen","service_id":"svc-0123456789ab","project":"default","model":"qwen3-32b",` +
			`"route":"ses-abcdefghijkl","token":"tok-abcdefghijkl","token_name":"notebook","status":200,"stream":true,"took_ms":1234.567,"first_ms":85.000,` +
			`"in":1024,"out":40960,"prompt_tokens":812,"cached_tokens":512,"completion_tokens":230,` +
			`"trace_id":"01000000000000000000000000000000","span_id":"0200000000000000"}`},
		{"a refusal", func(r *Record) {
			*r = Record{Start: r.Start, Status: 401, Code: "token_unknown", Method: "GET", Path: "/v1/models"}
		}, 0.25,
			`{"time":"2026-03-01T14:03:22.123456Z","method":"GET","path":"/v1/models","status":401,"code":"token_unknown","took_ms":0.000,"sample":0.25}`},
		{"a failure", func(r *Record) {
			*r = Record{Start: r.Start, Status: 502, Took: -1, Held: 3 * time.Second, Retries: 2, Aborted: true, Repeated: true, Fault: "broken", Err: errors.New("read: \"EOF\"\n at"), Usage: Usage{Completion: 3, Estimated: true}}
		}, 1,
			`{"time":"2026-03-01T14:03:22.123456Z","status":502,"aborted":true,"repeated":true,"retries":2,"took_ms":0.000,"held_ms":3000.000,"completion_tokens":3,"estimated":true,"fault":"broken","error":"read: \"EOF\"\n at"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sample()
			c.change(r)
			if got := string(appendLine(nil, r, &clock{}, c.of)); got != c.want+"\n" {
				t.Errorf("got  %swant %s", got, c.want)
			}
		})
	}
}

// TestClockGoesBack: lines of many seconds share one clock.
func TestClockGoesBack(t *testing.T) {
	var c clock
	at := time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	for _, d := range []time.Duration{0, time.Nanosecond, -time.Hour, time.Second, 0} {
		want := at.Add(d).UTC().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z")
		if got := string(c.append(nil, at.Add(d))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestLongWordsAreCut(t *testing.T) {
	r := &Record{Path: strings.Repeat("é", 600), Model: strings.Repeat("x", 256), TokenName: strings.Repeat("模", 100)}
	var got struct {
		Path      string `json:"path"`
		Model     string `json:"model"`
		TokenName string `json:"token_name"`
	}
	if err := json.Unmarshal(appendLine(nil, r, &clock{}, 1), &got); err != nil {
		t.Fatal(err)
	}
	if got.Path != strings.Repeat("é", 512)+"…" || got.Model != r.Model || got.TokenName != strings.Repeat("模", 85)+"…" {
		t.Errorf("%+v", got)
	}
}

// FuzzLine: whatever the words are, a line is one line of JSON, says what it was given, and commands no terminal.
func FuzzLine(f *testing.F) {
	f.Add("/v1/chat", "GPT\x00\x7f\x9b31m\u2028", "\xff\xc3(", int64(7), 200)
	f.Add("\u009b", "\\\"", "\xed\xa0\x80", int64(-1), -5)
	f.Add("\U0010ffff", "\n\r\t", "é\xcc", int64(1)<<62, 0)
	f.Fuzz(func(t *testing.T, path, model, word string, n int64, status int) {
		r := &Record{
			ID: word, Path: path, Model: model, Status: status, Took: time.Duration(n), First: time.Duration(n), Held: time.Duration(-n), In: n, Out: -n,
			Start: time.UnixMicro(n % 253402300799000000), Err: errors.New(path + word), Fault: word, Usage: Usage{Prompt: n, Completion: n, Cached: n},
		}
		line := appendLine(nil, r, &clock{}, float64(n))
		if !json.Valid(line) || line[len(line)-1] != '\n' || !utf8.Valid(line) {
			t.Fatalf("%q", line)
		}
		for _, c := range string(line[:len(line)-1]) {
			if c < ' ' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("%q commands a terminal", line)
			}
		}
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(model, "\ufffd"); len(model) <= longestWord && model != "" && utf8.ValidString(model) && got["model"] != want {
			t.Fatalf("model %q is told as %q", model, got["model"])
		}
	})
}

func BenchmarkLine(b *testing.B) {
	r, c := sample(), &clock{}
	line := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		line = appendLine(line[:0], r, c, 1)
	}
}
