package ngc_test

import (
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
)

func TestNGCKeepsToWhatPlacesDo(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, files map[string][]byte) fetchtest.Place {
		t.Helper()
		r := start(t)
		r.put(files)
		return fetchtest.Place{
			Source: r.source("nvapi-good"), Ref: ref("1.0"), Missing: fetch.Ref{Scheme: "ngc", Where: "acme/ai/nothing", Revision: "1"},
			Change: func(name string, data []byte) { r.put(map[string][]byte{name: data}) },
			Deny:   func() { r.mu.Lock(); r.allowed = "nobody"; r.mu.Unlock() },
			Cut:    func(bytes int) { r.mu.Lock(); r.cut = bytes; r.mu.Unlock() },
		}
	})
}
