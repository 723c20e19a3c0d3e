package scan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// findModel is the "model" of a body that comes in one piece.
func findModel(body []byte) (string, error) {
	var s Request
	if err := s.Feed(body); err != nil {
		return "", err
	}
	if err := s.End(); err != nil {
		return "", err
	}
	return string(s.Model()), nil
}

func TestFindModel(t *testing.T) {
	deep := strings.Repeat("[", maxDepth)
	for _, c := range []struct {
		name, body, want string
		err              error
	}{
		{"first", `{"model":"a","messages":[]}`, "a", nil},
		{"last", `{"messages":[{"role":"user","content":"hi"}],"model":"a"}`, "a", nil},
		{"white space", " \r\n\t{ \"model\" :\n\"a\" } \n", "a", nil},
		{"only the top level counts", `{"x":{"model":"no"},"y":[{"model":"no"}],"model":"yes"}`, "yes", nil},
		{"not within a string", `{"x":"\"model\":\"no\"","model":"yes"}`, "yes", nil},
		{"a value is no key", `{"x":"model","model":"yes"}`, "yes", nil},
		{"escapes in the key", `{"\u006do\u0064el":"a"}`, "a", nil},
		{"all of the key escaped", `{"\u006d\u006F\u0064\u0065\u006C":"a"}`, "a", nil},
		{"escapes in the value", `{"model":"org\/n\u00e4me \"x\"\\\ud83d\ude00"}`, "org/näme \"x\"\\😀", nil},
		{"half a surrogate", `{"model":"\ud83d"}`, "\uFFFD", nil},
		{"bytes that are no UTF-8", "{\"model\":\"a\xff\xfeb\"}", "a\uFFFD\uFFFDb", nil},
		{"other case is another key", `{"Model":"a"}`, "", ErrNoModel},
		{"numbers", `{"a":-0.5e+10,"b":[0,1.5,1E3,-7],"model":"m"}`, "m", nil},
		{"literals", `{"a":true,"b":false,"c":null,"model":"m"}`, "m", nil},
		{"empty name", `{"model":""}`, "", nil},
		{"twice the same", `{"model":"a","model":"a"}`, "a", nil},
		{"twice, not the same", `{"model":"a","x":1,"model":"b"}`, "", ErrModelConflict},
		{"twice, one is no string", `{"model":"a","model":1}`, "", ErrModelNoText},
		{"number", `{"model":7}`, "", ErrModelNoText},
		{"null", `{"model":null}`, "", ErrModelNoText},
		{"object", `{"model":{"model":"a"}}`, "", ErrModelNoText},
		{"none", `{"messages":[]}`, "", ErrNoModel},
		{"empty object", `{}`, "", ErrNoModel},
		{"array", `[{"model":"a"}]`, "", ErrNotObject},
		{"string", `"model"`, "", ErrNotObject},
		{"form", `model=a`, "", ErrNotJSON},
		{"byte order mark", "\uFEFF{}", "", ErrNotJSON},
		{"empty", ``, "", ErrCutOff},
		{"blank", ` `, "", ErrCutOff},
		{"cut in a string", `{"model":"a","x":"abc`, "", ErrCutOff},
		{"cut in an escape", `{"model":"a\u00`, "", ErrCutOff},
		{"cut before the end", `{"model":"a"`, "", ErrCutOff},
		{"two values", `{"model":"a"} {"model":"b"}`, "", ErrNotJSON},
		{"comma at the end", `{"model":"a",}`, "", ErrNotJSON},
		{"comma at the end of an array", `{"x":[1,],"model":"a"}`, "", ErrNotJSON},
		{"no colon", `{"model" "a"}`, "", ErrNotJSON},
		{"single quotes", `{'model':'a'}`, "", ErrNotJSON},
		{"wrong bracket", `{"x":[1},"model":"a"}`, "", ErrNotJSON},
		{"leading zero", `{"x":01}`, "", ErrNotJSON},
		{"bare minus", `{"x":-}`, "", ErrNotJSON},
		{"no digits after the point", `{"x":1.}`, "", ErrNotJSON},
		{"bad literal", `{"x":trve}`, "", ErrNotJSON},
		{"new line in a string", "{\"x\":\"a\nb\"}", "", ErrNotJSON},
		{"control character far in a string", `{"x":"` + strings.Repeat("a", 21) + "\x01" + `"}`, "", ErrNotJSON},
		{"bad escape", `{"x":"\q"}`, "", ErrNotJSON},
		{"bad hex", `{"x":"\u00g0"}`, "", ErrNotJSON},
		{"long name", `{"model":"` + strings.Repeat("a", MaxModel+1) + `"}`, "", ErrModelTooLong},
		{"long key", `{"` + strings.Repeat("model", 1000) + `":1,"model":"a"}`, "a", nil},
		{"too deep", `{"x":` + deep, "", ErrTooDeep},
		{"deep and mixed", strings.Repeat(`{"model":"a","x":[[`, 300) + strings.Repeat(`]]}`, 300), "a", nil},
		{"deep, with a wrong bracket", strings.Repeat(`{"model":"a","x":[[`, 300) + strings.Repeat(`]]}`, 290) + `]}]`, "", ErrNotJSON},
		{"as deep as may be", `{"x":` + deep[1:] + strings.Repeat("]", maxDepth-1) + `,"model":"a"}`, "a", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := findModel([]byte(c.body))
			if got != c.want || !errors.Is(err, c.err) || (err != nil && c.err == nil) {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestFindModelSaysWhere(t *testing.T) {
	_, err := findModel([]byte(`{"model":x}`))
	if want := `the body is not valid JSON: unexpected 'x' at byte 9`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// byStandard is what encoding/json makes of a body, and whether it takes it at all.
func byStandard(body []byte) (string, error) {
	if !json.Valid(body) {
		return "", ErrNotJSON
	}
	if bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return "", ErrNotObject
	}
	var found []any
	d := json.NewDecoder(bytes.NewReader(body))
	_, _ = d.Token()
	for d.More() {
		key, _ := d.Token()
		var v any
		_ = d.Decode(&v)
		if key == "model" {
			found = append(found, v)
		}
	}
	if len(found) == 0 {
		return "", ErrNoModel
	}
	for _, v := range found {
		if _, ok := v.(string); !ok {
			return "", ErrModelNoText
		}
		if v != found[0] {
			return "", ErrModelConflict
		}
	}
	return found[0].(string), nil
}

func FuzzFindModel(f *testing.F) {
	for _, s := range []string{
		`{"model":"a"}`, `{"x":[{"model":"b"},1.5e-7,true,null],"mod\u0065l":"\u00e4\n\\"}`, `{"model":1,"model":"a"}`,
		`[]`, `{"a":"b`, `{"model":"a","model":"b"}`, "{\"model\":\"\xff\"}", `{"a":-0,"b":0.1E+9}`, `{"\ud800":1}`, ` {} x`,
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint8) {
		got, err := findModel(body)
		if errors.Is(err, ErrModelTooLong) || errors.Is(err, ErrTooDeep) {
			return // bounds that encoding/json does not have
		}
		want, wantErr := byStandard(body)
		if errors.Is(err, ErrCutOff) {
			err = ErrNotJSON // encoding/json does not tell these apart
		}
		if errors.Is(wantErr, ErrNotObject) && errors.Is(err, ErrNotJSON) || errors.Is(err, ErrNotObject) && errors.Is(wantErr, ErrNotJSON) {
			return // it was refused before its end
		}
		if got != want || !errors.Is(err, wantErr) || (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: got %q, %v; encoding/json says %q, %v", body, got, err, want, wantErr)
		}
		// However the body is cut into pieces, the outcome is the same.
		var s Request
		var inPieces error
		for rest := body; len(rest) > 0 && inPieces == nil; {
			n := min(int(cut)%7+1, len(rest))
			inPieces = s.Feed(rest[:n])
			rest = rest[n:]
		}
		model := ""
		if inPieces == nil {
			if inPieces = s.End(); inPieces == nil {
				model = string(s.Model())
			}
		}
		if model != got || (inPieces == nil) != (err == nil) {
			t.Fatalf("%q in pieces: %q, %v; at once: %q, %v", body, model, inPieces, got, err)
		}
	})
}

// TestIntegersEitherWay: the fast way takes no more than the plain one, and stops at the same comma of what it looks at.
func TestIntegersEitherWay(t *testing.T) {
	chance := rand.New(rand.NewPCG(4, 2))
	for range 50_000 {
		p := make([]byte, chance.IntN(200))
		for i := range p {
			p[i] = "0123456789,,"[chance.IntN(12)]
		}
		for range chance.IntN(3) { // something else, at a few places
			if len(p) > 0 {
				p[chance.IntN(len(p))] = " .-]e0\x00\xff/:"[chance.IntN(10)]
			}
		}
		if chance.IntN(2) == 0 { // else they seldom go far
			p = append(bytes.Repeat([]byte("12,0,345,"), chance.IntN(20)), p...)
		}
		got, want := integers(p), integersGo(p)
		if whole := integersGo(p[:len(p)&^31]); got != want && got != whole {
			t.Fatalf("%q: up to %d, plainly %d and of whole blocks %d", p, got, want, whole)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, text := range []string{`\u0aF9xy`, `\U0aF9xy`, `/u0aF9xy`} {
		for at := range 6 {
			for c := range 256 {
				p := []byte(text)
				p[at] = byte(c)
				want := p[0] == '\\' && p[1] == 'u' && isHex[p[2]] && isHex[p[3]] && isHex[p[4]] && isHex[p[5]]
				if got := escape(binary.LittleEndian.Uint64(p)); got != want {
					t.Errorf("%q: %v", p, got)
				}
			}
		}
	}
}

// TestLongRunsEitherWay: what is skipped at once is judged as encoding/json judges it, and as it is byte by byte.
func TestLongRunsEitherWay(t *testing.T) {
	chance := rand.New(rand.NewPCG(8, 1))
	for range 3000 {
		var body []byte
		switch chance.IntN(3) {
		case 0:
			body = []byte(`{"input":[` + strings.Repeat("15339,1917,0,128009,", chance.IntN(150)) + `7],"model":"m"}`)
		case 1:
			body = []byte(`{"input":"` + strings.Repeat(`\u4f60\u597D`, chance.IntN(250)) + `","model":"m"}`)
		default:
			body = []byte(`{"` + strings.Repeat(`\u4f60\u597D`, chance.IntN(250)) + `":[1,2],"model":"m"}`)
		}
		for range chance.IntN(3) {
			body[chance.IntN(len(body))] = `,0.-]"\u x1`[chance.IntN(11)]
		}
		var whole, bytewise Request
		err, same := whole.Feed(body), error(nil)
		for i := range body {
			if same = bytewise.Feed(body[i : i+1]); same != nil {
				break
			}
		}
		if fmt.Sprint(err) != fmt.Sprint(same) {
			t.Fatalf("%q: %v, byte by byte %v", body, err, same)
		}
		if err == nil {
			err = whole.End()
		}
		if (err == nil || errors.Is(err, ErrNoModel) || errors.Is(err, ErrModelNoText) || errors.Is(err, ErrModelConflict)) != json.Valid(body) && !errors.Is(err, ErrNotObject) && !errors.Is(err, ErrModelTooLong) {
			t.Fatalf("%q: %v, but encoding/json says %v", body, err, json.Valid(body))
		}
	}
}

// chatBody is a conversation of short messages with escapes, which is as dense as bodies of text get.
func chatBody(size int, first bool) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	if first {
		b.WriteString(`"model":"llama-3.3-70b-instruct",`)
	}
	b.WriteString(`"temperature":0.7,"stream":true,"messages":[{"role":"system","content":"You are helpful."}`)
	for b.Len() < size-200 {
		b.WriteString(`,{"role":"user","content":"First line\nSecond line with a \"quoted\" word and a snowman \u2603.\n\tThe quick brown fox jumps over the lazy dog."}`)
	}
	b.WriteString(`]`)
	if !first {
		b.WriteString(`,"model":"llama-3.3-70b-instruct"`)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// longBody is one message made of text again and again, with the model behind it.
func longBody(size int, text string) []byte {
	const head, tail = `{"temperature":0.7,"max_tokens":256,"stream":false,"messages":[{"role":"user","content":"`, `"}],"user":"u-1","model":"llama-3.3-70b-instruct"}`
	return []byte(head + strings.Repeat(text, 1+(size-len(head)-len(tail))/len(text)) + tail)
}

func BenchmarkRequest(b *testing.B) {
	const prose = "The quick brown fox jumps over the lazy dog, and nobody knows why it should do so again and again. "
	numbers := `{"input":[` + strings.Repeat("15339,1917,0,128009,", 64<<10/20) + `7],"model":"m"}`
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"1K/text-model-last", longBody(1<<10, prose)},
		{"1K/dense-model-first", chatBody(1<<10+100, true)},
		{"1K/dense-model-last", chatBody(1<<10+100, false)},
		{"64K/text", longBody(64<<10, prose)},
		{"64K/lines", longBody(64<<10, prose+`\n`)},
		{"64K/dense", chatBody(64<<10, false)},
		{"64K/integers", []byte(numbers)},
		{"64K/escapes", longBody(64<<10, `\u4f60\u597d`)},
		{"1M/image", longBody(1<<20, "iVBORw0KGgoAAAANSUhEUgAA")},
		{"100M/text", longBody(100<<20, prose)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			var s Request
			for b.Loop() {
				s.Reset()
				if s.Feed(c.body) != nil || s.End() != nil {
					b.Fatal(s.End())
				}
			}
		})
	}
}
