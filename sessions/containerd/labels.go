package containerd

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/sessions"
)

// ImageLabels are those of the image that a session was made of. sessions.ErrNoInstance if there is none.
func (r *Runtime) ImageLabels(_ context.Context, id string) (map[string]string, error) {
	if !validID(id) {
		return nil, fmt.Errorf("labels of the image of %s: %w", id, sessions.ErrNoInstance)
	}
	rec, err := r.record(id)
	if err != nil {
		return nil, fmt.Errorf("labels of the image of %s: %w", id, err)
	}
	return rec.ImageLabels, nil
}
