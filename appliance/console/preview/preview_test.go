package preview

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		name, begin string
		want        Kind
	}{
		{"a.txt", "hello", Text}, {"a", "", Empty}, {"a.txt", "한국\xed\x95", Text}, {"a.txt", "a\x00b", Binary}, {"a.txt", "\xff\xfe", Binary},
		{"a.png", "<html>", Text}, {"a.txt", "\x89PNG\r\n\x1a\n", Image}, {"a.svg", "<svg/>", Text}, {"a.webp", "RIFF....WEBP", Image}, {"a.webp", "RIFF", Text},
		{"a.ipynb", "{}", Notebook}, {"a.ipynb", "\x00", Binary}, {"A.CSV", "a", Table}, {"README.md", "#", Markdown}, {"x", "GGUF\x03", GGUF}, {"x.safetensors", "\x08\x00", Safetensors},
	} {
		if got := Of(c.name, []byte(c.begin)); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.name, c.begin, got, c.want)
		}
	}
}

func TestLinesOf(t *testing.T) {
	got := LinesOf([]byte("\xef\xbb\xbfa\r\nb\x1b[31mred\x1b[0m\n\n\u202eevil\x07\xed\x95"), false)
	if strings.Join(got.Lines, "|") != "a|bred||\ufffdevil" || got.Cut {
		t.Errorf("%q", got.Lines)
	}
	if got := LinesOf([]byte(strings.Repeat("x\n", 2*maxLines)), false); len(got.Lines) != maxLines || !got.Cut {
		t.Errorf("%d lines", len(got.Lines))
	}
	long := LinesOf([]byte(strings.Repeat("한", maxLine)), false)
	if len(long.Lines[0]) > maxLine+4 || !utf8.ValidString(long.Lines[0]) || !long.Cut {
		t.Error("a long line is not cut between characters")
	}
}

func TestTableOf(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.csv", "a,b\n1,\"x,y\"\n", "a b|1 x,y"}, {"a.csv", "a;b\n1;2", "a b|1 2"}, {"a.tsv", "a\tb,c\n1\t2", "a b,c|1 2"}, {"a.csv", "\xef\xbb\xbfa,b\n1\n1,2,3", "a b|1|1 2 3"}, {"a.csv", "", ""},
	} {
		got := TableOf(c.name, []byte(c.text), false)
		rows := []string{strings.Join(got.Head, " ")}
		for _, r := range got.Rows {
			rows = append(rows, strings.Join(r, " "))
		}
		if strings.Join(rows, "|") != c.want || got.Cut || got.Broken != 0 {
			t.Errorf("%q: %+v", c.text, got)
		}
	}
	if got := TableOf("a.csv", []byte("a,b\n1,2\n3,"), true); len(got.Rows) != 1 || !got.Cut {
		t.Errorf("%+v", got)
	}
}

func TestReadNotebook(t *testing.T) {
	const page = `{"metadata":{"language_info":{"name":"python"}},"cells":[
		{"cell_type":"code","execution_count":1,"source":["a\n","b"],"outputs":[
			{"output_type":"stream","name":"stderr","text":["10%\r100%\n","\u001b[31mred"]},
			{"output_type":"execute_result","data":{"text/html":["<b>x</b>"],"text/plain":["x"]}},
			{"output_type":"display_data","data":{"image/svg+xml":"<svg onload=x>","text/html":"<script>"}},
			{"output_type":"display_data","data":{"image/png":"PHNjcmlwdD4="}},
			{"output_type":"display_data","data":{"image/jpeg":"/9j/\n4AAQ\n"}},
			{"output_type":"error","ename":"E","evalue":"v","traceback":[]}]},
		{"cell_type":"<script>","source":"raw"}]}`
	n, err := ReadNotebook([]byte(page))
	if err != nil || len(n.Cells) != 2 || n.Language != "python" || n.Cells[1].Kind != "raw" || n.Cells[0].Source != "a\nb" || n.Cells[0].Number != "1" {
		t.Fatalf("%+v %v", n, err)
	}
	want := []Output{{Text: "100%\nred", Failed: true}, {Text: "x"}, {Left: "image/svg+xml, text/html"}, {Left: "image/png"}, {Picture: "data:image/jpeg;base64,/9j/4AAQ"}, {Text: "E: v", Failed: true}}
	for i, o := range n.Cells[0].Outputs {
		if o != want[i] {
			t.Errorf("output %d: %+v, want %+v", i, o, want[i])
		}
	}
	if old, err := ReadNotebook([]byte(`{"worksheets":[{"cells":[{"cell_type":"code","input":"old"}]}]}`)); err != nil || old.Cells[0].Source != "old" {
		t.Errorf("%+v %v", old, err)
	}
	for _, bad := range []string{"", "[]", `{"cells":[{"source":7}]}`, `{"cells":7}`} {
		if _, err := ReadNotebook([]byte(bad)); err == nil {
			t.Error(bad)
		}
	}
}

func TestWeights(t *testing.T) {
	header := `{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[1000,2000],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[10]}}`
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	w, err := ReadSafetensors(file)
	if err != nil || w.Tensors != 2 || len(w.Types) != 2 || w.Types[0] != (Fact{"F16", "2 M"}) || w.Facts[0] != (Fact{"format", "pt"}) {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := ReadSafetensors(file[:50]); err != nil || !w.Cut {
		t.Errorf("%+v %v", w, err)
	}
	gguf := []byte("GGUF\x03\x00\x00\x00")
	gguf = binary.LittleEndian.AppendUint64(gguf, 7)
	gguf = binary.LittleEndian.AppendUint64(gguf, 3)
	text := func(s string) { gguf = append(binary.LittleEndian.AppendUint64(gguf, uint64(len(s))), s...) }
	text("name")
	gguf = binary.LittleEndian.AppendUint32(gguf, 8)
	text("tiny")
	text("list")
	gguf = binary.LittleEndian.AppendUint32(gguf, 9)
	gguf = binary.LittleEndian.AppendUint32(gguf, 4)
	gguf = binary.LittleEndian.AppendUint64(gguf, 2)
	gguf = append(gguf, 0, 0, 0, 0, 1, 0, 0, 0)
	text("size")
	gguf = binary.LittleEndian.AppendUint32(gguf, 5)
	gguf = append(gguf, 0xff, 0xff, 0xff, 0xff)
	g, err := ReadGGUF(gguf)
	if err != nil || g.Tensors != 7 || len(g.Facts) != 4 || g.Facts[1] != (Fact{"name", "tiny"}) || g.Facts[2].Value != "[2]" || g.Facts[3].Value != "-1" {
		t.Errorf("%+v %v", g, err)
	}
	if g, err := ReadGGUF(gguf[:40]); err != nil || !g.Cut {
		t.Errorf("%+v %v", g, err)
	}
}

// What strangers write keeps nobody busy, and breaks nothing.
func FuzzPreview(f *testing.F) {
	f.Add("a.ipynb", []byte(`{"cells":[{"cell_type":"code","source":["x"],"outputs":[{"data":{"image/png":"iVBORw0KGgo="}}]}]}`))
	f.Add("a.gguf", []byte("GGUF\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add("a.safetensors", []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add("a.csv", []byte("a,\"b\n"))
	f.Fuzz(func(t *testing.T, name string, file []byte) {
		Of(name, file)
		for _, line := range LinesOf(file, true).Lines {
			if strings.ContainsAny(line, "\x00\x1b\n") {
				t.Errorf("%q", line)
			}
		}
		TableOf(name, file, true)
		_, _ = ReadGGUF(file)
		_, _ = ReadSafetensors(file)
		n, err := ReadNotebook(file)
		if err != nil {
			return
		}
		for _, c := range n.Cells {
			for _, o := range c.Outputs {
				if o.Picture != "" && !strings.HasPrefix(o.Picture, "data:image/png;base64,") && !strings.HasPrefix(o.Picture, "data:image/jpeg;base64,") {
					t.Errorf("%q", o.Picture)
				}
			}
		}
	})
}
