package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// demand is load of all kinds on one service: whatever fails is counted, and nothing is tried twice.
type demand struct {
	b      *box
	token  string
	stop   chan struct{}
	all    sync.WaitGroup
	asked  atomic.Int64 // requests that were answered as they should
	failed atomic.Int64
	words  atomic.Int64 // tokens of them, as the engine counts
	slow   atomic.Int64 // the longest, in nanoseconds
	lost   atomic.Int64 // requests of those who hope, that failed
}

func (b *box) newDemand(token string) *demand {
	return &demand{b: b, token: token, stop: make(chan struct{})}
}

// each asks again and again until the demand ends.
func (d *demand) each(name string, ask func() error) {
	d.all.Go(func() {
		for {
			select {
			case <-d.stop:
				return
			default:
			}
			begun := time.Now()
			if err := ask(); err != nil {
				d.failed.Add(1)
				d.b.t.Errorf("%s at %s: %v", name, time.Now().Format("05.000"), err)
				continue
			}
			if took := int64(time.Since(begun)); took > d.slow.Load() {
				d.slow.Store(took)
			}
			d.asked.Add(1)
			d.words.Add(7)
		}
	})
}

// hope asks again and again, and only counts what fails.
func (d *demand) hope(ask func() error) {
	d.all.Go(func() {
		for {
			select {
			case <-d.stop:
				return
			default:
			}
			if ask() != nil {
				d.lost.Add(1)
			}
		}
	})
}

const question = `{"model":"steady","messages":[{"role":"user","content":"Who are you?"}]}`

// kept is a client on one connection for as long as that is kept: no library's retries come between.
func (d *demand) kept() func() error {
	var conn net.Conn
	var r *bufio.Reader
	return func() (err error) {
		defer func() {
			if err != nil && conn != nil {
				_ = conn.Close()
				conn = nil
			}
		}()
		if conn == nil {
			if conn, err = net.Dial("tcp", strings.TrimPrefix(d.b.url, "http://")); err != nil {
				return err
			}
			r = bufio.NewReader(conn)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			d.token, len(question), question); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("no answer on a connection that was kept: %w", err)
		}
		if err := steadyAnswer(resp); err != nil {
			return err
		}
		if resp.Close {
			_ = conn.Close()
			conn = nil
		}
		return nil
	}
}

func steadyAnswer(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"steady"`) {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// posted asks through net/http: on a connection of its own, or with a body in chunks.
func (d *demand) posted(own, chunked bool) func() error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: own}, Timeout: 20 * time.Second}
	return func() error {
		var body io.Reader = strings.NewReader(question)
		if chunked {
			body = io.MultiReader(body) // whose length nobody knows
		}
		req, err := http.NewRequest(http.MethodPost, d.b.url+"/v1/chat/completions", body)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+d.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		return steadyAnswer(resp)
	}
}

// spoken asks as OpenAI's client for Go does.
func (d *demand) spoken(options ...option.RequestOption) func() error {
	c := openai.NewClient(append([]option.RequestOption{option.WithBaseURL(d.b.url + "/v1"), option.WithAPIKey(d.token)}, options...)...)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		answer, err := c.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
			Model: "steady", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Who are you?")},
		})
		if err == nil && answer.Choices[0].Message.Content != "steady" {
			err = fmt.Errorf("it said %q", answer.Choices[0].Message.Content)
		}
		return err
	}
}

// stream reads one answer of words, 50 ms each, that must come whole.
func (d *demand) stream(words int) {
	d.all.Go(func() {
		text, err := say(context.Background(), d.b.client(d.token), "steady", int64(words), nil)
		if got := len(strings.Fields(text)); err != nil || got != words {
			d.failed.Add(1)
			d.b.t.Errorf("a stream had %d words of %d: %v", got, words, err)
			return
		}
		d.asked.Add(1)
		d.words.Add(int64(words) + 3)
	})
}

// upgraded is a connection that is no HTTP any more, and echoes.
func (d *demand) upgraded() (echo func(word string) error) {
	d.b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.b.url, "http://"))
	if err != nil {
		d.b.t.Fatal(err)
	}
	d.b.t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "GET /v1/realtime?model=steady HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", d.token)
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		d.b.t.Fatal(resp, err)
	}
	d.asked.Add(1)
	return func(word string) error {
		if word == "" {
			return conn.Close()
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, word+"\n"); err != nil {
			return err
		}
		if got, err := r.ReadString('\n'); err != nil || got != word+"\n" {
			return fmt.Errorf("%q came back as %q: %w", word, got, err)
		}
		return nil
	}
}

func (d *demand) end() {
	d.b.t.Helper()
	select {
	case <-d.stop:
	default:
		close(d.stop)
	}
	d.all.Wait()
}

// steadyService serves the steady engine on routes and returns a token for it.
func (b *box) steadyService(routes int) string {
	b.t.Helper()
	b.badFolder("steady")
	b.run("service", "create", "host", "steady", strconv.Itoa(routes), "--name", "steady", "--wait")
	return b.run("service", "generate-token", "steady", "--duration", "1h", "-q")
}

// restart is `palisade restart`; the box's daemon is the new process then.
func (b *box) restart() (took time.Duration) {
	b.t.Helper()
	var done struct {
		PID  int
		Took float64
	}
	b.into(&done, "restart")
	b.now(done.PID)
	return time.Duration(done.Took * float64(time.Second))
}

// replace puts a script in the place of the box's program; "": the program itself.
func (b *box) replace(script string) {
	b.t.Helper()
	next := b.program + ".new"
	err := os.WriteFile(next, []byte("#!/bin/sh\n"+script+"\n"), 0o755)
	if script == "" {
		err = errors.Join(os.Remove(next), copyFile(next, have.palisade))
	}
	if err == nil {
		err = os.Rename(next, b.program)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// now says which process is the daemon. The one before ends by itself; exited is closed when all have ended, for they
// write to one log.
func (b *box) now(pid int) {
	b.t.Helper()
	process, err := os.FindProcess(pid)
	if err != nil {
		b.t.Fatal(err)
	}
	b.daemon = &exec.Cmd{Process: process}
}

// daemons are the processes that are daemons of the box.
func (b *box) daemons() []int {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\x00serve\x00--data\x00"+b.dir) && !strings.Contains(string(text), "\x00--check\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// counted is what the appliance says that was used.
func (b *box) counted() (requests, tokens int64) {
	b.t.Helper()
	var usage struct {
		Total struct {
			Requests         int64
			PromptTokens     int64 `json:"prompt_tokens"`
			CompletionTokens int64 `json:"completion_tokens"`
		}
	}
	b.into(&usage, "usage", "--since", "1d")
	return usage.Total.Requests, usage.Total.PromptTokens + usage.Total.CompletionTokens
}

// inFlight is how many requests the routes answer, those of earlier processes among them.
func inFlight(v serviceView) (n int) {
	for _, r := range v.Routes {
		n += r.InFlight
	}
	return n
}

// serviceManager hears what a daemon says to systemd.
type serviceManager struct {
	t     *testing.T
	heard chan string
}

func newServiceManager(t *testing.T, b *box) *serviceManager {
	t.Helper()
	path := filepath.Join(filepath.Dir(b.dir), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &serviceManager{t: t, heard: make(chan string, 100)}
	go func() {
		text := make([]byte, 4096)
		for {
			n, err := conn.Read(text)
			if err != nil {
				return
			}
			m.heard <- string(text[:n])
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	b.env = append(b.env, "NOTIFY_SOCKET="+path)
	return m
}

func (m *serviceManager) wait(word string) string {
	m.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case text := <-m.heard:
			if strings.Contains(text, word) {
				return text
			}
		case <-timeout:
			m.t.Fatalf("the service manager was not told %s", word)
		}
	}
}

// watchPort connects again and again, and tells for how long that did not work.
func (b *box) watchPort(t *testing.T) (refused func() time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan time.Duration, 1)
	go func() {
		var since time.Time
		var longest time.Duration
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
			switch {
			case err == nil:
				_ = conn.Close()
				if !since.IsZero() {
					longest = max(longest, time.Since(since))
				}
				since = time.Time{}
			case since.IsZero():
				since = time.Now()
			}
			<-tick.C
		}
		result <- longest
	}()
	return func() time.Duration { stop(); return <-result }
}
