package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/coder/websocket"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// tokens are numbers as an engine gives them.
type tokens struct{ Requests, Prompt, Completion, Cached int64 }

func (t *tokens) add(prompt, completion, cached int64) {
	t.Requests++
	t.Prompt += prompt
	t.Completion += completion
	t.Cached += cached
}

// TestUsageConformance asks the real engine in every way that it answers, with the real clients: streams tell what
// they used to whoever asks for it, to nobody else, and what `palisade usage` shows are the engine's numbers.
func TestUsageConformance(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("voices", "recite", 1)
	client := b.client(token)
	// One prompt for all: what it takes is known from answers that tell.
	question := openai.ChatCompletionNewParams{
		Model: "voices", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Who are you?")}, Temperature: openai.Float(0),
	}
	var used tokens
	whole, err := client.Chat.Completions.New(t.Context(), question)
	if err != nil || whole.Usage.CompletionTokens == 0 {
		t.Fatal(whole, err)
	}
	one := whole.Usage
	used.add(one.PromptTokens, one.CompletionTokens, one.PromptTokensDetails.CachedTokens)

	t.Run("the Go client", func(t *testing.T) {
		for _, asks := range []bool{false, true} {
			params := question
			if asks {
				params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
			}
			stream := client.Chat.Completions.NewStreaming(t.Context(), params)
			odd, got, text := 0, openai.CompletionUsage{}, ""
			for stream.Next() {
				chunk := stream.Current()
				if len(chunk.Choices) == 0 || chunk.JSON.Usage.Valid() {
					odd++
					got = chunk.Usage
				}
				for _, c := range chunk.Choices {
					text += c.Delta.Content
				}
			}
			if err := stream.Err(); err != nil || text != whole.Choices[0].Message.Content {
				t.Fatalf("%q %v", text, err)
			}
			if asks && (odd != 1 || got.PromptTokens != one.PromptTokens || got.CompletionTokens != one.CompletionTokens) || !asks && odd != 0 {
				t.Errorf("asks %v: %d chunks of usage, %+v; want %+v", asks, odd, got, one)
			}
			// The engine has the prompt from the answer before, but for its last token.
			used.add(one.PromptTokens, one.CompletionTokens, one.PromptTokens-1)
		}
	})
	t.Run("the Node client", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "node", "testdata/usage.mjs", "voices")
		cmd.Env = append(cmd.Environ(), "BASE="+b.url+"/v1", "KEY="+token, "OPENAI="+have.openai)
		out, err := cmd.CombinedOutput()
		want := fmt.Sprintf("0 0 0\n0 0 0\n1 %d %d\n", one.PromptTokens, one.CompletionTokens)
		if err != nil || string(out) != want {
			t.Fatalf("%v\n%s\nwant\n%s", err, out, want)
		}
		for range 3 {
			used.add(one.PromptTokens, one.CompletionTokens, one.PromptTokens-1)
		}
	})
	t.Run("completions, responses", func(t *testing.T) {
		c, err := client.Completions.New(t.Context(), openai.CompletionNewParams{Model: "voices", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Who")}, MaxTokens: openai.Int(3)})
		if err != nil || c.Usage.PromptTokens == 0 {
			t.Fatal(c, err)
		}
		used.add(c.Usage.PromptTokens, c.Usage.CompletionTokens, c.Usage.PromptTokensDetails.CachedTokens)
		r, err := client.Responses.New(t.Context(), responses.ResponseNewParams{Model: "voices", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Who are you?")}})
		if err != nil || r.OutputText() != whole.Choices[0].Message.Content {
			t.Fatal(r.OutputText(), err)
		}
		used.add(r.Usage.InputTokens, r.Usage.OutputTokens, r.Usage.InputTokensDetails.CachedTokens)
		stream := client.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{Model: "voices", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Who are you?")}})
		done := false
		for stream.Next() {
			if e := stream.Current(); e.Type == "response.completed" {
				done = true
				u := e.Response.Usage
				used.add(u.InputTokens, u.OutputTokens, u.InputTokensDetails.CachedTokens)
			}
		}
		if err := stream.Err(); err != nil || !done {
			t.Errorf("done %v, %v", done, err)
		}
	})
	t.Run("the Anthropic client", func(t *testing.T) { b.messages(t, token, whole.Choices[0].Message.Content, &used) })
	t.Run("palisade usage", func(t *testing.T) {
		if err := eventually(soon, func() error {
			var v struct {
				Total struct {
					Requests   int64 `json:"requests"`
					Prompt     int64 `json:"prompt_tokens"`
					Completion int64 `json:"completion_tokens"`
					Cached     int64 `json:"cached_tokens"`
					Estimated  int64 `json:"estimated_tokens"`
				} `json:"total"`
			}
			b.into(&v, "usage", "--service", "voices", "--by", "model,token")
			got := tokens{v.Total.Requests, v.Total.Prompt, v.Total.Completion, v.Total.Cached}
			if got != used || v.Total.Estimated != 0 {
				return fmt.Errorf("shows %+v, and the engine said %+v", v.Total, used)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	t.Run("models", func(t *testing.T) {
		if m, err := client.Models.Get(t.Context(), "voices"); err != nil || m.ID != "voices" {
			t.Error(m, err)
		}
		if _, err := client.Models.Get(t.Context(), "org/none"); !isStatus(err, 404) {
			t.Error(err)
		}
	})
	t.Run("the engine's own", func(t *testing.T) {
		for path, body := range map[string]string{"/tokenize": `{"content":"Who"}`, "/v1/messages/count_tokens": `{"model":"voices","messages":[{"role":"user","content":"hi"}]}`} {
			if status, v := b.post(t, "/services/voices"+path, token, strings.NewReader(body)); status != 200 || len(v) == 0 {
				t.Errorf("%s: %d %v", path, status, v)
			}
		}
		if status, v := b.post(t, "/services/voices/detokenize", token, strings.NewReader(`{"tokens":[1,2]}`)); status != 200 || v["content"] == nil {
			t.Errorf("detokenize: %d %v", status, v)
		}
	})
}

// messages asks with Anthropic's own client.
func (b *box) messages(t *testing.T, token, want string, used *tokens) {
	t.Helper()
	ask := anthropic.MessageNewParams{Model: "voices", MaxTokens: 50, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Who are you?"))}}
	options := []anthropicoption.RequestOption{anthropicoption.WithBaseURL(b.url), anthropicoption.WithMaxRetries(0)}
	client := anthropic.NewClient(append(options, anthropicoption.WithAPIKey(token))...)
	m, err := client.Messages.New(t.Context(), ask)
	if err != nil || len(m.Content) != 1 || m.Content[0].Text != want {
		t.Fatalf("%+v %v", m, err)
	}
	used.add(m.Usage.InputTokens+m.Usage.CacheReadInputTokens, m.Usage.OutputTokens, m.Usage.CacheReadInputTokens)

	stream := client.Messages.NewStreaming(t.Context(), ask)
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil || len(all.Content) != 1 || all.Content[0].Text != want || all.StopReason != "end_turn" {
		t.Fatalf("%+v %v", all, err)
	}
	used.add(all.Usage.InputTokens+all.Usage.CacheReadInputTokens, all.Usage.OutputTokens, all.Usage.CacheReadInputTokens)

	// Its errors are those of the API: the client knows them by their status and their type.
	ask.Model = "nobody"
	var e *anthropic.Error
	if _, err := client.Messages.New(t.Context(), ask); !errors.As(err, &e) || e.StatusCode != http.StatusNotFound || !strings.Contains(e.RawJSON(), `"not_found_error"`) {
		t.Error(err)
	}
	stranger := anthropic.NewClient(append(options, anthropicoption.WithAuthToken("pal-x"))...)
	if _, err := stranger.Messages.New(t.Context(), ask); !errors.As(err, &e) || e.StatusCode != http.StatusUnauthorized || !strings.Contains(e.RawJSON(), `"authentication_error"`) {
		t.Error(err)
	}
}

// polyglot is a service of an engine that offers every route, and its token.
func (b *box) polyglot() (token string) {
	b.t.Helper()
	root, err := moduleRoot()
	if err != nil {
		b.t.Fatal(err)
	}
	binary := filepath.Join(filepath.Dir(have.palisade), "polyglot")
	if _, err := output(root, "go", "build", "-o", binary, "./appliance/e2e/testdata/polyglot"); err != nil {
		b.t.Fatal(err)
	}
	b.folder("polyglot", `
models:
  - name: polyglot
    service:
      start_command: [/models/polyglot, "{ports[0]}"]
      port: 8000
      health_check: {path: /health, interval: 0.2, max_retries: 2, max_wait_time: 1, initial_delay: 5}
`, map[string]string{"polyglot": binary})
	b.run("service", "create", "host", "polyglot", "1", "--name", "polyglot", "--wait")
	return b.run("service", "generate-token", "polyglot", "--duration", "1h", "-q")
}

// TestEveryRouteConformance uses what engines offer beside chat, through the daemon as it is.
func TestEveryRouteConformance(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.polyglot()
	client := b.client(token)
	file := bytes.Repeat([]byte("\r\n--wave\x00\xff"), 50<<20/10)
	sum := fmt.Sprintf("%x", sha256.Sum256(file))
	upload := func() io.Reader { return openai.File(bytes.NewReader(file), "speech.wav", "audio/wav") }

	t.Run("audio", func(t *testing.T) {
		got, err := client.Audio.Transcriptions.New(t.Context(), openai.AudioTranscriptionNewParams{Model: "polyglot", File: upload()})
		if want := fmt.Sprintf("speech.wav %d %s", len(file), sum); err != nil || got.AsTranscription().Text != want {
			t.Errorf("%v %v, want %s", got, err, want)
		}
		res, err := client.Audio.Speech.New(t.Context(), openai.AudioSpeechNewParams{Model: "polyglot", Input: "hello", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if wave, err := io.ReadAll(res.Body); err != nil || len(wave) != 64_000 || res.Header.Get("Content-Type") != "audio/wav" {
			t.Errorf("%d bytes of %s, %v", len(wave), res.Header.Get("Content-Type"), err)
		}
	})
	t.Run("images", func(t *testing.T) {
		got, err := client.Images.Edit(t.Context(), openai.ImageEditParams{Model: "polyglot", Prompt: "more", Image: openai.ImageEditParamsImageUnion{OfFile: upload()}})
		if err != nil || len(got.Data) != 1 || got.Data[0].B64JSON != sum {
			t.Errorf("%v %v", got, err)
		}
	})
	t.Run("embeddings", func(t *testing.T) {
		got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "polyglot", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}, EncodingFormat: "float"})
		if err != nil || len(got.Data) != 1 || len(got.Data[0].Embedding) != 2 || got.Usage.PromptTokens != 3 {
			t.Errorf("%v %v", got, err)
		}
	})
	t.Run("rerank", func(t *testing.T) {
		if status, v := b.post(t, "/v1/rerank", token, strings.NewReader(`{"query":"x","documents":["y"],"model":"polyglot"}`)); status != 200 || v["results"] == nil {
			t.Errorf("%d %v", status, v)
		}
	})
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("any path, HTTP/2 %v", http2), func(t *testing.T) { b.anyPath(t, token, http2) })
	}
	t.Run("realtime", func(t *testing.T) {
		for _, path := range []string{"/v1/realtime?model=polyglot", "/services/polyglot/v1/realtime"} {
			conn, _, err := websocket.Dial(t.Context(), b.url+path, &websocket.DialOptions{Subprotocols: []string{"realtime"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"a", strings.Repeat("b", 20_000)} {
				if err := conn.Write(t.Context(), websocket.MessageText, []byte(word)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(t.Context()); err != nil || string(got) != word || conn.Subprotocol() != "realtime" {
					t.Errorf("%s: %.20q %v", path, got, err)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("gRPC", func(t *testing.T) { b.talk(t, token) })
}

// anyPath asks for what no API names, with a body that does.
func (b *box) anyPath(t *testing.T, token string, http2 bool) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	defer transport.CloseIdleConnections()
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
		for _, body := range []string{"", "small", strings.Repeat("large", 1<<20)} {
			req, err := http.NewRequestWithContext(t.Context(), method, b.url+"/services/polyglot/a%2Fb/c?d=e&f", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Api-Key", token)
			req.Header.Set("X-Request-Id", "id-7")
			req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", method, len(body), err)
			}
			var got struct {
				Method, URI, Sum, Request, Trace, Token string
				Bytes                                   int
			}
			err = json.NewDecoder(res.Body).Decode(&got)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK || got.Method != method || got.URI != "/a%2Fb/c?d=e&f" || got.Bytes != len(body) || got.Sum != fmt.Sprintf("%x", sha256.Sum256([]byte(body))) ||
				got.Request != "id-7" || res.Header.Get("X-Request-Id") != "id-7" || !strings.HasPrefix(got.Trace, "00-0af7651916cd43dd8448eb211c80319c-") || got.Token != "" || (res.ProtoMajor == 2) != http2 {
				t.Errorf("%s, %d bytes: %s %s %v %+v", method, len(body), res.Proto, res.Status, err, got)
			}
		}
	}
}

// talk calls the engine by gRPC: by the one service of the token, by name, and by the service's own path.
func (b *box) talk(t *testing.T, token string) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(b.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	desc := &grpc.StreamDesc{StreamName: "Talk", ServerStreams: true, ClientStreams: true}
	for _, c := range []struct{ prefix, token, model string }{{"", token, ""}, {"", token, "polyglot"}, {"/services/polyglot", token, ""}} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.token, "mine", "yes")
		if c.model != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-palisade-model", c.model)
		}
		s, err := conn.NewStream(ctx, desc, c.prefix+"/polyglot.Engine/Talk")
		if err != nil {
			t.Fatal(err)
		}
		var out wrapperspb.StringValue
		for i := range 20 {
			if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(&out); err != nil || out.Value != fmt.Sprintf("you said %d", i) {
				t.Fatalf("%q %v", out.Value, err)
			}
		}
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&out); !errors.Is(err, io.EOF) || s.Trailer().Get("mine")[0] != "yes" || s.Trailer().Get("had-token")[0] != "false" {
			t.Errorf("%v %v", err, s.Trailer())
		}
	}
	for want, ctx := range map[codes.Code]context.Context{
		codes.Unauthenticated: t.Context(),
		codes.NotFound:        metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "x-palisade-model", "nobody"),
	} {
		var out wrapperspb.StringValue
		if err := conn.Invoke(ctx, "/polyglot.Engine/Talk", wrapperspb.String("x"), &out); status.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}
