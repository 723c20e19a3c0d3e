package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// body ends an answer of which nothing comes. Only while somebody reads it: who is slow does not end it.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
	timer  *time.Timer
}

func watch(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, stall time.Duration) *body {
	b := &body{ReadCloser: r, ctx: ctx, cancel: cancel, stall: stall}
	b.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	b.timer.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case errors.Is(context.Cause(b.ctx), errStalled):
		return n, fmt.Errorf("nothing came for %v: %w", b.stall, fetch.ErrTruncated)
	case b.ctx.Err() != nil:
		return n, context.Cause(b.ctx)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fetch.ErrTruncated
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
