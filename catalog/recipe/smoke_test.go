package recipe

import (
	"bytes"
	"encoding/json"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

func TestSmokeRequests(t *testing.T) {
	r, err := SmokeTest{Method: "POST", Path: "/v1/x/{model}", Body: `{"model": "{model}"}`}.Request(`a "b"/c`)
	var body struct{ Model string }
	if err != nil || json.Unmarshal(r.Body, &body) != nil || body.Model != `a "b"/c` || r.Path != "/v1/x/a%20%22b%22%2Fc" || r.Type != "application/json" {
		t.Errorf("%+v, %s, %v", r, r.Body, err)
	}
	r, err = SmokeTest{Method: "GET", Path: "/v1/models"}.Request("m")
	if err != nil || r.Type != "" || r.Body != nil || r.Method != http.MethodGet {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = SmokeTest{Method: "POST", Path: "/v1/audio/transcriptions", Form: map[string]string{"model": "{model}", "file": "@tone.wav"}}.Request("whisper")
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(r.Type)
	if err != nil {
		t.Fatal(err)
	}
	form, err := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"]).ReadForm(1 << 20)
	if err != nil || form.Value["model"][0] != "whisper" || form.File["file"][0].Filename != "tone.wav" || form.File["file"][0].Size != 44+32000 {
		t.Errorf("%+v, %v", form, err)
	}
}

func TestJudge(t *testing.T) {
	chat := `{"choices":[{"message":{"content":"It is Paris."},"finish_reason":"stop"}],"usage":{"completion_tokens":7},"data":[{"embedding":[1,2,3]}],"none":null,"no":false,"nothing":[]}`
	for _, row := range []struct{ holds, want string }{
		{"choices[0].message.content ~ (?i)paris", ""},
		{"choices[0].message.content ~ London", `choices[0].message.content of its answer is "It is Paris."; ~ London is wanted`},
		{"choices[0].finish_reason = stop", ""},
		{"choices", ""},
		{"choices = 1", ""},
		{"data[0].embedding = 3", ""},
		{"data[0].embedding >= 4", `data[0].embedding of its answer is "3"; >= 4 is wanted`},
		{"usage.completion_tokens <= 7", ""},
		{"usage.completion_tokens = 7.0", ""},
		{"choices[1].message", "its answer has no choices[1].message"},
		{"choices.x", "its answer has no choices.x"},
		{"none", "none of its answer is empty"},
		{"nothing", "nothing of its answer is empty"},
		{"no = false", ""},
		{"$body ~ Paris", ""},
		{"$bytes >= 10", ""},
		{"$type ~ ^application/json", ""},
	} {
		err := SmokeTest{Status: 200, Holds: []string{row.holds}}.Judge(Answer{Status: 200, Type: "application/json", Body: []byte(chat)})
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.holds, err, row.want)
		}
	}
	err := SmokeTest{Status: 200, Holds: []string{"a"}}.Judge(Answer{Status: 503, Body: []byte("loading\n model")})
	if err == nil || err.Error() != `it answered 503, not 200: "loading model"` {
		t.Error(err)
	}
	err = SmokeTest{Status: 200, Holds: []string{"a", "$type ~ audio"}}.Judge(Answer{Status: 200, Body: []byte{0xff, 0xfe}})
	if err == nil || !strings.Contains(err.Error(), "its answer is no JSON: 2 bytes that are no text") || !strings.Contains(err.Error(), "$type") {
		t.Error(err)
	}
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "12": 12, "1.5GiB": 3 << 29, "16.4 GB": 16_400_000_000, "5KB": 5000, "7B": 7, "1TiB": 1 << 40,
		"": -1, "GiB": -1, "-1": -1, "1e3": -1, "NaN": -1, "inf": -1, "1.2.3": -1, "0x10": -1, "9999999TiB": -1, "9223372036854775807": -1,
	} {
		got, ok := sizes.read(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, ok, want)
		}
	}
	if got, ok := counts.read("8.19B"); !ok || got != 8_190_000_000 {
		t.Errorf("8.19B: %d, %v", got, ok)
	}
}
