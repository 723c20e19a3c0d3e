package router

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/router/scan"
)

// replayLimit is up to which size a body is read wholly before it is passed on: checked to its end,
// written with the head in one go, and sent again where a route did not take it.
const replayLimit = 1 << 20

// body is a request's body as engines get it: what was read of it to find the model, and the rest.
type body struct {
	prefix  []byte
	rest    io.Reader // nil: prefix is all
	length  int64     // -1: not known
	touched atomic.Bool
	closed  atomic.Bool
	failed  atomic.Pointer[error] // what reading from the client ended with, unless its end
}

// replayable tells whether nothing that is not kept was read.
func (b *body) replayable() bool { return b.rest == nil || !b.touched.Load() }

// Read reads from the rest. Closing is not passed on: the server owns the client's body, and a route
// that could not be reached must not close it for the next.
func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.touched.Store(true)
	n, err := b.rest.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.Store(&err)
	}
	return n, err
}

// close keeps a transport that is late from reading after the handler returned.
func (b *body) close() { b.closed.Store(true) }

// clientError is what the client did wrong with its body, nil where it did not.
func (b *body) clientError() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// patient reads with a bound on each wait. Where the connection cannot be told, there is none.
type patient struct {
	io.Reader
	control *http.ResponseController
	wait    time.Duration
}

func (p patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(p.wait))
	n, err := p.Reader.Read(b)
	// From the end on the server watches the connection, and that may take as long as the answer. After
	// another error it would wait for the rest of the body before it lets the refusal out.
	if errors.Is(err, io.EOF) {
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// intake reads bodies to find their model, within bounds.
type intake struct {
	from   io.Reader
	length int64 // of the whole body; -1: not known
	limit  int64
	grow   func(n int64) bool // asks for so much more memory
	held   []byte
	untold bool // more has not given held yet
	ended  bool
}

// errors of intake.
var (
	errTooMuch  = errors.New("no model within the part of the body that is looked through")
	errNoMemory = errors.New("too many bodies are being read")
)

// more reads on, at most to the limit, and gives what came. io.EOF comes alone, once all is read.
func (in *intake) more() ([]byte, error) {
	if in.untold {
		in.untold = false
		return in.held, nil
	}
	if in.ended {
		return nil, io.EOF
	}
	if int64(len(in.held)) >= in.limit {
		return nil, errTooMuch
	}
	if len(in.held) == cap(in.held) {
		if err := in.enlarge(); err != nil {
			return nil, err
		}
	}
	from := len(in.held)
	n, err := in.from.Read(in.held[from:cap(in.held)])
	in.held = in.held[:from+n]
	if errors.Is(err, io.EOF) {
		in.ended = true
		if err = nil; n == 0 {
			err = io.EOF
		}
	}
	return in.held[from:], err
}

// enlarge makes room: at first for a small body as a whole and one byte, so that its end is seen, and
// for little of one that is only said to be large.
func (in *intake) enlarge() error {
	size := int64(max(4<<10, 2*cap(in.held)))
	if in.held == nil && in.length >= 0 {
		size = min(in.length+1, 64<<10)
	}
	size = min(size, max(in.limit, 1))
	if !in.grow(size - int64(cap(in.held))) {
		return errNoMemory
	}
	held := make([]byte, len(in.held), size)
	copy(held, in.held)
	in.held = held
	return nil
}

// finish makes b the body to pass on; small ones are read to their end.
func (in *intake) finish(b *body) (*body, error) {
	for !in.ended && len(in.held) <= replayLimit && in.length <= replayLimit {
		if _, err := in.more(); errors.Is(err, errTooMuch) || errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if in.ended {
		b.prefix, b.length = in.held, int64(len(in.held))
		return b, nil
	}
	b.prefix, b.rest, b.length = in.held, in.from, in.length
	return b, nil
}

// findJSON finds the model of a JSON body. Small bodies are checked to their end; in larger ones the
// first "model" counts.
func (in *intake) findJSON(s *scan.Request) error {
	for {
		piece, err := in.more()
		if errors.Is(err, io.EOF) {
			if len(in.held) == 0 {
				return errNoBody
			}
			return s.End()
		}
		if err != nil {
			return err
		}
		if err := s.Feed(piece); err != nil {
			return err
		}
		if s.Settled() && max(in.length, int64(len(in.held))) > replayLimit {
			return s.Check()
		}
	}
}

var (
	errNoBody  = errors.New("the request has no body")
	errBadForm = errors.New("the body is not a whole multipart form")
)

// findForm finds the model of a multipart form. Like JSON, small forms are checked to their end; in larger
// ones the first "model" counts.
func (in *intake) findForm(contentType string) (string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return "", fmt.Errorf("%w: its Content-Type has no boundary", errBadForm)
	}
	model, found := "", false
	reader := &intakeReader{in: in, enough: func() bool { return found && max(in.length, int64(len(in.held))) > replayLimit }}
	form := multipart.NewReader(reader, params["boundary"])
	for {
		part, err := form.NextPart()
		if found && (reader.enough() || err == io.EOF) { //nolint:errorlint // as below
			return model, nil
		}
		if err == io.EOF { //nolint:errorlint // wrapped, it is the end of a form that was cut off
			return "", scan.ErrNoModel
		}
		var value []byte
		if err == nil && part.FormName() == "model" {
			value, err = io.ReadAll(io.LimitReader(part, scan.MaxModel+1))
		}
		switch {
		case reader.err != nil:
			return "", reader.err
		case err != nil:
			return "", errBadForm
		case len(value) > scan.MaxModel:
			return "", scan.ErrModelTooLong
		case part.FormName() != "model":
		case found && model != string(value):
			return "", scan.ErrModelConflict
		default:
			model, found = string(value), true
		}
		if found && reader.enough() {
			return model, nil
		}
	}
}

// intakeReader reads through an intake and keeps its error, which the form's reader hides.
type intakeReader struct {
	in     *intake
	enough func() bool // no more is wanted
	left   []byte
	err    error
}

func (r *intakeReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if r.enough() {
			return 0, io.EOF
		}
		piece, err := r.in.more()
		if err != nil && !errors.Is(err, io.EOF) {
			r.err = err
		}
		if err != nil {
			return 0, err
		}
		r.left = piece
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// refuseBody is the answer to a body that could not be read or understood.
func refuseBody(err error, limit int64) *Refusal {
	var tooLarge *http.MaxBytesError
	const hint = " Name the service's model in it, or use the service's own address, /services/NAME/."
	switch {
	case errors.As(err, &tooLarge):
		return tooLargeBody(tooLarge.Limit)
	case isMalformed(err):
		return malformed(err)
	case errors.Is(err, errTooMuch):
		f := tooLargeBody(limit)
		f.Message = fmt.Sprintf("The first %d bytes of the body do not name a model. Put `model` before the large parts.", limit)
		return f
	case errors.Is(err, errNoMemory):
		return unavailable("too_many_large_bodies", "Too many large requests are being read. Try again in a moment.", time.Second)
	case errors.Is(err, scan.ErrNoModel), errors.Is(err, errNoBody):
		return badRequest("model", "missing_model", sentence(err)+hint)
	case errors.Is(err, scan.ErrModelNoText), errors.Is(err, scan.ErrModelTooLong), errors.Is(err, scan.ErrModelConflict):
		return badRequest("model", "invalid_model", sentence(err))
	case errors.Is(err, scan.ErrNotJSON), errors.Is(err, scan.ErrNotObject), errors.Is(err, scan.ErrTooDeep):
		return badRequest("", "invalid_json", sentence(err))
	case errors.Is(err, errBadForm):
		return badRequest("", "invalid_form", sentence(err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Refusal{Status: http.StatusRequestTimeout, Type: invalidRequest, Code: "body_timeout", Message: "The rest of the body did not come."}
	}
	return badRequest("", "incomplete_body", "The body was cut off: it ends before its length or its JSON does.")
}

func tooLargeBody(limit int64) *Refusal {
	return &Refusal{
		Status: http.StatusRequestEntityTooLarge, Type: invalidRequest, Code: "body_too_large",
		Message: fmt.Sprintf("The body is larger than %d bytes.", limit),
	}
}

// sentence is an error as a person reads it.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
