package signals

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/autoscaler"
)

// world is engines in memory, by address. What they answer is bytes.
type world struct {
	mu      sync.Mutex
	engines map[string]*fake
}

// fake is one engine.
type fake struct {
	answer func(path string) string // what goes over the line; ends with "\x00": the connection closes after it; "hang": nothing comes
	asked  []time.Time
	paths  []string
	dials  int
	body   string // of the last request
	head   http.Header
}

func (w *world) engine(address string, answer func(path string) string) *fake {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.engines == nil {
		w.engines = map[string]*fake{}
	}
	e := &fake{answer: answer}
	w.engines[address] = e
	return e
}

func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.engines[address]
	if e == nil {
		return nil, errors.New("no such engine")
	}
	e.dials++
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		for in := bufio.NewReader(theirs); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			w.mu.Lock()
			e.asked = append(e.asked, time.Now())
			e.body, e.head = string(body), req.Header
			e.paths = append(e.paths, req.URL.Path)
			answer := e.answer
			w.mu.Unlock()
			text := answer(req.URL.Path)
			if text == "hang" {
				_, _ = io.Copy(io.Discard, in) // until the other side goes
				return
			}
			text, ends := strings.CutSuffix(text, "\x00")
			if _, err := io.WriteString(theirs, text); err != nil || ends {
				return
			}
		}
	}()
	return ours, nil
}

func (w *world) set(e *fake, answer func(string) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.answer = answer
}

func (w *world) count(e *fake) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(e.asked)
}

func ok(page string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
}

func always(page string) func(string) string { return func(string) string { return ok(page) } }

func engineMetric(name string) autoscaler.Metric {
	return autoscaler.Metric{Source: autoscaler.SourceEngine, Name: name}
}

func routes(addresses ...string) []Route {
	var out []Route
	for i, a := range addresses {
		out = append(out, Route{ID: fmt.Sprintf("ses-%d", i+1), URL: "http://" + a + "/metrics", Ready: true})
	}
	return out
}

// begin makes a collector that runs until the test ends.
func begin(t *testing.T, w *world, more func(*Config)) *Collector {
	t.Helper()
	config := Config{Dial: w.dial}
	if more != nil {
		more(&config)
	}
	c := New(config, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return c
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func one(t *testing.T, c *Collector, service string, m autoscaler.Metric) autoscaler.SignalStatus {
	t.Helper()
	for _, s := range c.Status(service) {
		if s.Metric == m {
			return s
		}
	}
	t.Fatalf("%s does not want %s", service, m)
	return autoscaler.SignalStatus{}
}

func TestRoutesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.engine("a:1", always("vllm:num_requests_waiting 3\nvllm:kv_cache_usage_perc 0.2\n"))
		w.engine("b:1", always("vllm:num_requests_waiting 5\nvllm:kv_cache_usage_perc 0.6\n"))
		w.engine("c:1", always("vllm:num_requests_waiting 100\n"))
		c := begin(t, &w, nil)
		waiting, kv := engineMetric(Waiting), engineMetric("vllm_kv_cache_usage_perc")
		all := routes("a:1", "b:1", "c:1")
		all[2].Ready = false
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{waiting, kv}, Routes: all}})
		after(20 * time.Second)

		got := c.Of("svc")
		v, ok := got.Series(waiting).Last()
		if !ok || v.Total != 8 || v.Of != 2 {
			t.Errorf("waiting: %+v, %t", v, ok)
		}
		if v, _ := got.Series(kv).Last(); v.Total != 0.8 || v.Of != 2 {
			t.Errorf("kv: %+v", v)
		}
		if n := got.Series(waiting).Len(); n < 10 || n > 12 {
			t.Errorf("%d samples in 20 s", n)
		}
		if n := w.count(a); n < 10 || n > 12 {
			t.Errorf("%d looks in 20 s", n)
		}
		if a.dials != 1 {
			t.Errorf("%d connections", a.dials)
		}
		if got.Series(engineMetric(Running)) != nil || c.Of("other").Series(waiting) != nil {
			t.Error("a series of what nobody wants")
		}
		st := one(t, c, "svc", waiting)
		if st.Value == nil || *st.Value != 4 || st.Of != 2 || st.Missing != "" {
			t.Errorf("%+v", st)
		}
		// What was given away does not change until it is asked for again.
		before := got.Series(waiting)
		n := before.Len()
		after(10 * time.Second)
		if before.Len() != n || c.Of("svc").Series(waiting).Len() <= n {
			t.Error("a series that was given away grew, or the other did not")
		}
		// A route that goes is not counted any more, at once.
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{waiting}, Routes: all[1:2]}})
		after(4 * time.Second)
		if v, _ := c.Of("svc").Series(waiting).Last(); v.Total != 5 || v.Of != 1 {
			t.Errorf("after a route went: %+v", v)
		}
	})
}

func TestAHangingRouteDelaysNobodyAndIsSeldomAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		w.engine("good:1", always("vllm:num_requests_waiting 3\n"))
		bad := w.engine("bad:1", func(string) string { return "hang" })
		c := begin(t, &w, nil)
		waiting := engineMetric(Waiting)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{waiting}, Routes: routes("good:1", "bad:1")}})
		after(1500 * time.Millisecond)
		if v, ok := c.Of("svc").Series(waiting).Last(); !ok || v.Total != 3 || v.Of != 1 {
			t.Errorf("%+v %t", v, ok)
		}
		if st := one(t, c, "svc", waiting); st.Value == nil || st.Missing != "route ses-2: no answer within 1 s" {
			t.Errorf("%+v", st)
		}
		after(118 * time.Second)
		if n := c.Of("svc").Series(waiting).Len(); n < 56 || n > 62 {
			t.Errorf("%d samples in 120 s", n)
		}
		if n := w.count(bad); n < 5 || n > 8 { // 0, 4, 8, 16, 30, 30, ...
			t.Errorf("the one that hangs was asked %d times", n)
		}
		// It is well again: within its back-off it counts again.
		w.set(bad, always("vllm:num_requests_waiting 4\n"))
		after(35 * time.Second)
		if v, _ := c.Of("svc").Series(waiting).Last(); v.Total != 7 || v.Of != 2 {
			t.Errorf("%+v", v)
		}
	})
}

func TestManyThatHangLeavePlacesForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		var addresses []string
		for i := range 100 {
			a := fmt.Sprintf("bad-%d:1", i)
			w.engine(a, func(string) string { return "hang" })
			addresses = append(addresses, a)
		}
		w.engine("good:1", always("vllm:num_requests_waiting 3\n"))
		c := begin(t, &w, func(c *Config) { c.AtOnce = 8 })
		waiting := engineMetric(Waiting)
		c.Set([]Service{
			{ID: "bad", Routes: routes(addresses...)},
			{ID: "good", Wanted: []autoscaler.Metric{waiting}, Routes: routes("good:1")},
		})
		after(2 * time.Minute)
		begun := c.Of("good").Series(waiting).Len()
		after(time.Minute)
		if n := c.Of("good").Series(waiting).Len() - begun; n < 28 {
			t.Errorf("%d samples in a minute", n)
		}
	})
}

func TestWhatIsOldDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		e := w.engine("a:1", always("vllm:num_requests_waiting 3\n"))
		w.engine("b:1", always("vllm:num_requests_waiting 1\n"))
		c := begin(t, &w, nil)
		waiting := engineMetric(Waiting)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{waiting}, Routes: routes("a:1", "b:1")}})
		after(10 * time.Second)
		w.set(e, func(string) string { return "hang" })
		after(20 * time.Second)
		if v, _ := c.Of("svc").Series(waiting).Last(); v.Total != 1 || v.Of != 1 || time.Since(v.At) > 3*time.Second {
			t.Errorf("%+v", v)
		}
		w.mu.Lock()
		w.engines["b:1"].answer = e.answer
		w.mu.Unlock()
		after(40 * time.Second)
		st := one(t, c, "svc", waiting)
		if st.Value != nil || st.Missing != "routes ses-1, ses-2: no answer within 1 s" {
			t.Errorf("%+v", st)
		}
		if last, _ := c.Of("svc").Series(waiting).Last(); time.Since(last.At) < 30*time.Second {
			t.Error("a sample without a route that told it")
		}
	})
}

func TestAnswersThatAreNoPages(t *testing.T) {
	html := "<html><body>\n<h1>Welcome</h1>\n</body></html>\n"
	head := "HTTP/1.1 200 OK\r\nContent-Type: "
	for want, answer := range map[string]string{
		"it redirects to http://elsewhere/, and redirects are not followed": "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
		"it answered 501: This server does not support metrics endpoint":    "HTTP/1.1 501 Not Implemented\r\nContent-Length: 45\r\n\r\nThis server does not support metrics endpoint",
		"it answered with text/html, which is no page of metrics":           head + "text/html\r\n\r\n" + html + "\x00",
		`its page is none of metrics: it has "<html><body>"`:                head + "text/plain\r\n\r\n" + html + "\x00",
		"it answered with application/json, which is no page of metrics":    head + "application/json\r\nContent-Length: 2\r\n\r\n[]",
		"its page is packed (gzip) although it was asked not to":            head + "text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
		"its page broke off":                                                head + "text/plain\r\nContent-Length: 1000\r\n\r\nvllm:num_requests_waiting 3\n\x00",
		"its page broke off: there is no # EOF":                             head + "application/openmetrics-text\r\n\r\nvllm:num_requests_waiting 3\n\x00",
		"closed the connection without an answer":                           "\x00",
		`its answer is not HTTP: malformed HTTP response "SSH-2.0-OpenSSH"`: "SSH-2.0-OpenSSH\r\n\x00",
		"its page is larger than 8 MiB":                                     head + "text/plain\r\n\r\n" + strings.Repeat("vllm:num_requests_waiting{x=\"0123456789\"} 1\n", mostBytes/40) + "\x00",
		"its page has too many series of one name":                          ok(ranked(mostGroups + 1)),
		"it has no such metric":                                             ok(""),
		"it says no number":                                                 ok("vllm:num_requests_waiting NaN\n"),
		"it has no such metric; it has vllm:num_requests_running, vllm:time_to_first_token_seconds:p95": ok("vllm:num_requests_running 1\nvllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} 1\nvllm:time_to_first_token_seconds_sum 1\nvllm:time_to_first_token_seconds_count 1\n"),
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				w.engine("a:1", func(string) string { return answer })
				c := begin(t, &w, nil)
				m := engineMetric("vllm:num_requests_waiting")
				c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}, Routes: routes("a:1")}})
				after(10 * time.Second)
				if st := one(t, c, "svc", m); st.Value != nil || st.Missing != "route ses-1: "+want {
					t.Errorf("%v %q", st.Value, st.Missing)
				}
				if n := c.Of("svc").Series(m).Len(); n != 0 {
					t.Errorf("%d samples", n)
				}
			})
		})
	}
}

func ranked(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "vllm:num_requests_waiting{tp_rank=\"0\",i=\"%d\"} 1\n", i)
	}
	return b.String()
}

func TestAPageInChunksAndOneThatEndsWithItsConnection(t *testing.T) {
	for name, answer := range map[string]string{
		"chunks":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nvllm:\r\n1a\r\nnum_requests_waiting 3\nx 1\r\n0\r\nTrailer: x\r\n\r\n",
		"close":       "HTTP/1.0 200 OK\r\nContent-Type: text/html-is-not-this\r\n\r\nvllm:num_requests_waiting 3\x00",
		"openmetrics": "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text\r\nContent-Length: 34\r\n\r\nvllm:num_requests_waiting 3\n# EOF\n",
		"100 first":   "HTTP/1.1 100 Continue\r\n\r\n" + ok("vllm:num_requests_waiting 3\n"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				w.engine("a:1", func(string) string { return answer })
				c := begin(t, &w, nil)
				m := engineMetric(Waiting)
				c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}, Routes: routes("a:1")}})
				after(5 * time.Second)
				if v, ok := c.Of("svc").Series(m).Last(); !ok || v.Total != 3 {
					t.Errorf("%+v: %s", v, one(t, c, "svc", m).Missing)
				}
			})
		})
	}
}

func TestAKeptConnectionThatDiedIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		e := w.engine("a:1", func(string) string { return ok("vllm:num_requests_waiting 3\n") + "\x00" }) // says nothing of it, and closes
		c := begin(t, &w, nil)
		m := engineMetric(Waiting)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}, Routes: routes("a:1")}})
		after(20 * time.Second)
		if n := c.Of("svc").Series(m).Len(); n < 10 {
			t.Errorf("%d samples of %d looks: %s", n, w.count(e), one(t, c, "svc", m).Missing)
		}
	})
}

func TestThePageIsLookedForElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		e := w.engine("a:1", func(path string) string {
			switch path {
			case "/metrics": // trtllm-serve's statistics of iterations
				return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
			case "/prometheus/metrics":
				return ok("trtllm_num_requests_waiting 6\n")
			}
			return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
		})
		c := begin(t, &w, nil)
		m := engineMetric(Waiting)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}, Routes: routes("a:1")}})
		after(10 * time.Second)
		if v, _ := c.Of("svc").Series(m).Last(); v.Total != 6 {
			t.Errorf("%+v: %s", v, one(t, c, "svc", m).Missing)
		}
		want := []string{"/metrics", "/v1/metrics", "/prometheus/metrics", "/prometheus/metrics", "/prometheus/metrics"}
		if diff := cmp.Diff(want, e.paths[:5]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestRatesBeginAnewAfterAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		var tokens atomic.Int64
		w.engine("a:1", func(string) string {
			return ok(fmt.Sprintf("vllm:generation_tokens_total %d\n", tokens.Load()))
		})
		c := begin(t, &w, nil)
		m := engineMetric(TokensPerSecond)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}, Routes: routes("a:1")}})
		synctest.Wait()
		if st := one(t, c, "svc", m); st.Missing != "route ses-1: it takes a second look" {
			t.Errorf("%+v", st)
		}
		grow := func(n int, by int64) {
			for range n {
				tokens.Add(by)
				after(100 * time.Millisecond)
			}
		}
		grow(100, 10) // 100 a second
		s := c.Of("svc").Series(m).Clone()
		v, _ := s.Last()
		if v.Total < 99 || v.Total > 101 {
			t.Errorf("%+v", v)
		}
		tokens.Store(0) // the engine began anew
		grow(100, 20)
		if v, _ := c.Of("svc").Series(m).Last(); v.Total < 199 || v.Total > 201 {
			t.Errorf("%+v", v)
		}
		if n := c.Of("svc").Series(m).Len() - s.Len(); n != 4 { // of five looks, the first saw the reset
			t.Errorf("%d samples", n)
		}
	})
}

func TestQuantilesAreOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		var fast, slow atomic.Int64
		w.engine("a:1", func(string) string {
			f, s := fast.Load(), slow.Load()
			return ok(fmt.Sprintf("vllm:time_to_first_token_seconds_bucket{le=\"1\"} %d\nvllm:time_to_first_token_seconds_bucket{le=\"10\"} %d\n"+
				"vllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} %d\nvllm:time_to_first_token_seconds_count %d\nvllm:time_to_first_token_seconds_sum %d\n", f, f+s, f+s, f+s, f+10*s))
		})
		slow.Store(1000) // before anybody looked
		c := begin(t, &w, nil)
		m, mid := engineMetric("ttft:p95"), engineMetric(TTFT)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m, mid}, Routes: routes("a:1")}})
		after(5 * time.Second)
		if st := one(t, c, "svc", m); st.Missing != "route ses-1: nothing came within 60 s" {
			t.Errorf("%+v", st)
		}
		for range 300 {
			fast.Add(1)
			after(100 * time.Millisecond)
		}
		if v, _ := c.Of("svc").Series(m).Last(); v.Total < 0.9 || v.Total > 1 {
			t.Errorf("fast: %+v", v)
		}
		if v, _ := c.Of("svc").Series(mid).Last(); v.Total != 1 {
			t.Errorf("mean: %+v", v)
		}
		for range 700 {
			slow.Add(1)
			after(100 * time.Millisecond)
		}
		if v, _ := c.Of("svc").Series(m).Last(); v.Total < 9 {
			t.Errorf("slow: %+v", v)
		}
		if v, _ := c.Of("svc").Series(mid).Last(); v.Total != 10 {
			t.Errorf("mean: %+v", v)
		}
	})
}

func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := begin(t, &world{}, nil)
		m := autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "concurrency"}
		c.Tell("svc", m, autoscaler.Sample{At: time.Now(), Total: 1}) // nobody knows it
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}}})
		if st := one(t, c, "svc", m); st.Missing != "it was not told yet" {
			t.Errorf("%+v", st)
		}
		c.Tell("svc", m, autoscaler.Sample{At: time.Now(), Total: 0})
		c.Tell("svc", autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "queued"}, autoscaler.Sample{At: time.Now(), Total: 5})
		if st := one(t, c, "svc", m); st.Value == nil || *st.Value != 0 || st.Missing != "" {
			t.Errorf("%+v", st)
		}
		if diff := cmp.Diff([]autoscaler.Metric{m}, c.Wants("svc", autoscaler.SourceRouter)); diff != "" {
			t.Error(diff)
		}
		after(time.Minute)
		if st := one(t, c, "svc", m); st.Value != nil || !strings.HasPrefix(st.Missing, "it was not told since ") {
			t.Errorf("%+v", st)
		}
	})
}

func TestAnAddressThatIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := begin(t, &world{}, nil)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{engineMetric(Waiting)}, Routes: []Route{
			{ID: "ses-1", URL: "https://a:1/metrics", Ready: true}, {ID: "ses-2", Ready: true}, {ID: "ses-3", URL: "http://a:1/", Ready: false},
		}}})
		after(time.Second)
		want := `route ses-1: "https://a:1/metrics" is not http://HOST:PORT/PATH; route ses-2: its engine has no page of metrics; route ses-3: it is not ready`
		if st := one(t, c, "svc", engineMetric(Waiting)); st.Missing != want {
			t.Errorf("%q", st.Missing)
		}
	})
}

// TestManyHands is for the race detector.
func TestManyHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		for i := range 5 {
			w.engine(fmt.Sprintf("e%d:1", i), always("vllm:num_requests_waiting 3\n"))
		}
		c := begin(t, &w, nil)
		m, told := engineMetric(Waiting), autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "queued"}
		var hands sync.WaitGroup
		for hand := range 4 {
			hands.Go(func() {
				for i := range 200 {
					switch hand {
					case 0:
						c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m, told}, Routes: routes("e0:1", "e1:1", "e2:1", "e3:1", "e4:1")[:i%6]}})
					case 1:
						c.Tell("svc", told, autoscaler.Sample{At: time.Now(), Total: 1})
					case 2:
						c.Of("svc").Series(m).Last()
					case 3:
						c.Status("svc")
					}
					time.Sleep(137 * time.Millisecond)
				}
			})
		}
		hands.Wait()
	})
}
