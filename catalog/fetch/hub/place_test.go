package hub_test

import (
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
)

func TestTheHubKeepsToWhatPlacesDo(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, files map[string][]byte) fetchtest.Place {
		t.Helper()
		h, tree := hubtest.Start(t), hubtest.Files{}
		h.PageSize = 2
		for name, data := range files {
			tree[name] = string(data)
		}
		h.Commit(repo, tree)
		return fetchtest.Place{
			Source: source(t, h, ""), Ref: ref(""), Missing: fetch.Ref{Scheme: "hf", Where: "nobody/nothing"},
			Change: func(name string, data []byte) { h.Commit(repo, hubtest.Files{name: string(data)}) },
			Deny:   func() { h.Gate(repo, "somebody else's") },
			Cut:    func(bytes int) { h.Break(hubtest.Store, "", 1, hubtest.Cut(int64(bytes))) },
		}
	})
}
