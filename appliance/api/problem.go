package api

import (
	"fmt"
	"net/http"
	"strings"
)

// ProblemType is the media type of a refusal (RFC 9457).
const ProblemType = "application/problem+json"

// The kinds of problems: Problem.Type is "urn:palisade:problem:" and one of these. Clients test the
// kind, never the text.
const (
	KindInvalid        = "invalid"       // 400: fields that are wrong are in Errors
	KindUnauthorized   = "unauthorized"  // 401
	KindCode           = "code-needed"   // 401: the password is right, and a code of the second factor is needed too
	KindForbidden      = "forbidden"     // 403
	KindPassword       = "password-due"  // 403: the password has to be changed first
	KindFactor         = "totp-needed"   // 403: a second factor has to be set up first
	KindNotFound       = "not-found"     // 404
	KindNoRoute        = "no-such-path"  // 404: the path itself is not part of the API
	KindMethod         = "method"        // 405
	KindExists         = "exists"        // 409
	KindConflict       = "conflict"      // 409: changed meanwhile
	KindState          = "state"         // 409: not in this state
	KindInUse          = "in-use"        // 409
	KindLicense        = "license"       // 409: a licence is to be accepted first
	KindFit            = "fit"           // 409: there is no room for it
	KindPrecondition   = "precondition"  // 412: If-Match does not match
	KindTooLarge       = "too-large"     // 413
	KindMediaType      = "media-type"    // 415
	KindRange          = "range"         // 416
	KindChecksum       = "checksum"      // 422: what arrived is not what was sent
	KindLocked         = "locked"        // 429: too many wrong tries; Retry-After says when the next may come
	KindInternal       = "internal"      // 500
	KindNotSupported   = "not-supported" // 501
	KindUnavailable    = "unavailable"   // 503
	KindStorageFull    = "storage-full"  // 507
	KindQuota          = "quota"         // 507: more than a folder or a project may hold
	KindLimit          = "limit"         // 409: more services or routes than a project or a person may have
	problemURN         = "urn:palisade:problem:"
	maxProblemBodySize = 1 << 20
)

// Problem says why a request was refused, and what to do about it. It is the body of every answer with
// a status of 400 and above, and the error that the client returns for one.
type Problem struct {
	Type      string       `json:"type"`             // urn:palisade:problem:KIND
	Title     string       `json:"title"`            // the kind in words; the same for every problem of a kind
	Status    int          `json:"status"`           // the HTTP status
	Detail    string       `json:"detail"`           // what is wrong with this request
	Hint      string       `json:"hint,omitempty"`   // what to do about it
	RequestID string       `json:"request_id"`       // the daemon's log has it too
	Errors    []FieldError `json:"errors,omitempty"` // one for each thing that is wrong with an input
}

// FieldError is one thing that is wrong with an input. Line and Column (1-based) say where in the request's
// body, or in File where one is named.
type FieldError struct {
	Field    string `json:"field,omitempty"` // replicas, mounts[0].target, models[0].service.port
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity,omitempty"` // "warning", else it is an error
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// NewProblem makes a problem of a kind; the title is the status in words.
func NewProblem(kind string, status int, format string, args ...any) *Problem {
	return &Problem{
		Type: problemURN + kind, Title: title(kind, status), Status: status,
		Detail: fmt.Sprintf(format, args...),
	}
}

func title(kind string, status int) string {
	switch kind {
	case KindInvalid:
		return "Invalid request"
	case KindExists:
		return "Exists already"
	case KindState:
		return "Not possible in this state"
	case KindConflict:
		return "Changed meanwhile"
	case KindInUse:
		return "In use"
	case KindLicense:
		return "Licence not accepted"
	case KindFit:
		return "It does not fit"
	case KindNoRoute:
		return "No such path"
	}
	return http.StatusText(status)
}

// Kind returns the last word of Type.
func (p *Problem) Kind() string { return strings.TrimPrefix(p.Type, problemURN) }

// Is lets errors.Is compare with a problem that has a Type alone: any of that kind.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Type == p.Type && t.Detail == ""
}

// KindError returns a value for errors.Is that stands for every problem of a kind.
func KindError(kind string) error { return &Problem{Type: problemURN + kind} }

// Error returns the detail, then each wrong field on a line of its own.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	if p.Detail == "" {
		b.WriteString(strings.ToLower(p.Title))
	}
	for _, e := range p.Errors {
		b.WriteString("\n  " + e.String())
	}
	return b.String()
}

// HintText is what to do about it; "" where the daemon had no advice.
func (p *Problem) HintText() string { return p.Hint }

// String prints "file:line:column: field: message (hint)".
func (e FieldError) String() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Severity == "warning" {
		b.WriteString("warning: ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}
