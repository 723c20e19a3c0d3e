package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConversation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "talk.json")
	c := &conversation{question: question{service: "chat"}}
	c.tell("be brief")
	for _, step := range []struct {
		line string
		do   doing
		says string // by the command
		then string // who has said something, by letter
	}{
		{"", doNothing, "", "s"},
		{"/undo", doNothing, "nothing was asked", "s"},
		{"/retry", doNothing, "nothing was asked", "s"},
		{"hello", doAsk, "", "su"},
		{"/retry", doAsk, "", "su"},
		{"answered", doNothing, "", "sua"},
		{"/etc/passwd: what is it?", doAsk, "", "suau"},
		{"answered", doNothing, "", "suaua"},
		{"/retry", doAsk, "", "suau"},
		{"/show", doNothing, "user: /etc/passwd: what is it?", "suau"},
		{"/undo", doNothing, "2 messages left", "sua"},
		{"/system", doNothing, "be brief", "sua"},
		{"/system -", doNothing, "told nothing", "ua"},
		{"/system be kind", doNothing, "from the next answer on", "sua"},
		{"/save " + file, doNothing, "saved to", "sua"},
		{"/save " + file, doNothing, "not saved: ", "sua"},
		{"/save", doNothing, "to which file", "sua"},
		{"/set temperature 0.5", doNothing, "", "sua"},
		{"/set max-tokens 50", doNothing, "", "sua"},
		{"/set max-tokens many", doNothing, "/set max-tokens 500", "sua"},
		{"/set top 5", doNothing, "can be set", "sua"},
		{"/sistem x", doNothing, `did you mean "/system"?`, "sua"},
		{"/help", doNothing, "/clear", "sua"},
		{"/clear", doNothing, "begins anew", "s"},
		{"/exit", doLeave, "", "s"},
	} {
		var said strings.Builder
		do := doNothing
		if step.line == "answered" {
			c.answered(reply{Text: "yes"})
		} else {
			do = c.command(step.line, &said)
		}
		got := ""
		for _, m := range c.messages {
			got += m.Role[:1]
		}
		if do != step.do || got != step.then || !strings.Contains(said.String(), step.says) {
			t.Errorf("%q: does %v, says %q, leaves %s; want %v, %q, %s", step.line, do, said.String(), got, step.do, step.says, step.then)
		}
	}
	if c.temperature == nil || *c.temperature != 0.5 || c.maxTokens != 50 {
		t.Errorf("set: %+v", c.question)
	}
	saved, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(saved), `"be kind"`) {
		t.Errorf("%s, %v", saved, err)
	}
}

func TestMultiline(t *testing.T) {
	type line struct {
		text   string
		pasted bool
	}
	for _, c := range []struct {
		name  string
		lines []line
		want  string
	}{
		{"one", []line{{"hello", false}}, "hello"},
		{"backslash", []line{{`one \`, false}, {"two", false}}, "one \ntwo"},
		{"quoted", []line{{`"""`, false}, {"a", false}, {"", false}, {"b", false}, {`"""`, false}}, "a\n\nb"},
		{"quoted with words beside", []line{{`"""a`, false}, {`b"""`, false}}, "a\nb"},
		{"quoted in one", []line{{`"""a b"""`, false}}, "a b"},
		{"pasted", []line{{"a", true}, {"b", true}, {"c", false}}, "a\nb\nc"},
		{"pasted, then Enter", []line{{"a", true}, {"", false}}, "a"},
	} {
		var m multiline
		for i, l := range c.lines {
			if whole := m.add(l.text, l.pasted); whole != (i == len(c.lines)-1) {
				t.Errorf("%s: whole after line %d: %v", c.name, i+1, whole)
			}
		}
		if m.text() != c.want {
			t.Errorf("%s: %q, want %q", c.name, m.text(), c.want)
		}
	}
}

func TestAnswersAreRead(t *testing.T) {
	for _, c := range []struct {
		name, text, answer, thoughts string
		tokens                       int
		fails                        string
	}{
		{"whole", "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":7}}\n\ndata: [DONE]\n", "Hello", "", 7, ""},
		{"not counted", "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\ndata: [DONE]\n", "Hello", "", 2, ""},
		{"thoughts", "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\ndata: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n", "yes", "hm", 2, ""},
		{"cut off", "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n", "Hel", "", 1, "in the middle"},
		{"an error in it", "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\ndata: {\"error\":{\"message\":\"oom\"}}\n", "Hel", "", 1, "oom"},
		{"no JSON", "data: {\n", "", "", 0, "reading the answer"},
	} {
		said := ""
		r := reader{since: func() float64 { return 0.5 }, each: func(p piece) { said += p.text }}
		err := r.read(strings.NewReader(c.text))
		if r.out.Text != c.answer || r.out.Reasoning != c.thoughts || r.out.Tokens != c.tokens || said != c.thoughts+c.answer {
			t.Errorf("%s: %+v, told %q", c.name, r.out, said)
		}
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", c.name, err, c.fails)
		}
	}
}

// What a model says can do nothing to a terminal.
func TestTame(t *testing.T) {
	if got := tame("a\x1b[2Jb\r\n\tc\x07\u009b31md"); got != "a[2Jb\n\tc31md" {
		t.Errorf("%q", got)
	}
}

func TestBeside(t *testing.T) {
	all := []column{{"left", "one two three four five six seven", "3 tokens"}, {"right", "日本語のテキストです。これは長い行です。\n\nabcdefghijklmnopqrstuvwxyz0123456789", "stopped"}}
	for _, width := range []int{60, 47, 43} {
		text := beside(all, width)
		for line := range strings.SplitSeq(text, "\n") {
			if cells(line) > width {
				t.Errorf("%d columns: %q is wider", width, line)
			}
		}
		for _, word := range []string{"left", "right", "one two", "日本語", "3 tokens", "stopped", "│"} {
			if !strings.Contains(text, word) {
				t.Errorf("%d columns: %q is missing in\n%s", width, word, text)
			}
		}
	}
	if text := beside(all, 30); !strings.Contains(text, "== left ==\none two three four five six seven\n-- 3 tokens\n") {
		t.Errorf("too narrow:\n%s", text)
	}
	if got := strings.Join(wrap("a bb ccc  dddd\n\n"+strings.Repeat("x", 12), 5), "|"); got != "a bb|ccc|dddd||xxxxx|xxxxx|xx" {
		t.Errorf("wrapped: %s", got)
	}
	v := comparisonView{[]column{{"a", strings.Repeat("w\n", 50) + "last", "..."}, {"b", "", "waiting"}}}
	frame := v.frame(60, 10)
	if n := strings.Count(frame, "\n") + 1; n > 10 || !strings.Contains(frame, "last") || !strings.HasPrefix(frame, "a ") {
		t.Errorf("%d lines:\n%s", n, frame)
	}
}

func TestSummaryOfAnswers(t *testing.T) {
	c := &comparison{all: []compared{{question: question{service: "a"}}, {question: question{service: "b"}, came: "xx"}, {question: question{service: "c"}, done: true, err: errors.New("no\x1broute")}}}
	if got := c.summary(); got != "a: waiting; b: 2 B of text; c: done" {
		t.Error(got)
	}
	if all := c.columns(); all[0].foot != "waiting" || all[1].text != "xx" || all[2].foot != "noroute" || c.same() {
		t.Errorf("%+v", all)
	}
	for _, r := range []struct {
		reply reply
		want  string
	}{
		{reply{}, "no answer"},
		{reply{Tokens: 11, First: 1, Took: 2}, "11 tokens in 2.00s, 10.0 tokens/s, the first after 1.00s"},
		{reply{Tokens: 10, First: 2, Took: 2, Finish: "length"}, "10 tokens in 2.00s, 5.0 tokens/s, the first after 2.00s; it was cut off at its length"},
	} {
		if got := r.reply.words(); got != r.want {
			t.Errorf("%q, want %q", got, r.want)
		}
	}
}
