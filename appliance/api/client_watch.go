package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// How long a watch puts up with a daemon that does not answer: it may be restarting.
const (
	watchPatience = 30 * time.Second
	watchRetry    = 200 * time.Millisecond
)

// ErrStopWatch ends a watch without an error.
var ErrStopWatch = errors.New("stop watching")

var errWatchLost = errors.New("connection lost")

// watch calls each with the events of a stream until each returns an error (ErrStopWatch is none), ctx ends, or what is watched
// is gone, which is the Problem that says so. A stream that ends is errWatchLost.
func (c *Client) watch(ctx context.Context, path string, q url.Values, each func(event string, data []byte) error) error {
	body, err := c.stream(ctx, path, q)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readEvents(body, func(event string, data []byte) error {
		if event == "gone" {
			return given(data, func(p Problem) error { return &p })
		}
		return each(event, data)
	})
	if errors.Is(err, ErrStopWatch) {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// keepWatching is watch over a daemon that is away for a moment, or cannot answer yet: each event is a sign of life.
func (c *Client) keepWatching(ctx context.Context, path string, each func(event string, data []byte) error) error {
	var lost time.Time
	for {
		err := c.watch(ctx, path, nil, func(event string, data []byte) error {
			lost = time.Time{}
			return each(event, data)
		})
		_, away := errors.AsType[*ConnectError](err)
		problem, refused := errors.AsType[*Problem](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !away && !errors.Is(err, errWatchLost) && !(refused && problem.Kind() == KindUnavailable):
			return err
		case lost.IsZero():
			lost = time.Now()
		case time.Since(lost) > watchPatience:
			return err
		}
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// given calls each with what an event's data says.
func given[T any](data []byte, each func(T) error) error {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	return each(v)
}

// readEvents reads server-sent events until each fails or the stream ends, which is errWatchLost.
func readEvents(r io.Reader, each func(event string, data []byte) error) error {
	br := bufio.NewReader(r)
	var event string
	var data []byte
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%w: %w", errWatchLost, err)
		}
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if len(data) > 0 {
				if err := each(event, data); err != nil {
					return err
				}
			}
			event, data = "", nil
		case name == "event":
			event = value
		case name == "data":
			data = append(data, value...)
		}
	}
}
