package signals

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// serveVar makes the test binary a server of one page, so that what serving costs is another process's.
const serveVar = "PALISADE_SIGNALS_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVar) == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with who started it
		os.Exit(0)
	}()
	page := largePage()
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Mon, 04 May 2026 12:00:00 GMT\r\nServer: uvicorn\r\n"+
		"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
	for {
		conn, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			for in := bufio.NewReader(conn); ; {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

// largePage is 60 KB of what vLLM shows: gauges, counters by reason, and many histograms.
func largePage() []byte {
	const labels = `engine="0",model_name="Qwen/Qwen3-32B-Instruct"`
	var b bytes.Buffer
	one := func(name, kind string) {
		fmt.Fprintf(&b, "# HELP vllm:%s What vLLM says of %s.\n# TYPE vllm:%s %s\n", name, strings.ReplaceAll(name, "_", " "), name, kind)
	}
	for _, n := range []string{"num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "lora_requests_info", "engine_sleep_state"} {
		one(n, "gauge")
		fmt.Fprintf(&b, "vllm:%s{%s} 3.0\n", n, labels)
	}
	for _, n := range []string{"generation_tokens_total", "prompt_tokens_total", "prefix_cache_hits_total", "prefix_cache_queries_total", "num_preemptions_total"} {
		one(n, "counter")
		fmt.Fprintf(&b, "vllm:%s{%s} 1.2345678e+07\nvllm:%s{%s} 1.7562832349e+09\n", n, labels, strings.TrimSuffix(n, "_total")+"_created", labels)
	}
	for i := 0; b.Len() < 60<<10; i++ {
		n := []string{"time_to_first_token_seconds", "e2e_request_latency_seconds", "inter_token_latency_seconds", "request_queue_time_seconds"}[min(i, 3)]
		if i > 3 {
			n = fmt.Sprintf("request_part_%d_seconds", i)
		}
		one(n, "histogram")
		for j := range 20 {
			fmt.Fprintf(&b, "vllm:%s_bucket{engine=\"0\",le=\"%g\",model_name=\"Qwen/Qwen3-32B-Instruct\"} %d.0\n", n, float64(j+1)*0.25, 1000*j)
		}
		fmt.Fprintf(&b, "vllm:%s_bucket{engine=\"0\",le=\"+Inf\",model_name=\"Qwen/Qwen3-32B-Instruct\"} 20000.0\n", n)
		fmt.Fprintf(&b, "vllm:%s_count{%s} 20000.0\nvllm:%s_sum{%s} 40000.5\n", n, labels, n, labels)
	}
	return b.Bytes()
}

func serve(tb testing.TB) (address string) {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveVar+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// cpu is what this process has used.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScrape is one look at 60 KB over a kept connection: asking, reading, making figures. "%core/100" is what 100
// routes that are looked at every 2 s take of a core.
func BenchmarkScrape(b *testing.B) {
	address := serve(b)
	c := New(Config{}, slog.New(slog.DiscardHandler))
	p := compile([]string{"ttft:p95", "vllm:e2e_request_latency_seconds:p95"}, nil)
	t := newTarget(&service{}, Route{URL: "http://" + address + "/metrics"}, c.config)
	t.ctx = context.Background()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if err := t.look(p, false, c); err != nil {
			b.Fatal(err)
		}
		t.publish(p, nil, false, time.Now())
	}
	each := float64(cpu(b)-before) / float64(b.N)
	b.ReportMetric(each/1000, "cpu-µs/op")
	b.ReportMetric(each*100/2e9*100, "%core/100")
}

// BenchmarkScrapeByStandardClient is the same by net/http, to know what the own client is for.
func BenchmarkScrapeByStandardClient(b *testing.B) {
	address := serve(b)
	page, line := newPage(compile([]string{"ttft:p95", "vllm:e2e_request_latency_seconds:p95"}, nil)), make([]byte, longestLine)
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		answer, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		err = page.read(answer.Body, line)
		if _ = answer.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1000, "cpu-µs/op")
}

func BenchmarkRead(b *testing.B) {
	text := largePage()
	p, line := newPage(compile([]string{"ttft:p95", "vllm:e2e_request_latency_seconds:p95"}, nil)), make([]byte, longestLine)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.read(bytes.NewReader(text), line); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillionSeries is the worst page: as large as may be, every line one that is wanted.
func BenchmarkMillionSeries(b *testing.B) {
	var text bytes.Buffer
	for i := 0; text.Len() < mostBytes-100; i++ {
		fmt.Fprintf(&text, "vllm:num_requests_running{m=\"%d\"} 1\n", i)
	}
	p, line := newPage(compile(nil, nil)), make([]byte, longestLine)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.read(bytes.NewReader(text.Bytes()), line); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFleet looks at 100 routes every 2 s as the daemon does, and tells what of a core that takes, when all
// connections are there.
func BenchmarkFleet(b *testing.B) {
	const warm, long = 4 * time.Second, 20 * time.Second
	address := serve(b)
	for b.Loop() {
		c := New(Config{}, slog.New(slog.DiscardHandler))
		var all []Service
		for i := range 25 {
			s := Service{ID: fmt.Sprintf("svc-%d", i), Wanted: []autoscaler.Metric{{Source: autoscaler.SourceEngine, Name: Waiting}}}
			for j := range 4 {
				s.Routes = append(s.Routes, Route{ID: fmt.Sprintf("ses-%d-%d", i, j), URL: "http://" + address + "/metrics", Ready: true})
			}
			all = append(all, s)
		}
		c.Set(all)
		ctx, cancel := context.WithTimeout(context.Background(), warm+long)
		var before time.Duration
		begin := time.AfterFunc(warm, func() { before = cpu(b) })
		c.Run(ctx)
		cancel()
		begin.Stop()
		b.ReportMetric(100*float64(cpu(b)-before)/float64(long), "%core/100")
	}
}
