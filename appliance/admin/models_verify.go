package admin

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/sessions"
)

// ModelBytes are the bytes of models. *install.Manager has them.
type ModelBytes interface {
	// Verify compares checksums. tell is told very often.
	Verify(ctx context.Context, w install.VerifyWish, tell func(install.Check)) (install.Check, error)
	// Sweep deletes what no model needs and nobody has touched for so long.
	Sweep(ctx context.Context, untouched time.Duration) (freed int64, err error)
}

// wantModelBytes refuses where no models are kept.
func (s *server) wantModelBytes() error {
	if s.ModelBytes == nil {
		return fmt.Errorf("this appliance keeps no models: %w", sessions.ErrNotSupported)
	}
	return nil
}

func (s *server) sweepModels(c *gin.Context) error {
	if err := firstError(query(c).err, s.wantModelBytes); err != nil {
		return err
	}
	freed, err := s.ModelBytes.Sweep(c.Request.Context(), 0)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.ModelsSwept{Freed: freed})
}

// verifyEvery is how often the one who asked is told how far it is.
const verifyEvery = 500 * time.Millisecond

// verifyModels sends a VerifyProgress a line, and ends with the request.
func (s *server) verifyModels(c *gin.Context) error {
	p := query(c)
	var in api.ModelVerify
	if err := firstError(p.err, s.wantModelBytes); err != nil {
		return err
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	var mu sync.Mutex
	var last install.Check
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		end, err := s.ModelBytes.Verify(ctx, install.VerifyWish{Project: p.project(), Model: in.Model, Repair: in.Repair}, func(now install.Check) {
			mu.Lock()
			defer mu.Unlock()
			last = now
		})
		mu.Lock()
		defer mu.Unlock()
		last, failed = end, err
	}()
	defer func() { cancel(); <-done }()
	send := newLines(c)
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			mu.Lock()
			line := verifyLine(last)
			mu.Unlock()
			if err := send.write(line); err != nil {
				return err
			}
		case <-done:
			if failed != nil && !send.begun {
				return failed
			}
			return send.write(s.verifyEnd(ctx, last, failed))
		}
	}
}

// verifyEnd is the last line.
func (s *server) verifyEnd(ctx context.Context, last install.Check, failed error) api.VerifyProgress {
	out := verifyLine(last)
	if out.Done = failed == nil; failed != nil {
		out.Problem = problemOf(ctx, failed)
		out.Problem.RequestID = requestIDOf(ctx)
		if out.Problem.Status >= 500 {
			s.Log.ErrorContext(ctx, "models were not verified", "request_id", requestIDOf(ctx), "error", failed)
		}
	}
	return out
}

func verifyLine(c install.Check) api.VerifyProgress {
	out := api.VerifyProgress{Models: c.Models, Files: c.Files, Verified: c.Done, Bytes: c.Bytes, Read: c.Read, Message: c.Current, Damaged: []api.ModelDamage{}}
	for _, d := range c.Damaged {
		out.Damaged = append(out.Damaged, api.ModelDamage(d))
	}
	return out
}
