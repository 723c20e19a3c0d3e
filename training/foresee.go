package training

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/sessions"
)

// Foresee says what would come of a wish if it were made now, and how many sessions it would make; of an array what would come
// of its last one. What is wrong with it is told as Create would. Nothing is recorded.
func (d *Desk) Foresee(ctx context.Context, w Wish) (f sessions.Forecast, count int, err error) {
	requests, problems := d.prepare(ctx, w)
	if problems.Err() == nil {
		f, problems = d.sessions.Foresee(ctx, requests[len(requests)-1])
	}
	if problems.Err() != nil {
		return f, 0, fmt.Errorf("%w: this session cannot be created: %w", sessions.ErrInvalid, problems)
	}
	return f, len(requests), nil
}
