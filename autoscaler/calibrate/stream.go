package calibrate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// usage is how an engine counts tokens.
type usage struct {
	Prompt  int `json:"prompt_tokens"`
	Made    int `json:"completion_tokens"`
	Details *struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// into takes over what was counted. What is not plausible is not believed.
func (u *usage) into(a *answer) {
	if u == nil || u.Prompt < 0 || u.Made < 0 {
		return
	}
	a.Prompt, a.Made = u.Prompt, u.Made
	if u.Details != nil && u.Details.Cached > 0 && u.Details.Cached <= u.Prompt {
		a.Prompt -= u.Details.Cached
	}
}

// chunk is a piece of a streamed answer, of chat or completions.
type chunk struct {
	Choices []struct {
		Text  string `json:"text"`
		Delta struct {
			Content          string          `json:"content"`
			ReasoningContent string          `json:"reasoning_content"`
			Reasoning        string          `json:"reasoning"`
			ToolCalls        json.RawMessage `json:"tool_calls"`
		} `json:"delta"`
	} `json:"choices"`
	Usage *usage          `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// says tells whether there is something of an answer in it.
func (c *chunk) says() bool {
	for i := range c.Choices {
		d := &c.Choices[i].Delta
		calls := len(d.ToolCalls) > 0 && string(d.ToolCalls) != "null"
		if c.Choices[i].Text != "" || d.Content != "" || d.ReasoningContent != "" || d.Reasoning != "" || calls {
			return true
		}
	}
	return false
}

// longestLine bounds a line of a stream, and longestAnswer an answer that comes as a whole.
const (
	longestLine   = 1 << 20
	longestAnswer = 64 << 20
)

// stream reads a streamed answer; since is how long ago the request was sent.
func (a *answer) stream(r io.Reader, since func() time.Duration, made func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 8<<10), longestLine)
	ended := false
	for lines.Scan() {
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		data = bytes.TrimSpace(data)
		switch {
		case !isData || len(data) == 0:
			continue
		case string(data) == "[DONE]":
			ended = true
			continue
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("reading the engine's stream: %w", err)
		}
		if len(c.Error) > 0 && string(c.Error) != "null" {
			return fmt.Errorf("the engine broke off: %s", bytes.TrimSpace(c.Error[:min(len(c.Error), 300)]))
		}
		c.Usage.into(a)
		if !c.says() {
			continue
		}
		if a.Chunks++; a.Chunks == 1 {
			a.First = since()
		}
		if made != nil {
			made()
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the engine's stream: %w", err)
	}
	if !ended && a.Chunks == 0 {
		return errors.New("the engine's stream ended before it began")
	}
	return nil
}

// whole reads an answer that comes in one piece.
func (a *answer) whole(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, longestAnswer))
	if err != nil {
		return fmt.Errorf("reading the engine's answer: %w", err)
	}
	var said struct {
		Usage *usage `json:"usage"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return fmt.Errorf("reading the engine's answer: %w", err)
	}
	said.Usage.into(a)
	return nil
}
