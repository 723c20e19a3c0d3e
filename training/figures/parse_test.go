package figures

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		line, want string // the values; "bad"
	}{
		{`{}`, ""},
		{`{"loss": 0.5, "step": 3}`, "loss=0.5 step=3"},
		{` { "a" : -1e3 , "b":null,"c":"text","d":[1,{"x":2},[3]],"e":true,"f":false } `, "a=-1000 e=1 f=0"},
		{`{"train":{"loss":1,"by":{"head":2}},"lr":3}`, "train.loss=1 train.by.head=2 lr=3"},
		{`{"a":NaN,"b":Infinity,"c":-Infinity,"d":"NaN","e":"inf"}`, "a=NaN b=+Inf c=-Inf d=NaN e=+Inf"},
		{`{"a":1e999}`, "a=+Inf"},
		{`{"a\n\"b":1,"é":2}`, "a\n\"b=1 é=2"},
		{"{\"a\xff\":1}", "a\uFFFD=1"},
		{`{"a":1,"b":`, "bad"}, {`{"a":1`, "bad"}, {`{"a`, "bad"}, {`{"a\`, "bad"}, {`{"a":1}}`, "bad"}, {`{"a":1,}`, "bad"}, {`{a:1}`, "bad"},
		{`[1]`, "bad"}, {`1`, "bad"}, {``, "bad"}, {`text`, "bad"}, {`{"a":0x1p2}`, "bad"}, {`{"a":1_0}`, "bad"}, {`{"a":}`, "bad"}, {`{"a":"\x"}`, "bad"},
		{`{"a":` + strings.Repeat(`[`, 1000), "bad"},
		{strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat(`}`, 20), strings.TrimPrefix(strings.Repeat(".a", 20), ".") + "=1"},
		{strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat(`}`, 100), "bad"},
	} {
		values, err := Parse([]byte(test.line), nil)
		got := "bad"
		if err == nil {
			var words []string
			for _, v := range values {
				words = append(words, fmt.Sprintf("%s=%g", v.Name, v.V))
			}
			got = strings.Join(words, " ")
		} else if len(values) > 0 {
			t.Errorf("%.80s: %v of a bad line", test.line, values)
		}
		if got != test.want {
			t.Errorf("%.80s: %s, want %s", test.line, got, test.want)
		}
	}
}

// FuzzParse: whatever is JSON is understood, and nothing breaks it.
func FuzzParse(f *testing.F) {
	for _, line := range []string{`{"loss":0.5,"step":3}`, `{"a":{"b":[1,NaN]},"c":"\u00e9"}`, `{"a":`, `{"":-0}`, "{\"\xff\":1}"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		values, err := Parse(line, nil)
		var object map[string]any
		if json.Unmarshal(line, &object) != nil || object == nil {
			return
		}
		if err != nil {
			if depth := strings.Count(string(line), "[") + strings.Count(string(line), "{"); depth < deepest {
				t.Fatalf("%q: %v", line, err)
			}
			return
		}
		got := map[string]float64{}
		for _, v := range values {
			got[v.Name] = v.V
		}
		for name, v := range object {
			if n, ok := v.(float64); ok && len(values) == len(object) && got[name] != n {
				t.Fatalf("%q: %s is %v, want %v", line, name, got[name], n)
			}
		}
	})
}
