package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/store"
)

func TestLimitsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		row := people.LimitRow{
			Kind: people.LimitProject, Name: awkward, ChangedBy: awkward, ChangedAt: at.UTC(),
			Limits: people.Limits{Slots: map[string]string{"cpu": "8"}, Sessions: 1, Services: people.UnboundedMost, Routes: 3, Storage: 1 << 50, Usage: map[string]string{"tokens_per_minute": "100k"}},
		}
		other := people.LimitRow{Kind: people.LimitUser, Name: awkward, ChangedBy: "root", Limits: people.Limits{Routes: 1}}
		must(t, s.SaveLimits(t.Context(), row))
		must(t, s.SaveLimits(t.Context(), other))
		row.Limits = people.Limits{Storage: 5}
		must(t, s.SaveLimits(t.Context(), row))
		rows, err := s.Limits(t.Context())
		must(t, err)
		if d := cmp.Diff([]people.LimitRow{row, other}, rows); d != "" {
			t.Error(d)
		}
		for range 2 {
			must(t, s.DeleteLimits(t.Context(), people.LimitProject, awkward))
		}
		same(t, s.Limits, other)
	})
}
