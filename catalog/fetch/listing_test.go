package fetch_test

import (
	"errors"
	"math"
	"strings"
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
		{[]string{"a\x1b[2Jb"}, false},
		{[]string{"a\u009b2Jb"}, false},
		{[]string{"a\nb"}, false},
		{[]string{"a/" + strings.Repeat("b", 255)}, true},
		{[]string{"a/" + strings.Repeat("b", 256)}, false},
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

func TestSizesThatNoneCanHave(t *testing.T) {
	for _, sizes := range [][]int64{{-2}, {math.MaxInt64}, {1 << 60, 1 << 60}} {
		files := []fetch.File{}
		for i, n := range sizes {
			files = append(files, fetch.File{Name: strings.Repeat("a", i+1), Bytes: n})
		}
		if _, err := fetch.Sorted(files); !errors.Is(err, fetch.ErrRefused) {
			t.Errorf("%v: %v", sizes, err)
		}
	}
}
