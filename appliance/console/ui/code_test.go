package ui

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestChatCode(t *testing.T) {
	request := `{"model":"it's \"<b>\" {base} $X","messages":[{"role":"user","content":[{"type":"text","text":"line\nüber"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 5000) + `"}}]}],"stream":true,"seed":12345678901234567890,"stop":[],"logprobs":null}`
	codes, err := ChatCode("http://box:8080/v1", json.RawMessage(request))
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]string{}
	for _, c := range codes {
		by[c.ID] = c.Text
		if len(c.Text) > 3000 || !strings.Contains(c.Text, "12345678901234567890") {
			t.Errorf("%s: %s", c.ID, c.Text)
		}
	}
	for id, want := range map[string][]string{
		"curl":       {`'http://box:8080/v1/chat/completions'`, `it'\''s`, `"stop":[]`},
		"python":     {`"stream": True`, `"logprobs": None`, `"stop": []`, `"text": "line\nüber"`, "chunk"},
		"javascript": {`"stream": true`, `baseURL: "http://box:8080/v1"`, "for await"},
	} {
		for _, w := range want {
			if !strings.Contains(by[id], w) {
				t.Errorf("%s: no %s in %s", id, w, by[id])
			}
		}
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "main.go", by["go"], 0); err != nil {
		t.Errorf("%v: %s", err, by["go"])
	}
	for _, bad := range []string{"", "{", `{"a":}`, strings.Repeat("[", 100) + strings.Repeat("]", 100), `[1] x`} {
		if _, err := ChatCode("http://box", json.RawMessage(bad)); err == nil && bad != `[1] x` {
			t.Errorf("%s: no error", bad)
		}
	}
}
