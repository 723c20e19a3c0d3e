package variants

import (
	"slices"
	"strings"
	"testing"
)

var testValues = map[string]string{
	"host": "99.99.99.99", "ports[0]": "11001", "ports[1]": "11002",
	"model_name": `My "big" model`, "model_path": "/models/a b",
}

func TestExpand(t *testing.T) {
	tests := []struct{ name, in, out, unknown string }{
		{"plain", `echo "host = {host}, port = {ports[1]}"`, `echo "host = 99.99.99.99, port = 11002"`, ""},
		{"mixed with the shell", `${{ host }} ${BACKENDAI_KERNEL_ID/aaa/${magic}} {ports[0]}`, `99.99.99.99 ${BACKENDAI_KERNEL_ID/aaa/${magic}} 11001`, ""},
		{"JSON", `--hf-overrides '{"a": 1}'`, `--hf-overrides '{"a": 1}'`, ""},
		{"nested JSON", `{"a": {"b": {"c": 1}}}`, `{"a": {"b": {"c": 1}}}`, ""},
		{"name in JSON", `{"a": {"port":{ports[0]}}}`, `{"a": {"port":11001}}`, ""},
		{"empty", `find . -exec {} \;`, `find . -exec {} \;`, ""},
		{"brace expansion", `{a,b} {1..3} {0}`, `{a,b} {1..3} {0}`, ""},
		{"variables", `$HOME ${HOME} ${HOME:-/x} $$ ${A:-${B:-{c}}}`, `$HOME ${HOME} ${HOME:-/x} $$ ${A:-${B:-{c}}}`, ""},
		{"no blanks", `${{host}}`, `99.99.99.99`, ""},
		{"doubled", `{{host}} {{ "a": {{}} }}`, `{host} { "a": {} }`, ""},
		{"doubled around a name", `{{{host}}}`, `{99.99.99.99}`, ""},
		{"doubled outside, single inside", `{{"a": {"b": 1}}}`, `{"a": {"b": 1}}`, ""},
		{"closing alone", `}} } a`, `} } a`, ""},
		{"opening alone", `{{ { a`, `{ { a`, ""},
		{"jinja", `{% if x %} {# c #}`, `{% if x %} {# c #}`, ""},
		{"shell function", `f() { echo {host}; }; f`, `f() { echo 99.99.99.99; }; f`, ""},
		{"never closed", `echo ${ {host}`, `echo ${ 99.99.99.99`, ""},
		{"dollar and doubled", `${{ a b }}`, `${ a b }`, ""},
		{"not ASCII", `é{host}é{`, `é99.99.99.99é{`, ""},
		{"value is not a template", `{model_name}`, `My "big" model`, ""},
		{"empty text", ``, ``, ""},

		{"typo", `{prots[0]} {ports[2]} ${{ hots }} {prots[0]}`, `{prots[0]} {ports[2]} {hots} {prots[0]}`, "prots[0] ports[2] hots"},
		{"list without index", `{ports}`, `{ports}`, "ports"},
		{"index on text", `{host[0]}`, `{host[0]}`, "host[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, unknown := expand(tt.in, testValues)
			if out != tt.out || strings.Join(unknown, " ") != tt.unknown {
				t.Errorf("expand %s\n got %s, unknown %v\nwant %s, unknown [%s]", tt.in, out, unknown, tt.out, tt.unknown)
			}
		})
	}
}

func TestExpandWords(t *testing.T) {
	tests := []struct {
		in      string
		out     []string
		unknown string
	}{
		{`python service.py --flag 'a b'`, []string{"python", "service.py", "--flag", "a b"}, ""},
		{`serve {model_path} --name={model_name} '{host}' "{{x}}"`, []string{"serve", "/models/a b", `--name=My "big" model`, "99.99.99.99", "{x}"}, ""},
		{`a ${{ host }}b`, []string{"a", "99.99.99.99b"}, ""},
		{`--json '{"a": {"b": 1}}' "\d \$ \"" \'`, []string{"--json", `{"a": {"b": 1}}`, `\d $ "`, "'"}, ""},
		{"a \\\n  b\r\nc # d", []string{"a", "b", "c", "#", "d"}, ""},
		{`a ""`, []string{"a", ""}, ""},
		{`{prots} {prots}`, []string{"{prots}", "{prots}"}, "prots"},
		{``, nil, ""},
	}
	for _, tt := range tests {
		out, unknown, err := expandWords(tt.in, testValues)
		if err != nil || !slices.Equal(out, tt.out) || strings.Join(unknown, " ") != tt.unknown {
			t.Errorf("%s\n got %q, unknown %v, %v\nwant %q", tt.in, out, unknown, err, tt.out)
		}
	}
	for _, in := range []string{`a 'b`, `a "b`, `a \`, `'{host}`} {
		if out, _, err := expandWords(in, testValues); err == nil {
			t.Errorf("%s: %q", in, out)
		}
	}
}

// FuzzExpand: whatever the text is, expanding never fails, text without braces stays as it is, a text
// whose braces are all doubled comes out with single ones, and a value is put in once and literally.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{
		`{host}`, `${{ host }}`, `${a/${b}}`, `{"a": {"b": 1}}`, `{{{host}}}`, `}}{{`, `${`, `${{`, `{ports[0]}`, "é{", "{\xff}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, unknown := expand(s, testValues)
		if !strings.ContainsAny(s, "{}") && (out != s || len(unknown) > 0) {
			t.Errorf("%q became %q, unknown %v", s, out, unknown)
		}
		if !strings.Contains(s, "$") {
			doubled := strings.NewReplacer("{", "{{", "}", "}}").Replace(s)
			if out, unknown := expand(doubled, nil); out != s || len(unknown) > 0 {
				t.Errorf("%q became %q, unknown %v", doubled, out, unknown)
			}
		}
		for _, name := range unknown {
			if _, known := testValues[name]; known {
				t.Errorf("%q is known", name)
			}
			if !strings.Contains(s, name) {
				t.Errorf("%q is not in %q", name, s)
			}
		}
		const value = `{host}}}${{ x }}`
		if out, unknown := expand("{v}", map[string]string{"v": value}); out != value || unknown != nil {
			t.Errorf("a value was expanded: %q", out)
		}
		words, _, err := expandWords(s, testValues)
		if err == nil && !strings.ContainsAny(s, "{}'\"\\\x00\r") {
			if want := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }); !slices.Equal(words, want) {
				t.Errorf("%q was split into %q", s, words)
			}
		}
	})
}
