package record_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/record"
)

const secret = "pal-abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst"

func capturing(n int) (*record.Captures, *record.Ring) {
	c := record.NewCaptures()
	c.Set(map[string]int{"svc-1": n})
	return c, c.Of("svc-1")
}

func TestCapture(t *testing.T) {
	c, ring := capturing(3)
	at := time.Unix(1000, 0)
	x := ring.Begin(at)
	x.Line("POST", "/v1/chat/completions?api_key="+secret+"&stream=true")
	x.Head(http.Header{"Authorization": {"Bearer " + secret}, "X-Api-Key": {"whatever"}, "Cookie": {"a=b; c=d"}, "Content-Type": {"application/json"}, "X-Ratelimit-Remaining-Tokens": {"7"}})
	x.Body([]byte(`{"model":"qwen","note":"my key is pal-abcdefghijklm`))
	x.Body([]byte(`nopqrstuvwxyz234567abcdefghijklmnopqrst","tools":[{"authorization": "very \"secret\" words"}]}`))

	list, on := c.List("svc-1")
	if !on || len(list) != 1 || list[0].Ended || list[0].Number != 1 || list[0].Request.Body != nil || list[0].Request.Size == 0 {
		t.Errorf("under way: %+v", list)
	}
	x.AnswerField("Set-Cookie", "session=1")
	x.AnswerField("Content-Type", "text/event-stream")
	x.AnswerBody([]byte("data: {}\n\n"))
	did := &record.Record{ID: "req-1", Status: 200, Service: "qwen", Usage: record.Usage{Completion: 2}}
	x.End(did)
	did.Service = "changed"

	got, ok := c.Get("svc-1", "req-1")
	want := record.Captured{
		Number: 1, At: at, Ended: true, Method: "POST", Target: "/v1/chat/completions?api_key=[redacted]&stream=true",
		Did: record.Record{ID: "req-1", Status: 200, Service: "qwen", Usage: record.Usage{Completion: 2}},
		Request: record.Message{
			Fields: []record.Field{{"Authorization", "Bearer [redacted]"}, {"Content-Type", "application/json"}, {"Cookie", "[redacted]"}, {"X-Api-Key", "[redacted]"}, {"X-Ratelimit-Remaining-Tokens", "7"}},
			Body:   []byte(`{"model":"qwen","note":"my key is [redacted]","tools":[{"authorization": "[redacted]"}]}`), Size: 145,
		},
		Answer: record.Message{Fields: []record.Field{{"Content-Type", "text/event-stream"}, {"Set-Cookie", "[redacted]"}}, Body: []byte("data: {}\n\n"), Size: 10},
	}
	if d := cmp.Diff(want, got); !ok || d != "" {
		t.Errorf("%v %s", ok, d)
	}
	if again, ok := c.Get("svc-1", "1"); !ok || again.Number != 1 {
		t.Errorf("by its number: %+v", again)
	}
	for _, ref := range []string{"2", "", "req-2", "0"} {
		if got, ok := c.Get("svc-1", ref); ok {
			t.Errorf("%q: %+v", ref, got)
		}
	}
}

// TestNewOnesTakeTheirPlace: the last ones are kept, those under way too, and what is dropped may go on.
func TestNewOnesTakeTheirPlace(t *testing.T) {
	c, ring := capturing(2)
	var all []*record.Capture
	for range 5 {
		x := ring.Begin(time.Now())
		x.Line("GET", "/")
		all = append(all, x)
	}
	for i, x := range all {
		x.AnswerBody(fmt.Appendf(nil, "answer %d", i+1))
		x.End(&record.Record{ID: fmt.Sprintf("req-%d", i+1)})
	}
	list, _ := c.List("svc-1")
	if len(list) != 2 || list[0].Number != 5 || list[1].Number != 4 {
		t.Errorf("%+v", list)
	}
	c.Set(map[string]int{"svc-1": 1, "svc-2": 5000})
	if list, _ := c.List("svc-1"); len(list) != 1 || list[0].Number != 5 || c.Of("svc-1") != ring {
		t.Errorf("%+v", list)
	}
	c.Clear("svc-1")
	if list, on := c.List("svc-1"); len(list) != 0 || !on {
		t.Errorf("%+v", list)
	}
	x := ring.Begin(time.Now())
	c.Set(map[string]int{"svc-1": 0})
	if _, on := c.List("svc-1"); on || c.Of("svc-1") != nil {
		t.Error("still on")
	}
	x.Body([]byte("late"))
	x.End(&record.Record{})
	ring.Begin(time.Now()).Body([]byte("later"))
	c.Set(map[string]int{"svc-2": 5000})
	for range 1001 {
		c.Of("svc-2").Begin(time.Now())
	}
	if list, _ := c.List("svc-2"); len(list) != record.MostCaptures {
		t.Errorf("%d are kept", len(list))
	}
}

// TestCapturesAreBounded: however large bodies and heads are, little is kept, and their size is told.
func TestCapturesAreBounded(t *testing.T) {
	c, ring := capturing(record.MostCaptures)
	piece := make([]byte, 40<<10)
	for range 150 {
		x := ring.Begin(time.Now())
		for range 3 {
			x.Body(piece)
			x.AnswerBody(piece)
		}
		x.Line("GET", "/"+strings.Repeat("x", 1<<20))
		for range 210 {
			x.Field("n", "v")
		}
	}
	list, _ := c.List("svc-1")
	if len(list) < 100 || len(list) > 130 {
		t.Errorf("%d of 128 KiB are kept in 16 MiB", len(list))
	}
	got, ok := c.Get("svc-1", "150")
	if !ok || len(got.Request.Body) != 64<<10 || got.Request.Size != 120<<10 || got.Answer.Size != 120<<10 || len(got.Target) != 4<<10 || len(got.Request.Fields) != 200 {
		t.Errorf("%d of %d, %d, %d", len(got.Request.Body), got.Request.Size, len(got.Target), len(got.Request.Fields))
	}
}

// TestNobodyCaptures: without captures, calls do nothing and cost no allocation.
func TestNobodyCaptures(t *testing.T) {
	var none *record.Captures
	body := []byte("body")
	did := &record.Record{}
	if n := testing.AllocsPerRun(10, func() {
		x := none.Of("svc-1").Begin(time.Time{})
		x.Line("GET", "/")
		x.Head(nil)
		x.Body(body)
		x.AnswerField("Content-Type", "text/event-stream")
		x.AnswerBody(body)
		x.End(did)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCapturesBesideEachOther(t *testing.T) {
	c, ring := capturing(5)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				x := ring.Begin(time.Now())
				var both sync.WaitGroup
				both.Go(func() { x.Body([]byte("request")) })
				x.AnswerBody([]byte("answer"))
				both.Wait()
				x.End(&record.Record{ID: "x"})
			}
		})
	}
	all.Go(func() {
		for i := range 100 {
			c.List("svc-1")
			c.Get("svc-1", "x")
			c.Set(map[string]int{"svc-1": 1 + i%5})
		}
	})
	all.Wait()
	if list, on := c.List("svc-1"); !on || len(list) != 5 && len(list) > 5 {
		t.Errorf("%d", len(list))
	}
}

func TestSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"key " + secret + ".":                                                   "key [redacted].",
		"cut pal-abcdefgh":                                                      "cut [redacted]",
		"a principal-agent-problem":                                             "a principal-agent-problem",
		"my pal-was here":                                                       "my pal-was here",
		"pal_abcdefghijklmnopqrstuvwxyz-0123":                                   "[redacted]",
		"sk-proj-abcdefghijklmnop hf_abcdefghijklmnopqr":                        "[redacted] [redacted]",
		"Authorization: Bearer abcdefghijklmnopqrstuvwxyz":                      "Authorization: Bearer [redacted]",
		"the bearer of good news":                                               "the bearer of good news",
		`{"api_key":"x","n":1,"OPENAI-API-KEY" : "y\"z","token":"word"}`:        `{"api_key":"[redacted]","n":1,"OPENAI-API-KEY" : "[redacted]","token":"word"}`,
		`{"password":"cut in the midd`:                                          `{"password":"[redacted]`,
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc":                          "[redacted]",
		`{"messages":[{"content":"What is a password? A secret: two tokens"}]}`: `{"messages":[{"content":"What is a password? A secret: two tokens"}]}`,
	} {
		c, ring := capturing(1)
		x := ring.Begin(time.Now())
		x.Body([]byte(text))
		x.Field("X-Note", text)
		got, _ := c.Get("svc-1", "1")
		if string(got.Request.Body) != want || got.Request.Fields[0].Value != want {
			t.Errorf("%s\nis told as %s\n       not %s", text, got.Request.Body, want)
		}
	}
	for name, want := range map[string]string{"Proxy-Authorization": "x [redacted]", "X-Auth-Token": "x [redacted]", "Accept": "x y", "Sec-Websocket-Protocol": "x [redacted]", "X-Goog-Api-Key": "x [redacted]"} {
		c, ring := capturing(1)
		ring.Begin(time.Now()).Field(name, "x y")
		if got, _ := c.Get("svc-1", "1"); got.Request.Fields[0].Value != want {
			t.Errorf("%s: %s", name, got.Request.Fields[0].Value)
		}
	}
	for target, want := range map[string]string{
		"/v1/realtime?model=x&token=abc": "/v1/realtime?model=x&token=[redacted]", "/a?sig=1;key=2": "/a?sig=[redacted];key=[redacted]", "/a?keys=1&x=y": "/a?keys=1&x=y", "/key=7": "/key=7",
	} {
		c, ring := capturing(1)
		ring.Begin(time.Now()).Line("GET", target)
		if got, _ := c.Get("svc-1", "1"); got.Target != want {
			t.Errorf("%s: %s", target, got.Target)
		}
	}
}

// FuzzSecrets: wherever a secret of ours stands, and in however many pieces it comes, it is not told.
func FuzzSecrets(f *testing.F) {
	f.Add(`{"prompt":"`, `"}`, 20)
	f.Add("a\\\"", "\xff", 3)
	f.Fuzz(func(t *testing.T, before, after string, cut int) {
		if before != "" && strings.ContainsAny(before[len(before)-1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") {
			before += " " // a word that goes on is not a secret's beginning
		}
		text := before + secret + after
		cut = min(max(cut, 0), len(text))
		c, ring := capturing(1)
		x := ring.Begin(time.Now())
		x.Body([]byte(text[:cut]))
		x.Body([]byte(text[cut:]))
		x.Line("GET", text)
		x.Field("X-Any", text)
		got, _ := c.Get("svc-1", "1")
		for _, told := range []string{string(got.Request.Body), got.Target, got.Request.Fields[0].Value} {
			if len(text) < 4<<10 && strings.Contains(told, secret[:12]) && !strings.Contains(before+after, secret[:12]) {
				t.Errorf("%q", told)
			}
		}
	})
}
