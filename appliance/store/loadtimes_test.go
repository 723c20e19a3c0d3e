package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/sessions"
)

// Of each key and device the newest are kept, oldest first; what is written twice is there once.
func TestLoadTimes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		var want []sessions.LoadTime
		for i := range sessions.LoadTimesKept + 5 {
			for _, device := range []string{"", "NVIDIA H200"} {
				l := sessions.LoadTime{
					Key: "k", Device: device, Image: "host", Folder: "f", Variant: "vllm",
					At: at.UTC().Add(time.Duration(i) * time.Minute), Took: time.Duration(i)*time.Second + 7,
				}
				must(t, s.AddLoadTime(t.Context(), l))
				must(t, s.AddLoadTime(t.Context(), l))
				if i >= 5 {
					want = append(want, l)
				}
			}
		}
		one := filled[sessions.LoadTime]()
		one.At = at.UTC().Add(-time.Hour)
		must(t, s.AddLoadTime(t.Context(), one))
		got, err := s.LoadTimes(t.Context())
		must(t, err)
		if d := cmp.Diff(append([]sessions.LoadTime{one}, want...), got); d != "" {
			t.Error(fmt.Sprintf("%d of %d (-want +got):\n", len(got), len(want)+1), d)
		}
	})
}
