package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// GatewayError is a refusal of the gateway, or of the engine behind it, as OpenAI's API writes it.
type GatewayError struct {
	Status  int
	Code    string // "model_not_found"; "" where none was said
	Message string
}

func (e *GatewayError) Error() string { return e.Message }

// Gateway posts JSON to the gateway of the appliance, as its users do: path is below /v1, and token one of a service's. The
// caller reads and closes the body of a good answer; others are a *GatewayError.
func (c *Client) Gateway(ctx context.Context, token, path string, in any) (io.ReadCloser, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, &ConnectError{Host: c.host, Err: err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, readGatewayError(resp)
}

func readGatewayError(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblemBodySize)) // what came of it says enough
	var said struct {
		Error struct {
			Message string          `json:"message"`
			Code    json.RawMessage `json:"code"` // of OpenAI a word; of some engines a number
		} `json:"error"`
	}
	out := &GatewayError{Status: resp.StatusCode}
	if json.Unmarshal(raw, &said) == nil && said.Error.Message != "" {
		out.Message = said.Error.Message
		_ = json.Unmarshal(said.Error.Code, &out.Code)
		return out
	}
	text := strings.TrimSpace(string(raw))
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	out.Message = "answered " + resp.Status + ": " + text
	return out
}
