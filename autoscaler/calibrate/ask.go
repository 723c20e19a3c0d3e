package calibrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// engine is the engine of one route, and how it is asked.
type engine struct {
	http  *http.Client
	url   string // http://host:port
	model string
	api   API
	plain bool // it refuses what is not in every engine: counts in streams, and to go on after an answer's end
}

// answer is what came of one request.
type answer struct {
	First  time.Duration // to the first token; 0: none came
	Took   time.Duration
	Prompt int // tokens that were read, without those that a cache had; 0: the engine does not tell
	Made   int // tokens that were made, as the engine counts them; 0: it does not tell
	Chunks int // pieces that came
}

// refusal is an answer that is none of a model.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the engine answered %d: %s", r.status, r.text)
}

// askTimeout bounds a request's way to its first byte: a long prompt on a slow device takes a while.
const askTimeout = 2 * time.Minute

func newEngine(client *http.Client, t Target) *engine {
	return &engine{url: t.URL, model: t.Model, api: APIChat, http: client}
}

// NewClient makes what engines are asked with: no proxy, no redirects, a connection for each request at once.
func NewClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: MostAtOnce, IdleConnTimeout: 10 * time.Second, ResponseHeaderTimeout: askTimeout, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (e *engine) close() { e.http.CloseIdleConnections() }

// body is a request as the engine's API has it. Where it may, it goes on after the answer's end until all tokens are made:
// what is measured must not depend on what the model says.
func (e *engine) body(prompt string, tokens int) (path string, body map[string]any) {
	body = map[string]any{"model": e.model}
	switch e.api {
	case APIEmbeddings:
		body["input"] = prompt
		return "/v1/embeddings", body
	case APICompletions:
		path = "/v1/completions"
		body["prompt"] = prompt
	default:
		path = "/v1/chat/completions"
		body["messages"] = []any{map[string]any{"role": "user", "content": prompt}}
	}
	body["max_tokens"], body["stream"] = tokens, true
	if !e.plain {
		body["stream_options"] = map[string]any{"include_usage": true}
		body["ignore_eos"] = true
	}
	return path, body
}

// ask sends one request and reads the answer. made, which may be nil, is told of every piece as it comes. What came before an
// error is in the answer.
func (e *engine) ask(ctx context.Context, prompt string, tokens int, made func()) (answer, error) {
	path, body := e.body(prompt, tokens)
	raw, err := json.Marshal(body)
	if err != nil {
		return answer{}, fmt.Errorf("encoding a request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, bytes.NewReader(raw))
	if err != nil {
		return answer{}, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// Engines end connections as they like: a request that meets its end is sent anew. Nothing of this goes over the wire.
	req.Header["Idempotency-Key"] = []string{}
	begun := time.Now()
	resp, err := e.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return answer{}, cause
		}
		return answer{}, fmt.Errorf("asking the engine: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answer{}, refused(resp)
	}
	var a answer
	if e.api == APIEmbeddings {
		err = a.whole(resp.Body)
	} else {
		err = a.stream(resp.Body, func() time.Duration { return time.Since(begun) }, made)
	}
	a.Took = time.Since(begun)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return a, err
}

// refused reads why an engine did not answer, in a line.
func refused(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what came of it says enough
	var said struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	text := strings.TrimSpace(string(raw))
	if json.Unmarshal(raw, &said) == nil {
		var inner struct {
			Message string `json:"message"`
		}
		var plain string
		switch {
		case json.Unmarshal(said.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case json.Unmarshal(said.Error, &plain) == nil && plain != "":
			text = plain
		case said.Message != "":
			text = said.Message
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "..."
	}
	return &refusal{resp.StatusCode, text}
}

// findAPI finds out how the engine is to be asked, and has it warm. In order:
//  1. Chat, then completions, then embeddings: what is not there (404, 405, 501) is passed over.
//  2. Each first with all that helps to measure, then without what not all engines have.
//  3. One that is busy or still starts (429, 503) is asked again until ctx ends.
func (e *engine) findAPI(ctx context.Context) error {
	var last error
	for _, api := range []API{APIChat, APICompletions, APIEmbeddings} {
		for _, plain := range []bool{false, true} {
			e.api, e.plain = api, plain
			_, err := e.insist(ctx, "Hello", 4)
			if err == nil {
				return nil
			}
			no, isRefusal := errors.AsType[*refusal](err)
			if !isRefusal {
				return err
			}
			if no.status == http.StatusUnauthorized || no.status == http.StatusForbidden {
				return fmt.Errorf("%w; an engine behind the appliance needs no key of its own", err)
			}
			if last == nil || no.status != http.StatusNotFound {
				last = err
			}
			if absent(no.status) || api == APIEmbeddings {
				break
			}
		}
	}
	return fmt.Errorf("it answers neither chat nor completions nor embeddings: %w: %w", ErrNoTokens, last)
}

func absent(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

// againAfter is how long one waits before an engine that is busy is asked again.
const againAfter = 500 * time.Millisecond

// insist is ask that waits for an engine that is busy.
func (e *engine) insist(ctx context.Context, prompt string, tokens int) (answer, error) {
	for {
		a, err := e.ask(ctx, prompt, tokens, nil)
		no, isRefusal := errors.AsType[*refusal](err)
		if !isRefusal || no.status != http.StatusServiceUnavailable && no.status != http.StatusTooManyRequests {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(againAfter):
		}
	}
}
