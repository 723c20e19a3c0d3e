package router

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Refusal is an answer that the router gives itself. Type, Code and Param are OpenAI's words.
type Refusal struct {
	Status     int
	Type       string
	Code       string // "" is null
	Param      string // "" is null
	Message    string
	RetryAfter time.Duration // 0: none
	eta        time.Duration // when a route is expected to answer; 0: not known
	hopeless   bool          // another try soon is in vain: clients of OpenAI are told not to
	allow      string        // methods, where Status is 405
	reason     string        // for counters, one of few; "" is Code
}

func (f *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", f.Status, f.Code, f.Message) }

// The types of OpenAI's errors.
const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
)

func badRequest(param, code, message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Type: invalidRequest, Code: code, Param: param, Message: message}
}

func unavailable(code, message string, after time.Duration) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Type: serverError, Code: code, Message: message, RetryAfter: after}
}

// shape of an error's body.
type shape int

const (
	openAI    shape = iota
	anthropic       // on /v1/messages and below
)

// shapeOf is what clients of an engine's path expect errors to look like.
func shapeOf(path string) shape {
	if path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") {
		return anthropic
	}
	return openAI
}

// anthropicTypes are Anthropic's names by status; others are api_error.
var anthropicTypes = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
	405: "invalid_request_error", 408: "timeout_error", 413: "request_too_large", 415: "invalid_request_error",
	429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}

// body is the JSON of the error, without a newline.
func (f *Refusal) body(s shape) []byte {
	var v any
	if s == anthropic {
		type inner struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		}
		kind := anthropicTypes[f.Status]
		if kind == "" {
			kind = "api_error"
		}
		v = struct {
			Type  string `json:"type"`
			Error inner  `json:"error"`
		}{"error", inner{kind, f.Message}}
	} else {
		type inner struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    *string `json:"code"`
		}
		v = struct {
			Error inner `json:"error"`
		}{inner{f.Message, f.Type, orNull(f.Param), orNull(f.Code)}}
	}
	b, err := json.Marshal(v)
	if err != nil { // strings always marshal
		return []byte(`{"error":{"message":"internal error","type":"server_error","param":null,"code":null}}`)
	}
	return b
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// event is the error as the last event of a stream that has begun. It ends the line and the event that
// the engine may have left open.
func (f *Refusal) event(s shape) []byte {
	name := ""
	if s == anthropic {
		name = "event: error\n"
	}
	return fmt.Appendf(nil, "\n\n%sdata: %s\n\n", name, f.body(s))
}

// etaHeader tells in how many seconds a route is expected to answer.
const etaHeader = "X-Palisade-Eta"

// header is a line of an answer's head.
type header struct{ name, value string }

// headers are what the answer says besides its body.
func (f *Refusal) headers() []header {
	h := []header{{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}}
	if f.RetryAfter > 0 {
		h = append(h, header{"Retry-After", strconv.Itoa(int((f.RetryAfter + time.Second - 1) / time.Second))})
	}
	if f.eta > 0 {
		h = append(h, header{etaHeader, strconv.Itoa(seconds(f.eta))})
	}
	if f.Status == http.StatusUnauthorized {
		h = append(h, header{"WWW-Authenticate", `Bearer realm="palisade"`})
	}
	if f.hopeless {
		h = append(h, header{"X-Should-Retry", "false"})
	}
	if f.allow != "" {
		h = append(h, header{"Allow", f.allow})
	}
	return h
}
