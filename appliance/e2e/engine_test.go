package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// voices is a service whose every route says a sentence of its own: the model is made when the session
// starts, with the session's id in it.
const voices = `
models:
  - name: voices
    service:
      pre_start_actions:
        - action: run_command
          args:
            command: [/bin/sh, -c, '/models/mkhello -o /tmp/voice.gguf -name voice -mode MODE -answer "I am $BACKENDAI_SESSION_ID and this is my voice."']
      start_command: [llama-server, --model, /tmp/voice.gguf, --alias, "{model_name}", --host, 0.0.0.0, --port, "{ports[0]}",
        --ctx-size, "8192", --parallel, "8", --threads, "1", --threads-batch, "1", --metrics]
      port: 8000
      health_check: {path: /health, interval: 1, max_retries: 3, max_wait_time: 5, initial_delay: 30}
`

type routeView struct {
	ID, Status, Address, Reason string
	PID                         int
	InFlight                    int `json:"in_flight"`
}

type serviceView struct {
	ID, Name, Status   string
	Sentence           string `json:"reason"`
	Replicas, Failures int
	Routes             []routeView
}

// serve makes a service of voices and returns the token for it.
func (b *box) serve(name, mode string, routes int) (token string) {
	b.t.Helper()
	b.folder(name, strings.Replace(voices, "MODE", mode, 1), map[string]string{"mkhello": have.mkhello})
	b.run("service", "create", "host", name, fmt.Sprint(routes), "--name", name, "--wait")
	return b.run("service", "generate-token", name, "--duration", "1h", "-q")
}

func (b *box) service(name string) serviceView {
	b.t.Helper()
	var v serviceView
	b.into(&v, "service", "info", name)
	return v
}

func (b *box) routes(name string) []routeView {
	b.t.Helper()
	var views []routeView
	b.into(&views, "service", "routes", name)
	for i := range views {
		var session struct{ PID int }
		b.into(&session, "session", "info", views[i].ID)
		views[i].PID = session.PID
	}
	return views
}

// client is OpenAI's own for Go; it tries nothing twice.
func (b *box) client(token string) openai.Client {
	return openai.NewClient(option.WithBaseURL(b.url+"/v1"), option.WithAPIKey(token), option.WithMaxRetries(0))
}

// say streams one answer and returns it.
func say(ctx context.Context, c openai.Client, model string, maxTokens int64, onToken func()) (string, error) {
	stream := c.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Who are you?")},
		MaxTokens: openai.Int(maxTokens), Temperature: openai.Float(0),
	})
	defer stream.Close()
	var text strings.Builder
	finish := ""
	for stream.Next() {
		chunk := stream.Current()
		if len(chunk.Choices) == 0 {
			continue
		}
		if word := chunk.Choices[0].Delta.Content; word != "" {
			text.WriteString(word)
			if onToken != nil {
				onToken()
			}
		}
		if f := chunk.Choices[0].FinishReason; f != "" {
			finish = f
		}
	}
	if err := stream.Err(); err != nil {
		return text.String(), err
	}
	if finish == "" {
		return text.String(), fmt.Errorf("the stream ended without a finish reason after %q", text.String())
	}
	return text.String(), nil
}

// speaker is the session whose voice the text is.
func speaker(text string) string {
	_, rest, _ := strings.Cut(text, "I am ")
	id, _, _ := strings.Cut(rest, " ")
	return id
}

// post sends a body and returns what came back.
func (b *box) post(t *testing.T, path, token string, body io.Reader) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s %s: no JSON: %s", path, resp.Status, raw)
	}
	return resp.StatusCode, v
}
