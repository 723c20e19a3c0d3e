package router

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/usage"
)

// limited is a rig with a token of these limits.
func limited(t *testing.T, l quota.Limits, h http.HandlerFunc) (g *rig, token Token) {
	t.Helper()
	g = newRig(t, Config{}, hello(engine(t, h)))
	token, g.secret = issue(t, g.tokens, IssueRequest{Project: "p", Limits: l})
	return g, token
}

// counts answers as an engine does that says what it used: 40 tokens of the prompt and 20 of the answer.
func counts(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	const used = `"usage":{"prompt_tokens":40,"completion_tokens":20,"total_tokens":60}`
	if !strings.Contains(string(b), `"stream":true`) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"object":"chat.completion","choices":[],`+used+`}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range []string{`{"choices":[{"delta":{"content":"x"}}]}`, `{"choices":[],` + used + `}`, "[DONE]"} {
		_, _ = io.WriteString(w, "data: "+event+"\n\n")
		_ = http.NewResponseController(w).Flush()
	}
}

// A client that waits for each answer before it asks again never finds its own request in its way, on neither path.
func TestOneAtATimeIsEnoughForOne(t *testing.T) {
	g, _ := limited(t, quota.Limits{Concurrent: 1}, counts)
	for i := range 300 {
		body := []string{chatHello, chatStream}[i%2]
		req := g.request("POST", "/v1/chat/completions", body)
		if i%4 >= 2 {
			req.ContentLength = -1 // in chunks: carried by net/http
		}
		if status, answer := g.ask(req); status != 200 {
			t.Fatalf("request %d: %d %s", i, status, answer)
		}
	}
}

// Some clients ask again when they have seen [DONE], though the engine has not ended its answer yet.
func TestAStreamIsOverWhenItSaysSo(t *testing.T) {
	end := make(chan struct{})
	g, token := limited(t, quota.Limits{Concurrent: 1}, func(w http.ResponseWriter, r *http.Request) {
		counts(w, r)
		_ = http.NewResponseController(w).Flush()
		<-end
	})
	for i := range 10 {
		res := g.send(g.request("POST", "/v1/chat/completions", chatStream))
		if res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %s", i, res.Status)
		}
		for lines := bufio.NewScanner(res.Body); lines.Scan() && lines.Text() != "data: [DONE]"; {
		}
		if n := g.tokens.Standing(token.ID).InFlight; n != 0 {
			t.Errorf("%d requests are in the way", n)
		}
	}
	close(end)
}

// One too many at once is refused, and only while it is one too many.
func TestConcurrentRequestsAreBounded(t *testing.T) {
	here, goOn := make(chan struct{}, 3), make(chan struct{})
	g, _ := limited(t, quota.Limits{Concurrent: 3}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		here <- struct{}{}
		<-goOn
	})
	var all []<-chan heard
	for range 3 {
		all = append(all, g.background(t.Context(), g.secret, chatHello))
	}
	for range 3 {
		<-here
	}
	fourth := <-g.background(t.Context(), g.secret, chatHello)
	if fourth.status != 429 || fourth.header.Get("Retry-After") == "" || !strings.Contains(fourth.body, `"rate_limit_exceeded"`) {
		t.Errorf("got %+v", fourth)
	}
	close(goOn)
	for _, one := range all {
		if a := <-one; a.status != 200 {
			t.Errorf("got %+v", a)
		}
	}
	if status, body := g.chat(); status != 200 {
		t.Errorf("afterwards %d %s", status, body)
	}
}

// Requests per minute are exact whoever asks at once, and answers say what is left.
func TestRequestsPerMinuteAreExact(t *testing.T) {
	g, _ := limited(t, quota.Limits{RequestsPerMinute: 70}, counts)
	var well, late atomic.Int32
	left := make([]atomic.Bool, 70)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 4 {
				a := <-g.background(t.Context(), g.secret, chatHello)
				switch n, err := strconv.Atoi(a.header.Get("X-Ratelimit-Remaining-Requests")); {
				case a.header.Get("X-Ratelimit-Limit-Requests") != "70" || a.header.Get("X-Ratelimit-Reset-Requests") == "":
					t.Errorf("got %+v", a)
				case a.status == 200 && err == nil && n < 70:
					well.Add(1)
					left[n].Store(true)
				case a.status == 429 && n == 0:
					late.Add(1)
					if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 || after > 60 {
						t.Errorf("got %+v", a)
					}
				default:
					t.Errorf("got %+v", a)
				}
			}
		})
	}
	all.Wait()
	if well.Load() != 70 || late.Load() != 130 || !left[0].Load() {
		t.Errorf("%d answered, %d refused", well.Load(), late.Load())
	}
}

// What a stream used counts when its client has seen its end, without the client's having asked for it.
func TestStreamsSpendTheBudget(t *testing.T) {
	for _, asks := range []bool{true, false} {
		g, token := limited(t, quota.Limits{Budget: 400, TokensPerMinute: 1000}, counts)
		s := hello(g.table.Load().services[0].Routes[0].Addr)
		s.Traffic.AskUsage = asks
		g.SetServices([]Service{s})
		for i := 0; ; i++ {
			if got := g.tokens.Standing(token.ID).Spent; got != int64(60*i) {
				t.Errorf("after %d streams %d tokens are spent", i, got)
			}
			a := <-g.background(t.Context(), g.secret, `{"model":"hello","stream":true,"max_tokens":50}`)
			if a.status == 200 && strings.Contains(a.body, "[DONE]") && i < 6 {
				if hidden := !strings.Contains(a.body, "usage"); hidden != asks {
					t.Errorf("asked by the router: %t, and the client sees %q", asks, a.body)
				}
				continue
			}
			// What one more may use does not fit any more.
			if i < 4 || a.status != 429 || !strings.Contains(a.body, `"insufficient_quota"`) || a.header.Get("X-Ratelimit-Limit-Tokens") != "1000" {
				t.Errorf("after %d streams: %+v", i, a)
			}
			if n, err := strconv.Atoi(a.header.Get("X-Ratelimit-Remaining-Tokens")); err != nil || n != 1000-60*i {
				t.Errorf("%q tokens are left this minute", a.header.Get("X-Ratelimit-Remaining-Tokens"))
			}
			break
		}
	}
}

// A limit that refuses costs no route anything, and gives back nothing that was not taken.
func TestFailedRequestsGiveBack(t *testing.T) {
	g, token := limited(t, quota.Limits{Concurrent: 1, Budget: 1000}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 20 {
		if status, body := g.chat(); status != 502 {
			t.Fatalf("got %d %s", status, body)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	g.SetServices([]Service{hold(hello(), 10, time.Minute)})
	waits := g.background(ctx, g.secret, chatHello)
	g.awaitWaiting(1)
	leave()
	<-waits
	g.await(func() bool { return g.Snapshot()[0].InFlight == 0 })
	g.SetServices([]Service{hello(engine(t, says("b")))})
	for range 3 {
		if status, body := g.chat(); status != 200 {
			t.Errorf("what ended is still in the way: %d %s", status, body)
		}
	}
	if s := g.tokens.Standing(token.ID); s.Spent > 20*10 {
		t.Errorf("spent %d for nothing", s.Spent)
	}
}

// A repeated question of one token is asked once, whoever comes at once or a little later; another token's, another
// question and a stream are not.
func TestRepeatedQuestions(t *testing.T) {
	var n atomic.Int32
	goOn := make(chan struct{})
	s := hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mine := n.Add(1)
		<-goOn
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Engine", "e")
		_, _ = fmt.Fprintf(w, `{"answer":%d,"usage":{"prompt_tokens":40,"completion_tokens":20}}`, mine)
	}))
	s.Traffic.Repeat = repeat.Settings{Window: time.Minute}
	g := newRig(t, Config{}, s)
	_, other := issue(t, g.tokens, IssueRequest{Project: "p"})
	var all []<-chan heard
	for range 20 {
		all = append(all, g.background(t.Context(), g.secret, chatHello))
	}
	g.await(func() bool { return g.lives["svc"].guard.Stats().Waiting == 19 })
	close(goOn)
	hits := 0
	for _, one := range all {
		a := <-one
		if a.status != 200 || !strings.HasPrefix(a.body, `{"answer":1,`) || a.header.Get("X-Engine") != "e" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("got %+v", a)
		}
		if a.header.Get("X-Palisade-Repeat") == "hit" {
			hits++
		}
	}
	if hits != 19 || n.Load() != 1 {
		t.Errorf("%d were answered from another's answer, the engine was asked %d times", hits, n.Load())
	}
	for i, c := range []struct{ secret, body string }{
		{other, chatHello}, {g.secret, `{"model":"hello","messages":[1]}`}, {g.secret, chatStream}, {g.secret, chatStream},
	} {
		if a := <-g.background(t.Context(), c.secret, c.body); a.header.Get("X-Palisade-Repeat") != "" || n.Load() != int32(i+2) {
			t.Errorf("%d: got %+v, asked %d times", i, a, n.Load())
		}
	}
	if a := <-g.background(t.Context(), g.secret, chatHello); a.header.Get("X-Palisade-Repeat") != "hit" {
		t.Errorf("got %+v", a)
	}
}

// The first of those who ask the same goes, or its engine fails: the next one asks, nobody is left waiting.
func TestWhoRepeatsIsNotStranded(t *testing.T) {
	var n atomic.Int32
	here := make(chan struct{}, 10)
	s := hello(engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		here <- struct{}{}
		if n.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "here")
	}))
	s.Traffic.Repeat = repeat.Settings{Window: time.Minute}
	g := newRig(t, Config{}, s)
	ctx, leave := context.WithCancel(t.Context())
	first := g.background(ctx, g.secret, chatHello)
	<-here
	var all []<-chan heard
	for range 5 {
		all = append(all, g.background(t.Context(), g.secret, chatHello))
	}
	g.await(func() bool { return g.lives["svc"].guard.Stats().Waiting == 5 })
	leave()
	<-first
	for _, one := range all {
		if a := <-one; a.status != 200 || a.body != "here" {
			t.Errorf("got %+v", a)
		}
	}
	if n.Load() != 2 {
		t.Errorf("asked %d times", n.Load())
	}
}

// bill keeps what is written of usage.
type bill struct {
	mu   sync.Mutex
	rows []usage.Row
}

func (b *bill) AddUsage(_ context.Context, batch usage.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, batch.Rows...)
	return nil
}

func (b *bill) Usage(context.Context, usage.Query) ([]usage.Row, error) { return nil, nil }

// watched is a rig whose requests are seen by all who may look in.
type watched struct {
	*rig
	live     *record.Live
	captures *record.Captures
	meter    *usage.Meter
	bill     *bill
	log      *record.AccessLog
	path     string
}

func newWatched(t *testing.T, s Service) *watched {
	t.Helper()
	w := &watched{
		rig: newRig(t, Config{}), live: record.NewLive(time.Now()), captures: record.NewCaptures(), bill: &bill{},
		path: filepath.Join(t.TempDir(), "access.log"),
	}
	w.meter = usage.NewMeter(w.bill, time.Now, slog.New(slog.DiscardHandler))
	var err error
	if w.log, err = record.OpenAccessLog(record.LogConfig{Path: w.path, Sample: 1}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.Observe(Observers{Live: w.live, Captures: w.captures, Usage: w.meter, Log: w.log})
	w.SetServices([]Service{s})
	return w
}

// lines are those of the access log, by the request's id.
func (w *watched) lines() map[string]map[string]any {
	w.t.Helper()
	ctx, end := context.WithCancel(w.t.Context())
	end()
	w.log.Run(ctx) // writes what waits, and ends
	file, err := os.Open(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	out := map[string]map[string]any{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			w.t.Fatalf("%v: %s", err, lines.Text())
		}
		out[fmt.Sprint(line["id"])] = line
	}
	return out
}

// What requests did is seen the same by everybody who looks in: log, captures, figures, bill.
func TestRequestsAreSeen(t *testing.T) {
	s := hello(engine(t, counts))
	s.Traffic.Capture, s.Traffic.AskUsage = 10, true
	s.Traffic.Repeat = repeat.Settings{Window: time.Minute}
	w := newWatched(t, s)
	for id, body := range map[string]string{"whole": chatHello, "stream": chatStream, "wrong": `{"model":"nobody"}`} {
		req := w.request("POST", "/v1/chat/completions?key=x", body)
		req.Header.Set("X-Request-Id", id)
		req.Header.Set("Cookie", "session=secret-cookie")
		w.ask(req)
	}
	again := w.request("POST", "/v1/chat/completions?key=x", chatHello)
	again.Header.Set("X-Request-Id", "again")
	w.ask(again)
	cut := hello(engine(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	cut.Traffic, cut.Routes[0].ID = s.Traffic, "r9"
	w.SetServices([]Service{cut})
	dies := w.request("POST", "/v1/chat/completions?key=x", `{"model":"hello","messages":["dies"]}`)
	dies.Header.Set("X-Request-Id", "dies")
	w.ask(dies)

	lines := w.lines()
	for id, want := range map[string]map[string]any{
		"whole":  {"client": "127.0.0.1", "status": 200., "service": "hello", "route": "r1", "kind": "chat", "model": "hello", "prompt_tokens": 40., "completion_tokens": 20.},
		"stream": {"client": "127.0.0.1", "status": 200., "stream": true, "prompt_tokens": 40., "completion_tokens": 20.},
		"wrong":  {"status": 404., "code": "model_not_found", "service": nil},
		"again":  {"status": 200., "repeated": true, "route": nil},
		"dies":   {"status": 502., "code": "engine_failed", "route": "r9", "fault": "broken"},
	} {
		for name, value := range want {
			if got := lines[id][name]; got != value {
				t.Errorf("the log says of %q that %s is %v, want %v: %v", id, name, got, value, lines[id])
			}
		}
	}
	if len(lines) != 5 {
		t.Errorf("%d lines", len(lines))
	}

	captures, _ := w.captures.List("svc")
	if len(captures) != 4 {
		t.Errorf("%d requests were kept", len(captures))
	}
	for _, listed := range captures {
		c, _ := w.captures.Get("svc", strconv.FormatInt(listed.Number, 10))
		if c.Did.Client == "" || c.Did.Out == 0 || !strings.HasPrefix(c.Target, "/v1/chat/completions?key=") || c.Answer.Size != c.Did.Out && c.Did.ID != "stream" {
			t.Errorf("kept %+v", c)
		}
		if all := fmt.Sprintf("%+v %s %s", c, c.Request.Body, c.Answer.Body); strings.Contains(all, w.secret) || strings.Contains(all, "secret-cookie") {
			t.Errorf("a secret is in what is kept: %s", all)
		}
		if c.Did.ID == "stream" && !strings.Contains(string(c.Answer.Body), "[DONE]") || !c.Ended || !strings.Contains(string(c.Request.Body), "hello") {
			t.Errorf("kept %+v", c)
		}
	}

	f, _ := w.live.Service(time.Now(), "svc")
	if f.Short.Requests != 4 || f.Short.Ended != 4 || f.Short.Errors != 1 || f.InFlight != 0 || f.Waiting != 0 {
		t.Errorf("figures %+v", f)
	}

	if err := w.meter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var requests, prompt, completion int64
	for _, r := range w.bill.rows {
		requests, prompt, completion = requests+r.Requests, prompt+r.Prompt, completion+r.Completion
	}
	if requests != 3 || prompt != 80 || completion != 40 { // who got another's answer pays nothing
		t.Errorf("billed %d requests, %d and %d tokens: %+v", requests, prompt, completion, w.bill.rows)
	}
}

// Those who wait are seen to wait, and how long they have waited is told.
func TestWaitingIsSeen(t *testing.T) {
	s := hold(hello(), 10, time.Minute)
	w := newWatched(t, s)
	req := w.request("POST", "/v1/chat/completions", chatHello)
	req.Header.Set("X-Request-Id", "held")
	done := make(chan int, 1)
	go func() {
		status, _ := w.ask(req)
		done <- status
	}()
	w.awaitWaiting(1)
	if f, _ := w.live.Service(time.Now(), "svc"); f.Waiting != 1 || f.InFlight != 1 {
		t.Errorf("figures %+v", f)
	}
	s.Routes = hello(engine(t, counts)).Routes
	w.SetServices([]Service{s})
	if status := <-done; status != 200 {
		t.Errorf("got %d", status)
	}
	if f, _ := w.live.Service(time.Now(), "svc"); f.Waiting != 0 || f.InFlight != 0 {
		t.Errorf("figures %+v", f)
	}
	if held, ok := w.lines()["held"]["held_ms"].(float64); !ok || held <= 0 {
		t.Errorf("the log says %v", w.lines()["held"])
	}
}
