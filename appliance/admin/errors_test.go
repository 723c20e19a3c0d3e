package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// TestWordsOfProblems: what a person reads is the sentence, without the words that the program tells kinds apart by, and
// one mistake whose message has several lines is one.
func TestWordsOfProblems(t *testing.T) {
	for _, c := range []struct {
		err    error
		detail string
		errors int
	}{
		{fmt.Errorf("image %q: %w: must be lower case", "X:1", sessions.ErrInvalid), `image "X:1": must be lower case`, 0},
		{fmt.Errorf("image x has no command: %w", sessions.ErrInvalid), "image x has no command", 0},
		{fmt.Errorf("%w: no box has the labels zone=a", sessions.ErrInvalid), "no box has the labels zone=a", 0},
		{fmt.Errorf("session chat-1 has no log: %w: it is PENDING", sessions.ErrNotFound), "session chat-1 has no log: it is PENDING", 0},
		{fmt.Errorf("service %q %w", "chat", sessions.ErrNotFound), `service "chat" not found`, 0},
		{fmt.Errorf("session chat-1 has ended: %w", sessions.ErrForbidden), "session chat-1 has ended", 0},
		{fmt.Errorf("listing images: %w: connection refused", sessions.ErrRuntimeDown), "listing images: the runtime's daemon cannot be reached: connection refused", 0},
		{fmt.Errorf("pulling x: %w: 416\nunknown: we don't understand your Range", sessions.ErrUnavailable),
			"pulling x: " + sessions.ErrUnavailable.Error() + ": 416; unknown: we don't understand your Range", 0},
		{oneMistake{fmt.Errorf("pulling x: %w", errors.Join(sessions.ErrUnavailable, sessions.ErrNoImage))},
			"pulling x: " + sessions.ErrUnavailable.Error() + "; " + sessions.ErrNoImage.Error(), 0},
		{errors.Join(fmt.Errorf("%w: name", sessions.ErrInvalid), fmt.Errorf("%w: image", sessions.ErrInvalid)), "2 things are wrong", 2},
		{fmt.Errorf("creating: %w", errors.Join(sessions.ErrInvalid, sessions.ErrExists)), "2 things are wrong", 2},
	} {
		p := problemOf(t.Context(), c.err)
		if p.Detail != c.detail || len(p.Errors) != c.errors || p.Kind() == api.KindInternal {
			t.Errorf("%v: %q with %d errors, want %q with %d", c.err, p.Detail, len(p.Errors), c.detail, c.errors)
		}
	}
}

// another decides: an error that says when to ask again.
type anotherDecides struct{}

func (anotherDecides) Error() string             { return "another box decides by now" }
func (anotherDecides) Hint() string              { return "ask again" }
func (anotherDecides) RetryAfter() time.Duration { return 1500 * time.Millisecond }

// TestAskAgain: who asks a box that decides no more is told to ask again, and when.
func TestAskAgain(t *testing.T) {
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequest(http.MethodPost, "/api/v1/services", nil)
	s := &server{Deps: Deps{Log: slog.New(slog.DiscardHandler)}}
	s.fail(c, fmt.Errorf("saving: %w", anotherDecides{}))
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || p.Kind() != api.KindUnavailable || p.Hint != "ask again" {
		t.Errorf("%d, in %q s: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}

// TestWhatAnOwnerIsTold: what is wrong with a cluster, whether to ask again, and in the log what nobody has foreseen.
func TestWhatAnOwnerIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		logged bool
	}{
		"foreseen":          {&hinted{errors.New("4 sessions run on this box"), "drain it first"}, http.StatusConflict, false},
		"unforeseen":        {errors.New("index out of range"), http.StatusConflict, true},
		"too slow":          {fmt.Errorf("asking etcd: %w", context.DeadlineExceeded), http.StatusServiceUnavailable, false},
		"nobody decides":    {fmt.Errorf("removing it: %w", anotherDecides{}), http.StatusServiceUnavailable, false},
		"the rows are away": {fmt.Errorf("reading: %w", sessions.ErrUnavailable), http.StatusServiceUnavailable, false},
		"of a kind":         {fmt.Errorf("box x: %w", sessions.ErrNotFound), http.StatusNotFound, false},
	} {
		var log strings.Builder
		w := httptest.NewRecorder()
		c, _ := gin.CreateTestContext(w)
		c.Request = httptest.NewRequest(http.MethodGet, "/api/v1/cluster", nil)
		s := &server{Deps: Deps{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		told := s.ownersProblem(c, test.err)
		logged := strings.Contains(log.String(), test.err.Error())
		if s.fail(c, told); w.Code != test.status || logged != test.logged || !strings.Contains(w.Body.String(), strings.TrimSuffix(test.err.Error(), ": "+sessions.ErrNotFound.Error())) {
			t.Errorf("%s: %d, in the log %q: %s", name, w.Code, log.String(), w.Body)
		}
	}
}

// TestNamesOfDevices: one that is known by a claim alone is called by its id, for its number is not known.
func TestNamesOfDevices(t *testing.T) {
	n := &accel.Node{Name: "box", Devices: []accel.Device{
		{ID: "GPU-1", Family: "cuda", Name: "H100", Index: 0},
		{ID: "GPU-2", Family: "cuda", Name: "H100", Index: 1, Fault: "it fell off the bus"},
		{ID: "GPU-3", Family: "cuda", Fault: "the box does not list it any more"},
	}}
	want := map[string]string{"GPU-1": "cuda:0", "GPU-2": "cuda:1", "GPU-3": "GPU-3"}
	if d := cmp.Diff(want, refs(n, false)); d != "" {
		t.Error(d)
	}
	if got := refs(n, true)["GPU-3"]; got != "box/GPU-3" {
		t.Errorf("among several nodes it is %q", got)
	}
}
