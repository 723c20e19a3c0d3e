package git_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
)

func TestGitKeepsToWhatPlacesDo(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, files map[string][]byte) fetchtest.Place {
		t.Helper()
		s := serve(t)
		write := func(name string, data []byte) {
			text := string(data)
			if strings.HasSuffix(name, ".gguf") {
				text = s.keep(text)
			}
			s.write(t, map[string]string{name: text})
		}
		for name, data := range files {
			write(name, data)
		}
		s.commit(t)
		src, _ := source(t, s, "")
		return fetchtest.Place{
			Source: src, Ref: s.ref(""), Missing: fetch.Ref{Scheme: "git", Where: s.URL + "/nothing.git"},
			Change: func(name string, data []byte) { write(name, data); s.commit(t) },
			Deny:   func() { s.set(func(s *server) { s.login = "ann:secret" }) },
		}
	})
}
