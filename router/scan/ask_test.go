package scan

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAskUsage(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"no stream", `{"model":"a"}`, `{"model":"a"}`},
		{"stream off", `{"model":"a","stream":false}`, `{"model":"a","stream":false}`},
		{"no options", `{"model":"a","stream":true}`, `{"stream_options":{"include_usage":true},"model":"a","stream":true}`},
		{"white space", " { \"model\":\"a\",\"stream\":true}", " {\"stream_options\":{\"include_usage\":true}, \"model\":\"a\",\"stream\":true}"},
		{"empty options", `{"model":"a","stream":true,"stream_options":{ }}`, `{"model":"a","stream":true,"stream_options":{"include_usage":true }}`},
		{"other options", `{"stream_options":{"x":[1]},"model":"a","stream":true}`, `{"stream_options":{"include_usage":true,"x":[1]},"model":"a","stream":true}`},
		{"null", `{"model":"a","stream":true,"stream_options":null}`, `{"model":"a","stream":true,"stream_options":{"include_usage":true}}`},
		{"false", `{"stream_options":{"include_usage": false },"model":"a","stream":true}`, `{"stream_options":{"include_usage": true },"model":"a","stream":true}`},
		{"null within", `{"stream_options":{"include_usage":null},"model":"a","stream":true}`, `{"stream_options":{"include_usage":true},"model":"a","stream":true}`},
		{"asked for", `{"model":"a","stream":true,"stream_options":{"include_usage":true}}`, `{"model":"a","stream":true,"stream_options":{"include_usage":true}}`},
		{"the last counts", `{"model":"a","stream":true,"stream_options":{"include_usage":true},"stream_options":{"y":1}}`, `{"model":"a","stream":true,"stream_options":{"include_usage":true},"stream_options":{"include_usage":true,"y":1}}`},
		{"no object", `{"model":"a","stream":true,"stream_options":7}`, `{"model":"a","stream":true,"stream_options":7}`},
		{"no literal", `{"model":"a","stream":true,"stream_options":{"include_usage":"yes"}}`, `{"model":"a","stream":true,"stream_options":{"include_usage":"yes"}}`},
		{"elsewhere", `{"model":"a","stream":true,"x":{"include_usage":true,"stream_options":{}}}`, `{"stream_options":{"include_usage":true},"model":"a","stream":true,"x":{"include_usage":true,"stream_options":{}}}`},
		{"after options", `{"model":"a","stream_options":{},"metadata":{"include_usage":true},"include_usage":true,"stream":true}`, `{"model":"a","stream_options":{"include_usage":true},"metadata":{"include_usage":true},"include_usage":true,"stream":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Request
			for i := range c.body { // in pieces of one byte
				if err := s.Feed([]byte(c.body[i : i+1])); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(s.AskUsage(nil, []byte(c.body))); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// FuzzAskUsage compares with what encoding/json makes of the same body.
func FuzzAskUsage(f *testing.F) {
	f.Add([]byte(`{"model":"a","stream":true,"stream_options":{"x":1}}`))
	f.Add([]byte(`{"stream_options":{"include_usage":null},"model":"a","stream":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var s Request
		if s.Feed(body) != nil || s.End() != nil {
			return
		}
		asked := s.AskUsage(nil, body)
		var before, after map[string]any
		if err := json.Unmarshal(body, &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(asked, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, asked, err)
		}
		if stream, _ := before["stream"].(bool); stream != s.Stream() {
			t.Fatalf("%q: stream %v", body, s.Stream())
		}
		options, _ := before["stream_options"].(map[string]any)
		if usage, _ := options["include_usage"].(bool); usage != s.usage {
			t.Fatalf("%q: include_usage %v", body, s.usage)
		}
		options, _ = after["stream_options"].(map[string]any)
		if usage, _ := options["include_usage"].(bool); !usage && !bytes.Equal(asked, body) {
			t.Fatalf("%q became %q, which does not ask", body, asked)
		}
		delete(before, "stream_options")
		delete(after, "stream_options")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("%q: other members changed: %s", body, diff)
		}
	})
}
