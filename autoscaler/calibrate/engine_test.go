package calibrate_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

// engine is a model server as calibrations meet them: so many places, a time for each token that is read and made. Its time
// is the bubble's.
type engine struct {
	places  int
	reading time.Duration // a token of a prompt
	making  time.Duration // a token of an answer
	window  int           // tokens of a prompt at most; 0: any
	refuses int           // with 429, who would be more than that at once; 0: nobody
	breaks  int           // with 500, likewise
	apis    string        // the paths that it has, without /v1/: "chat/completions"; several with a space between
	strict  bool          // what OpenAI does not have is an error
	silent  bool          // it never answers
	status  int           // of every answer; 0: as it comes

	mu     sync.Mutex
	inside int // requests now
	most   int
	all    int
	free   chan struct{}
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.status != 0 || !strings.Contains(" "+e.apis+" ", " "+strings.TrimPrefix(r.URL.Path, "/v1/")+" ") {
		http.Error(w, `{"error":{"message":"no such thing"}}`, cmp.Or(e.status, http.StatusNotFound))
		return
	}
	var in struct {
		Messages []struct{ Content string }
		Prompt   string
		Input    string
		Max      int  `json:"max_tokens"`
		Ignore   bool `json:"ignore_eos"`
		Options  any  `json:"stream_options"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if e.strict && (in.Ignore || in.Options != nil) {
		http.Error(w, `{"error":{"message":"Unrecognized request argument supplied: ignore_eos"}}`, http.StatusBadRequest)
		return
	}
	prompt := in.Prompt + in.Input
	for _, m := range in.Messages {
		prompt += m.Content
	}
	read := len(strings.Fields(prompt))
	if e.window > 0 && read > e.window {
		http.Error(w, `{"error":{"message":"the prompt is too long"}}`, http.StatusBadRequest)
		return
	}
	if !e.enter(w) {
		return
	}
	defer e.leave()
	e.answer(r.Context(), w, read, in.Max, in.Options != nil)
}

func (e *engine) enter(w http.ResponseWriter) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.refuses > 0 && e.inside >= e.refuses:
		http.Error(w, "enough", http.StatusTooManyRequests)
		return false
	case e.breaks > 0 && e.inside >= e.breaks:
		http.Error(w, `{"error":{"message":"out of memory"}}`, http.StatusInternalServerError)
		return false
	}
	e.inside++
	e.all++
	e.most = max(e.most, e.inside)
	return true
}

func (e *engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inside--
}

func (e *engine) now() (inside, all int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.inside, e.all
}

// sleep waits; it is false where the client has gone.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (e *engine) answer(ctx context.Context, w http.ResponseWriter, read, made int, counts bool) {
	if e.silent {
		<-ctx.Done()
		return
	}
	select {
	case e.free <- struct{}{}:
		defer func() { <-e.free }()
	case <-ctx.Done():
		return
	}
	if !sleep(ctx, time.Duration(read)*e.reading) {
		return
	}
	if strings.Contains(e.apis, "embeddings") {
		fmt.Fprintf(w, `{"data":[],"usage":{"prompt_tokens":%d}}`, read)
		return
	}
	flush := http.NewResponseController(w)
	for range made {
		if !sleep(ctx, e.making) {
			return
		}
		fmt.Fprint(w, `data: {"choices":[{"text":"w","delta":{"content":"w"}}]}`+"\n\n")
		_ = flush.Flush()
	}
	if counts {
		fmt.Fprintf(w, `data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`+"\n\n", read, made)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	made chan net.Conn
	once sync.Once
	shut chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.shut:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.shut) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.made <- theirs:
		return ours, nil
	case <-p.shut:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// house is a world of one engine for all services, and a store.
type house struct {
	mu     sync.Mutex
	asked  int
	missed error // of Target
	saved  []calibrate.Calibration
	away   error // of the store
}

func (h *house) Target(_ context.Context, id string) (calibrate.Target, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return calibrate.Target{
		ServiceID: id, Service: "chat", Project: "default", Revision: 3, Route: "ses-1", URL: "http://engine", Model: "chat", Device: "NVIDIA H200",
		Load: 10 * time.Second, Weights: 20e9, Claimed: 40e9,
	}, h.missed
}

func (h *house) Asked(string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func (h *house) set(asked int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = asked
}

func (h *house) Memory(context.Context, string) (device, box int64) { return 30e9, 2e9 }

func (h *house) SaveCalibration(_ context.Context, c calibrate.Calibration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saved = append(h.saved, c)
	return h.away
}

func (h *house) Calibrations(context.Context) ([]calibrate.Calibration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.saved, nil
}

// open starts the engine and a keeper in the test's bubble; the answer ends both.
func (h *house) open(t *testing.T, e *engine) (k *calibrate.Keeper, end func()) {
	t.Helper()
	e.free = make(chan struct{}, max(e.places, 1))
	listener := &pipes{made: make(chan net.Conn), shut: make(chan struct{})}
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{DialContext: listener.dial, MaxIdleConnsPerHost: 1000}}
	k, err := calibrate.NewKeeper(t.Context(), calibrate.Around{World: h, Store: h, Client: client, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { k.Run(ctx) })
	return k, func() {
		cancel()
		loop.Wait()
		client.CloseIdleConnections()
		_ = server.Close()
	}
}
