package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// message is one of a conversation, as OpenAI's API has it.
type message struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// question is what is asked of a service.
type question struct {
	service     string
	messages    []message
	maxTokens   int
	temperature *float64
}

// reply is what came back.
type reply struct {
	Text      string  `json:"text"`
	Reasoning string  `json:"reasoning,omitempty"` // what it thought before, where its engine tells that apart
	Finish    string  `json:"finish,omitempty"`    // stop, length, ...; "" where it broke off
	Prompt    int     `json:"prompt_tokens,omitempty"`
	Tokens    int     `json:"tokens,omitempty"` // of the answer; where the engine does not count, the pieces that came
	First     float64 `json:"first_token,omitempty"`
	Took      float64 `json:"took"`
	Broken    bool    `json:"broken_off,omitempty"`
}

// apart is how long an answer must have come, in seconds, to tell its speed without the wait for the first token.
const apart = 0.02

// speed is tokens a second after the first one; of an answer that came all at once, over all the time.
func (r *reply) speed() float64 {
	switch {
	case r.Tokens < 2 || r.Took <= 0:
		return 0
	case r.Took-r.First < apart:
		return float64(r.Tokens) / r.Took
	}
	return float64(r.Tokens-1) / (r.Took - r.First)
}

// words are how fast it was, in a line.
func (r *reply) words() string {
	if r.Tokens == 0 {
		return "no answer"
	}
	text := plural(r.Tokens, "token") + " in " + brief(r.Took)
	if v := r.speed(); v > 0 {
		text += ", " + rate(v) + " tokens/s"
	}
	text += ", the first after " + brief(r.First)
	if r.Finish == "length" {
		text += "; it was cut off at its length"
	}
	if r.Broken {
		text += "; broken off"
	}
	return text
}

// piece is what comes in a stream: of the answer, or of the thoughts before it.
type piece struct {
	text    string
	thought bool
}

// visitor asks services for a person at the command line, with tokens that are made for it and taken away at the end.
type visitor struct {
	a      *app
	client *api.Client
	given  string // a token of the person's own; "": one is made

	mu     sync.Mutex
	tokens map[string]*visitorToken
}

type visitorToken struct {
	id, secret string
	made       time.Time
}

// Tokens of the command line are good for an hour, should the program be killed; a talk that goes on gets another one in time.
const (
	visitDuration = "1h"
	visitRenew    = 30 * time.Minute
)

// visit begins; leave ends it.
func (a *app) visit(given string) (*visitor, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	if given == "" {
		given = a.env("PALISADE_TOKEN")
	}
	return &visitor{a: a, client: c, given: given, tokens: map[string]*visitorToken{}}, nil
}

// leave takes the tokens away that were made. It does so though the person has interrupted the program.
func (v *visitor) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for service, t := range v.tokens {
		if err := v.client.RevokeToken(ctx, service, t.id); err != nil {
			v.a.notef("palisade: warning: token %s, which was made for this, is good for an hour still: %v", t.id, err)
		}
	}
}

// token opens a service.
func (v *visitor) token(ctx context.Context, service string) (string, error) {
	if v.given != "" {
		return v.given, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.tokens[service]
	if old != nil && v.a.now().Sub(old.made) < visitRenew {
		return old.secret, nil
	}
	issued, err := v.client.IssueToken(ctx, service, api.TokenCreate{Name: "command line", Duration: visitDuration})
	if err != nil {
		return "", err
	}
	v.tokens[service] = &visitorToken{issued.Token.ID, issued.Secret, v.a.now()}
	if old != nil {
		if err := v.client.RevokeToken(ctx, service, old.id); err != nil {
			return "", err
		}
	}
	return issued.Secret, nil
}

// ask asks, and hands over the answer as it comes. Where ctx ends, or the answer breaks off, what came until then is in the
// reply, with the error.
func (v *visitor) ask(ctx context.Context, q question, each func(piece)) (reply, error) {
	token, err := v.token(ctx, q.service)
	if err != nil {
		return reply{}, err
	}
	in := map[string]any{"model": q.service, "messages": q.messages, "stream": true, "stream_options": map[string]any{"include_usage": true}}
	if q.maxTokens > 0 {
		in["max_tokens"] = q.maxTokens
	}
	if q.temperature != nil {
		in["temperature"] = *q.temperature
	}
	begun := time.Now()
	body, err := v.client.Gateway(ctx, token, "/chat/completions", in)
	if err != nil {
		return reply{}, explainGateway(err, q.service)
	}
	defer body.Close()
	r := reader{since: func() float64 { return time.Since(begun).Seconds() }, each: each}
	err = r.read(body)
	r.out.Took = time.Since(begun).Seconds()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	r.out.Broken = err != nil
	return r.out, err
}

// explainGateway adds what to do about a refusal.
func explainGateway(err error, service string) error {
	g, ok := errors.AsType[*api.GatewayError](err)
	if !ok {
		return err
	}
	hint := ""
	switch {
	case g.Status == http.StatusUnauthorized || g.Status == http.StatusForbidden:
		hint = "leave --token and PALISADE_TOKEN out, and one is made for this"
	case g.Status == http.StatusNotFound || g.Status == http.StatusNotImplemented || g.Status == http.StatusMethodNotAllowed:
		hint = "it may be no model that chats; see: palisade service info " + service
	case g.Status == http.StatusServiceUnavailable || g.Status == http.StatusBadGateway:
		hint = "see what it is doing: palisade service info " + service
	case g.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(g.Message), "context"):
		hint = "the conversation is too long for the model: begin anew with /clear, or take the last away with /undo"
	}
	if hint == "" {
		return fmt.Errorf("%s: %w", service, err)
	}
	return &hinted{fmt.Errorf("%s: %w", service, err), hint}
}

// longestPiece bounds a line of a stream.
const longestPiece = 4 << 20

// reader reads a streamed answer.
type reader struct {
	since func() float64
	each  func(piece)
	out   reply
	ended bool
}

func (r *reader) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 8<<10), longestPiece)
	counted, pieces := false, 0
	for lines.Scan() {
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if data = bytes.TrimSpace(data); !isData || len(data) == 0 {
			continue
		}
		if string(data) == "[DONE]" {
			r.ended = true
			continue
		}
		var c struct {
			Choices []struct {
				Delta struct {
					Content          string `json:"content"`
					ReasoningContent string `json:"reasoning_content"`
					Reasoning        string `json:"reasoning"`
				} `json:"delta"`
				Finish string `json:"finish_reason"`
			} `json:"choices"`
			Usage *struct {
				Prompt int `json:"prompt_tokens"`
				Tokens int `json:"completion_tokens"`
			} `json:"usage"`
			Error *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		if c.Error != nil {
			return fmt.Errorf("the answer broke off: %s", c.Error.Message)
		}
		if c.Usage != nil && c.Usage.Tokens > 0 {
			r.out.Prompt, r.out.Tokens, counted = c.Usage.Prompt, c.Usage.Tokens, true
		}
		for _, choice := range c.Choices {
			pieces += r.take(piece{choice.Delta.ReasoningContent + choice.Delta.Reasoning, true}) + r.take(piece{choice.Delta.Content, false})
			if choice.Finish != "" {
				r.out.Finish, r.ended = choice.Finish, true
			}
		}
		if !counted {
			r.out.Tokens = pieces
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return fmt.Errorf("reading the answer: %w", err)
	case !r.ended:
		return errors.New("the answer broke off: its route ended in the middle")
	}
	return nil
}

// take takes in a piece, and counts it where there is something in it.
func (r *reader) take(p piece) int {
	if p.text == "" {
		return 0
	}
	if r.out.First == 0 {
		r.out.First = r.since()
	}
	if p.thought {
		r.out.Reasoning += p.text
	} else {
		r.out.Text += p.text
	}
	if r.each != nil {
		r.each(p)
	}
	return 1
}

// tame takes out of a model's words what a terminal would do something with: it may say anything.
func tame(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
