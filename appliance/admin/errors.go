package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/bundle"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
	"github.com/palisade-run/palisade/catalog/spelling"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/figures"
	"github.com/palisade-run/palisade/training/pipeline"
)

// translation is the only place where a room's kind of error becomes a status.
type translation struct {
	is     error
	kind   string
	status int
}

// translations are looked through in order: the first that fits counts. What goes wrong with the box comes before
// what is wrong with the request, for it may wrap either.
func translations() []translation {
	return []translation{
		{syscall.ENOSPC, api.KindStorageFull, http.StatusInsufficientStorage},
		{syscall.EDQUOT, api.KindStorageFull, http.StatusInsufficientStorage},
		{folders.ErrNoSpace, api.KindStorageFull, http.StatusInsufficientStorage},
		{folders.ErrQuota, api.KindQuota, http.StatusInsufficientStorage},
		{backup.ErrBroken, api.KindChecksum, http.StatusUnprocessableEntity},
		{backup.ErrNotBackup, api.KindChecksum, http.StatusUnprocessableEntity},
		{backup.ErrNewer, api.KindState, http.StatusConflict},
		{backup.ErrNoKey, api.KindState, http.StatusConflict},
		{backup.ErrSeal, api.KindInvalid, http.StatusBadRequest},
		{backup.ErrBusy, api.KindConflict, http.StatusConflict},
		{backup.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{io.ErrUnexpectedEOF, api.KindInvalid, http.StatusBadRequest}, // a body that was cut off
		{bundle.ErrNoSpace, api.KindStorageFull, http.StatusInsufficientStorage},
		{bundle.ErrRefused, api.KindChecksum, http.StatusUnprocessableEntity},
		{bundle.ErrNotBundle, api.KindInvalid, http.StatusBadRequest},
		{bundle.ErrUnsigned, api.KindState, http.StatusConflict},
		{bundle.ErrGone, api.KindConflict, http.StatusConflict},
		{bundle.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{sessions.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{folders.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{accel.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{autoscaler.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{calibrate.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{pipeline.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{router.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{people.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{people.ErrExists, api.KindExists, http.StatusConflict},
		{people.ErrState, api.KindState, http.StatusConflict},
		{people.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{trust.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{trust.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{trust.ErrTaken, api.KindExists, http.StatusConflict},
		{trust.ErrBusy, api.KindConflict, http.StatusConflict},
		{keys.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{authorized.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{install.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{install.ErrLicense, api.KindLicense, http.StatusConflict},
		{install.ErrFit, api.KindFit, http.StatusConflict},
		{install.ErrConflict, api.KindConflict, http.StatusConflict},
		{install.ErrInUse, api.KindInUse, http.StatusConflict},
		{install.ErrExists, api.KindExists, http.StatusConflict},
		{install.ErrState, api.KindState, http.StatusConflict},
		{install.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{install.ErrStopped, api.KindUnavailable, http.StatusServiceUnavailable},
		{install.ErrAway, api.KindUnavailable, http.StatusServiceUnavailable},
		{fetch.ErrRef, api.KindInvalid, http.StatusBadRequest},
		{fetch.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{fetch.ErrDenied, api.KindForbidden, http.StatusForbidden},
		{fetch.ErrRefused, api.KindState, http.StatusConflict},
		{fetch.ErrChanged, api.KindConflict, http.StatusConflict},
		{fetch.ErrNoSpace, api.KindStorageFull, http.StatusInsufficientStorage},
		{sessions.ErrExists, api.KindExists, http.StatusConflict},
		{folders.ErrExists, api.KindExists, http.StatusConflict},
		{keys.ErrExists, api.KindExists, http.StatusConflict},
		{authorized.ErrExists, api.KindExists, http.StatusConflict},
		{folders.ErrDenied, api.KindForbidden, http.StatusForbidden},
		{folders.ErrChanged, api.KindPrecondition, http.StatusPreconditionFailed},
		{folders.ErrOffset, api.KindConflict, http.StatusConflict},
		{folders.ErrChecksum, api.KindChecksum, http.StatusUnprocessableEntity},
		{folders.ErrInUse, api.KindInUse, http.StatusConflict},
		{sessions.ErrConflict, api.KindConflict, http.StatusConflict},
		{autoscaler.ErrConflict, api.KindConflict, http.StatusConflict},
		{pipeline.ErrState, api.KindState, http.StatusConflict},
		{figures.ErrUnreadable, api.KindState, http.StatusConflict},
		{sessions.ErrLimit, api.KindLimit, http.StatusConflict},
		{sessions.ErrForbidden, api.KindState, http.StatusConflict},
		{sessions.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{folders.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{recipe.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{accel.ErrNoNode, api.KindNotFound, http.StatusNotFound},
		{accel.ErrNoDevice, api.KindNotFound, http.StatusNotFound},
		{calibrate.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{calibrate.ErrNotReady, api.KindState, http.StatusConflict},
		{calibrate.ErrBusy, api.KindInUse, http.StatusConflict},
		{calibrate.ErrEnded, api.KindUnavailable, http.StatusServiceUnavailable},
		{autoscaler.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{pipeline.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{router.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{keys.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{authorized.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{sessions.ErrNoInstance, api.KindNotFound, http.StatusNotFound},
		{sessions.ErrNoImage, api.KindNotFound, http.StatusNotFound},
		{sessions.ErrImageDenied, api.KindForbidden, http.StatusForbidden},
		{sessions.ErrImagePlatform, api.KindState, http.StatusConflict},
		{sessions.ErrRuntimeDown, api.KindUnavailable, http.StatusServiceUnavailable},
		{vault.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{vault.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{vault.ErrSealed, api.KindState, http.StatusConflict},
		{index.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{signature.ErrInvalid, api.KindInvalid, http.StatusBadRequest},
		{index.ErrNotFound, api.KindNotFound, http.StatusNotFound},
		{index.ErrExists, api.KindExists, http.StatusConflict},
		{index.ErrInUse, api.KindInUse, http.StatusConflict},
		{signature.ErrUnsigned, api.KindForbidden, http.StatusForbidden},
		{signature.ErrUntrusted, api.KindForbidden, http.StatusForbidden},
		{signature.ErrAltered, api.KindChecksum, http.StatusUnprocessableEntity},
		{index.ErrChecksum, api.KindChecksum, http.StatusUnprocessableEntity},
		{index.ErrBroken, api.KindState, http.StatusConflict},
		{index.ErrOlder, api.KindState, http.StatusConflict},
		{index.ErrOtherKey, api.KindState, http.StatusConflict},
		{index.ErrPinned, api.KindState, http.StatusConflict},
		{index.ErrUnreachable, api.KindUnavailable, http.StatusServiceUnavailable},
		{sessions.ErrNotSupported, api.KindNotSupported, http.StatusNotImplemented},
		{fs.ErrNotExist, api.KindNotFound, http.StatusNotFound},
		{fs.ErrExist, api.KindExists, http.StatusConflict},
		{sessions.ErrRefused, api.KindState, http.StatusConflict},
		{sessions.ErrUnavailable, api.KindUnavailable, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, api.KindUnavailable, http.StatusServiceUnavailable},
	}
}

// problemOf says err to a client. What no room has a kind for is told to the log alone: it may hold what is none
// of the client's business.
func problemOf(ctx context.Context, err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return api.NewProblem(api.KindTooLarge, http.StatusRequestEntityTooLarge, "the body is larger than the %d bytes allowed here", tooLarge.Limit)
	}
	var p *api.Problem
	if retryAfter(err) > 0 {
		p = api.NewProblem(api.KindUnavailable, http.StatusServiceUnavailable, "%s", err)
	}
	if problems, ok := errors.AsType[catalog.Problems](err); ok && p == nil {
		p = definitionProblem(err, problems)
	}
	for _, t := range translations() {
		if p == nil && errors.Is(err, t.is) {
			p = plainProblem(t, err)
		}
	}
	if p == nil {
		p = internalProblem(ctx)
	}
	if h, ok := errors.AsType[hinter](err); ok && p.Hint == "" {
		p.Hint = h.Hint()
	}
	if p.Kind() == api.KindNotFound && p.Hint == "" {
		p.Hint = listHint(p.Detail)
	}
	if p.Kind() == api.KindStorageFull && p.Hint == "" {
		p.Hint = "free some space on the box; `palisade doctor` shows how much is left"
	}
	return p
}

// listHint names the command that lists things of the kind of which one was not found; "" where the sentence begins with no kind
// that has such a command.
func listHint(sentence string) string {
	for _, l := range []struct{ begins, command string }{
		{"session ", "palisade session list --all"}, {"service ", "palisade service list"}, {"pipeline ", "palisade pipeline list"},
		{"user ", "palisade user list"}, {"API key ", "palisade key list"}, {"SSH key ", "palisade ssh-key list"},
		{"secret ", "palisade secret list"}, {"a log-in for registry ", "palisade registry list"},
	} {
		if strings.HasPrefix(sentence, l.begins) {
			return "those that are: " + l.command
		}
	}
	return ""
}

// retryAfter is when to ask again, for an error that says so; 0: it says nothing.
func retryAfter(err error) time.Duration {
	if again, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		return again.RetryAfter()
	}
	return 0
}

// hinter is an error that knows what to do about it.
type hinter interface {
	error
	Hint() string
}

// plainProblem takes the error's own words; several that were joined become one FieldError each.
func plainProblem(t translation, err error) *api.Problem {
	lines := strings.Split(err.Error(), "\n")
	if !isJoined(err) { // such as what a registry says, in lines of its own
		lines = []string{strings.Join(lines, "; ")}
	}
	for i := range lines {
		lines[i] = withoutKind(lines[i], t.is)
	}
	if len(lines) == 1 {
		return api.NewProblem(t.kind, t.status, "%s", lines[0])
	}
	p := api.NewProblem(t.kind, t.status, "%d things are wrong", len(lines))
	for _, line := range lines {
		p.Errors = append(p.Errors, api.FieldError{Message: line})
	}
	return p
}

// isJoined reports whether several errors were put together, each of which is a thing to mend.
func isJoined(err error) bool {
	for err != nil {
		if _, ok := err.(oneMistake); ok { //nolint:errorlint // this very error, not one within it
			return false
		}
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			all := several.Unwrap()
			if len(all) > 0 && strings.HasPrefix(err.Error(), all[0].Error()+"\n") {
				return true
			}
			return slices.ContainsFunc(all, isJoined)
		}
		err = errors.Unwrap(err)
	}
	return false
}

// withoutKind leaves the word for an error's kind out of its sentence: the problem's type says it, and a person reads
// what is wrong with what.
func withoutKind(text string, kind error) string {
	word := kind.Error()
	switch {
	case errors.Is(kind, sessions.ErrNotFound): // at its end it is the sentence: "service chat not found"
		return strings.Replace(text, ": "+word+": ", ": ", 1)
	case strings.HasPrefix(word, "invalid"), errors.Is(kind, sessions.ErrForbidden), errors.Is(kind, sessions.ErrNotSupported):
		text = strings.TrimSuffix(strings.TrimPrefix(text, word+": "), ": "+word)
		return strings.Replace(text, ": "+word+": ", ": ", 1)
	}
	return text
}

// definitionProblem lists what is wrong with a model definition, each with its place.
func definitionProblem(err error, problems catalog.Problems) *api.Problem {
	detail := strings.TrimSuffix(err.Error(), problems.Error())
	detail = strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(detail, "invalid: ")), ":")
	inFile := slices.ContainsFunc(problems, func(q catalog.Problem) bool { return q.File != "" })
	switch {
	case detail != "" && detail != "invalid":
	case inFile:
		detail = "the model definition cannot be used"
	default:
		detail = "this cannot be started"
	}
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", detail)
	if inFile && !errors.Is(err, pipeline.ErrInvalid) {
		p.Hint = "try it before it is served: palisade model check FOLDER"
	}
	p.Errors = fieldErrors(problems)
	return p
}

func fieldErrors(problems catalog.Problems) []api.FieldError {
	var out []api.FieldError
	for _, q := range problems {
		e := api.FieldError{Field: q.Field, File: q.File, Line: q.Line, Column: q.Column, Message: q.Message, Hint: q.Hint}
		if q.Severity == catalog.SeverityWarning {
			e.Severity = "warning"
		}
		out = append(out, e)
	}
	return out
}

// ownersProblem is what went wrong with what an administrator asked for: they may know it, though no room has a kind for it.
//  1. What has a kind is of that.
//  2. The rest is so until something is changed. What gives no advice nobody has foreseen: it is in the log, too.
func (s *server) ownersProblem(c *gin.Context, err error) error {
	ctx := c.Request.Context()
	if ctx.Err() != nil || problemOf(ctx, err).Kind() != api.KindInternal { // 1
		return err
	}
	p := api.NewProblem(api.KindState, http.StatusConflict, "%s", err) // 2
	if h, advises := errors.AsType[hinter](err); advises {
		p.Hint = h.Hint()
	} else {
		s.Log.WarnContext(ctx, "what was asked of the cluster failed", "path", c.FullPath(), "request_id", requestIDOf(ctx), "error", err)
	}
	return p
}

func internalProblem(ctx context.Context) *api.Problem {
	p := api.NewProblem(api.KindInternal, http.StatusInternalServerError, "something went wrong inside the appliance")
	p.Hint = "the daemon's log says what, at request_id=" + requestIDOf(ctx)
	return p
}

func isRefusal(err error) bool { return errors.Is(err, keys.ErrRefused) }

// hinted adds advice to an error.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.hint }

// withNearest adds "did you mean" to an error about a name that is not there.
func withNearest(err error, word string, names func() []string) error {
	if err == nil || problemOf(context.Background(), err).Kind() != api.KindNotFound {
		return err
	}
	if near := spelling.Nearest(word, names()); near != "" {
		return &hinted{err, "did you mean \"" + near + "\"?"}
	}
	return err
}

// badField is a problem with one field of the request.
func badField(field, hint, format string, args ...any) *api.Problem {
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s: "+format, append([]any{field}, args...)...)
	p.Hint = hint
	return p
}
