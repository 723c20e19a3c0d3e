package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/pipeline"
)

const (
	smokeRest = 2 * time.Second // between two requests of a smoke test
	mostHeard = 1 << 20         // bytes of an answer that are looked at
)

// ask has a route of the new revision answer the smoke test, unless it has already. It returns what is wrong with its answer.
func (r *rollout) ask(ctx context.Context, route sessions.RouteView) (fault string, err error) {
	smoke := r.step.Serve.Smoke
	if smoke == nil || slices.Contains(r.Passed, route.ID) {
		return "", nil
	}
	var wrong error
	for try := range smoke.Tries {
		if try > 0 {
			if err := r.rest(ctx, smokeRest); err != nil {
				return "", err
			}
		}
		if r.stopped() {
			return "the job was cancelled", nil
		}
		if wrong = r.request(ctx, route.Address); wrong == nil {
			r.Passed = append(slices.Clone(r.Passed), route.ID)
			return "", r.note(ctx, "route "+route.ID+" passed the smoke test")
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
	return fmt.Sprintf("revision %d of service %s failed its smoke test: %s", r.Revision, r.step.Serve.Service, strings.ReplaceAll(wrong.Error(), "\n", "; ")), nil
}

// request asks once, and judges the answer.
func (r *rollout) request(ctx context.Context, address string) error {
	smoke := r.step.Serve.Smoke
	ctx, cancel := context.WithTimeoutCause(ctx, smoke.Timeout, fmt.Errorf("no answer within %s", smoke.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, smoke.Method, "http://"+address+smoke.Path, strings.NewReader(smoke.Body))
	if err != nil {
		return err
	}
	if smoke.JSON || strings.HasPrefix(smoke.Body, "{") || strings.HasPrefix(smoke.Body, "[") {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "palisade-smoke-test")
	for name, value := range smoke.Headers {
		req.Header.Set(name, value)
	}
	resp, err := r.Direct.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s %s: %w", smoke.Method, smoke.Path, err)
	}
	defer resp.Body.Close()
	heard, err := io.ReadAll(io.LimitReader(resp.Body, mostHeard))
	if err != nil {
		err = fmt.Errorf("its answer broke off: %w", err)
	}
	return errors.Join(smoke.Expect.Judge(pipeline.Answer{Status: resp.StatusCode, Body: string(heard)}), err)
}
