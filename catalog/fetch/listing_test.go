package fetch_test

import (
	"errors"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
)

func TestSorted(t *testing.T) {
	for _, c := range []struct {
		names []string
		fine  bool
	}{
		{nil, true},
		{[]string{"b", "a/c", "a/b", "a.txt"}, true},
		{[]string{"a", "a"}, false},
		{[]string{"a", "a/b"}, false},
		{[]string{"a/b/c", "a"}, false},
		{[]string{"../a"}, false},
		{[]string{"/etc/passwd"}, false},
		{[]string{"a/../b"}, false},
		{[]string{"a//b"}, false},
		{[]string{"."}, false},
		{[]string{""}, false},
		{[]string{"a\x00b"}, false},
		{[]string{`..\a`}, false},
		{[]string{"a/"}, false},
		{[]string{"\xff"}, false},
	} {
		files := []fetch.File{}
		for _, n := range c.names {
			files = append(files, fetch.File{Name: n})
		}
		got, err := fetch.Sorted(files)
		if (err == nil) != c.fine || err != nil && !errors.Is(err, fetch.ErrRefused) || c.fine && len(got) != len(files) {
			t.Errorf("%q: %v, %v", c.names, got, err)
		}
		for i := range got[min(1, len(got)):] {
			if got[i].Name >= got[i+1].Name {
				t.Errorf("%q: not in order: %v", c.names, got)
			}
		}
	}
}
