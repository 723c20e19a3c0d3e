package trace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Window returns what is kept of what arrived at a service since a time, in the order of arrival. What came in the last
// second may not be in it yet. It takes 16 bytes a request, at most Most of them; one Window is read at a time.
func (r *Recorder) Window(ctx context.Context, serviceID string, since time.Time) ([]Request, error) {
	if !isID(serviceID) {
		return nil, fmt.Errorf("service %q: %w", serviceID, fs.ErrInvalid)
	}
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	all, err := r.segments(serviceID)
	if err != nil {
		return nil, fmt.Errorf("looking for what came to %s: %w", serviceID, err)
	}
	from, n := since.UnixMilli(), 0
	all = slices.DeleteFunc(all, func(s segment) bool { return s.base+segmentTime.Milliseconds() < from })
	for _, s := range all {
		n += s.records
	}
	out := make([]Request, 0, n)
	for _, s := range all {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if out, err = readFile(s.path, from, out); err != nil {
			return nil, fmt.Errorf("reading what came to %s: %w", serviceID, err)
		}
	}
	slices.SortStableFunc(out, func(a, b Request) int { return int(min(max(a.At-b.At, -1), 1)) })
	return out, nil
}

// readFile appends the records of a segment that arrived from a time on.
func readFile(path string, from int64, to []Request) ([]Request, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return to, nil // removed meanwhile: it was too old
	}
	if err != nil {
		return to, err
	}
	defer f.Close()
	_, err = readSegment(f, func(q Request) {
		if q.At >= from {
			to = append(to, q)
		}
	})
	if errors.Is(err, errForeign) {
		return to, nil
	}
	return to, err
}
