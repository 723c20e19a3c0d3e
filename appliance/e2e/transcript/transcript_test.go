package transcript_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-run/palisade/appliance/e2e/transcript"
)

const document = "# A walk\n\n" +
	"```console\n$ echo one\none\n\n$ cat <<'END'\n> a\n>\n>   b\n> END\na\n\n  b\n```\n\n" +
	"```sh\n$ not this\n```\n\n" +
	"```console\n$ true\n```\nThe end.\n"

func TestParse(t *testing.T) {
	steps, err := transcript.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	want := []transcript.Step{
		{Line: 4, Command: "echo one", Output: []string{"one"}},
		{Line: 7, Command: "cat <<'END'\na\n\n  b\nEND", Output: []string{"a", "", "  b"}},
		{Line: 22, Command: "true"},
	}
	if diff := cmp.Diff(want, steps, cmpopts.IgnoreUnexported(transcript.Step{})); diff != "" {
		t.Error(diff)
	}
	for bad, says := range map[string]string{
		"```console\n```\n":         "line 2: the block ends and has no command",
		"x\n```console\nhello\n```": `line 3: the block begins with "hello"; it has to begin with a command, "$ "`,
		"```console\n$ echo\nnot\n": "line 4: the last block does not end",
		"```console\n> echo\n```":   `line 2: the block begins with "> echo"; it has to begin with a command, "$ "`,
	} {
		if _, err := transcript.Parse(bad); err == nil || err.Error() != says {
			t.Errorf("%q: %v, want %s", bad, err, says)
		}
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"", "", true},
		{"a", "a\n\n", true},
		{"a", "", false},
		{"", "a", false},
		{"a b", "a    b  ", true},
		{"a b", "ab", false},
		{"ses-... runs", "ses-abc runs", true},
		{"ses-... runs", "svc-abc runs", false},
		{"ses-... runs", "ses-a b runs", false},
		{"... ago", "3m ago", true},
		{"...", "", true},
		{"...", "a\nb\nc", true},
		{"a\n...\nd", "a\nb\nc\nd", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"...\na\n...", "b\na\nc\nd", true},
		{`{"id":"...","n":...}`, `{"id":"x","n":17}`, true},
		{`{"id":"...","n":...}`, `{"id":"x","m":17}`, false},
		{"a...a", "a", false}, // two letters, not one that is both
		{"1...2...3", "1x2y3", true},
	} {
		if got := transcript.Same(transcript.Lines(c.want), transcript.Lines(c.got)); got != c.same {
			t.Errorf("%q is what %q says: %v", c.got, c.want, got)
		}
		if diff := transcript.Diff(transcript.Lines(c.want), transcript.Lines(c.got)); (diff == "") != c.same {
			t.Errorf("%q and %q differ in %q", c.want, c.got, diff)
		}
	}
}

func TestDiff(t *testing.T) {
	got := transcript.Diff([]string{"NAME  AGE", "...", "hello  ... ago  one", "end"}, []string{"NAME   AGE", "x", "y", "hello  3m ago  two", "end"})
	want := "  NAME   AGE\n  x\n  y\n- hello  ... ago  one\n+ hello  3m ago  two\n  end\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRewrite(t *testing.T) {
	steps, err := transcript.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	got := transcript.Rewrite(document, steps, [][]string{{"one"}, {"c"}, {"true", "is silent"}})
	want := strings.NewReplacer("a\n\n  b\n```", "c\n```", "$ true\n", "$ true\ntrue\nis silent\n").Replace(document)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct{ name, want, got, wrote string }{
		{"what is true stays as it is", "a   ... b", "a x b", "a   ... b"},
		{"a word keeps what may differ in it", "ses-...  runs", "ses-abc   ended", "ses-...   ended"},
		{"but not where it stands for another", "ses-... runs", "svc-abc ended", "svc-abc ended"},
		{"lines that may differ stay", "a\n...\nb", "a\n1\n2\nc", "a\n...\nc"},
		{"also where there are none this time", "a\n...\nb", "a\nc", "a\n...\nc"},
		{"more lines than before", "a ... x", "b 1 x\nc 2 x", "b ... x\nc 2 x"},
	} {
		document := "```console\n$ x\n" + c.want + "\n```"
		steps, err := transcript.Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		if got := transcript.Rewrite(document, steps, [][]string{transcript.Lines(c.got)}); got != "```console\n$ x\n"+c.wrote+"\n```" {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// FuzzRewrite: a document that was written anew says what was printed, and nothing else of it has changed.
func FuzzRewrite(f *testing.F) {
	f.Add(document, "one\ntwo ...")
	f.Add("```console\n$ a\n...\nb ... c\n```\n", "x\nb 1 c")
	f.Add("```console\n$ a\nses-... is\n> x\n```", "ses-1 was\n$ no")
	f.Fuzz(func(t *testing.T, document, printed string) {
		steps, err := transcript.Parse(document)
		output := transcript.Lines(printed)
		if err != nil || len(document)+len(printed) > 4096 || !transcript.Writable(output) {
			return
		}
		outputs := slices.Repeat([][]string{output}, len(steps))
		for _, s := range steps {
			if !transcript.Same(s.Output, s.Output) {
				t.Fatalf("%q is not itself", s.Output)
			}
		}
		again := transcript.Rewrite(document, steps, outputs)
		after, err := transcript.Parse(again)
		if err != nil || len(after) != len(steps) {
			t.Fatalf("%q became %q: %v", document, again, err)
		}
		for i, s := range after {
			if s.Command != steps[i].Command || !transcript.Same(s.Output, output) {
				t.Fatalf("%q printed %q and became %q, %q", steps[i].Command, output, s.Command, s.Output)
			}
		}
		if once := transcript.Rewrite(again, after, outputs); once != again {
			t.Fatalf("written twice it changes: %q, %q", again, once)
		}
	})
}
