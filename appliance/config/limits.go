package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/router/quota"
)

// Quotas are the limits of Projects by name; those of "*" are for each project that has no line.
func (l Limits) Quotas() (map[string]quota.Limits, error) {
	out := map[string]quota.Limits{}
	for name, words := range l.Projects {
		limits, err := quota.Parse(words)
		if err != nil {
			return nil, fmt.Errorf("limits of project %s: %w", name, err)
		}
		out[name] = limits
	}
	return out, nil
}

func (l Limits) checkProjects() (ps catalog.Problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Projects)) {
		_, err := quota.Parse(l.Projects[name])
		if e, ok := errors.AsType[*quota.FieldError](err); ok {
			ps = append(ps, problem("limits.projects."+name+"."+e.Field, e.Text, e.Hint()))
		}
	}
	return ps
}
