package install

import (
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// Model is one that is installed.
type Model struct {
	ID        string // mdl- and 12 characters
	Project   string
	Name      string // unique in its project
	CreatedBy string
	CreatedAt time.Time
	ModelState
}

// ModelState is what changes of a model.
type ModelState struct {
	Source    string // what it was installed by: Wish.Source
	Pinned    bool   // it is not updated
	Current   int    // revision that counts: the newest that came up, or that somebody went back to; 0: none did yet
	Service   string // id of the service that the install made; empty: none
	UpdatedAt time.Time
	Revisions []Revision // oldest first
}

// Revision is one version of a model's files and of how they run. It never changes once made, but for Good.
type Revision struct {
	Number    int // from 1
	CreatedAt time.Time
	CreatedBy string
	Recipe    recipe.Recipe
	Origin    string // the recipe's catalog; empty: it was made up from the files
	From      string // fetch.Ref's text of the place that the files are of; empty: none
	Pin       string // revision of that place, which does not change: a commit, a digest
	Choice    Choice
	Folder    string // id; empty: it has no files
	Files     []File
	Good      bool // it has come up and passed its test, or was installed without a service
}

// Bytes of all its files.
func (r Revision) Bytes() (n int64) {
	for _, f := range r.Files {
		n += f.Bytes
	}
	return n
}

// Revision finds one by its number; nil where there is none.
func (s ModelState) Revision(number int) *Revision {
	if i := slices.IndexFunc(s.Revisions, func(r Revision) bool { return r.Number == number }); i >= 0 {
		return &s.Revisions[i]
	}
	return nil
}

// newest is the number of the newest revision; 0: there is none.
func (s ModelState) newest() int {
	if len(s.Revisions) == 0 {
		return 0
	}
	return s.Revisions[len(s.Revisions)-1].Number
}

// previous is the newest good revision before the current one; 0: there is none.
func (s ModelState) previous() int {
	for _, r := range slices.Backward(s.Revisions) {
		if r.Number < s.Current && r.Good {
			return r.Number
		}
	}
	return 0
}

// with returns the state with one revision added or replaced.
func (s ModelState) with(r Revision) ModelState {
	s.Revisions = slices.Clone(s.Revisions)
	if i := slices.IndexFunc(s.Revisions, func(o Revision) bool { return o.Number == r.Number }); i >= 0 {
		s.Revisions[i] = r
	} else {
		s.Revisions = append(s.Revisions, r)
	}
	return s
}

// without returns the state without a revision.
func (s ModelState) without(number int) ModelState {
	s.Revisions = slices.DeleteFunc(slices.Clone(s.Revisions), func(r Revision) bool { return r.Number == number })
	return s
}

// same reports whether two revisions have the same files, and run them in the same way.
func (r Revision) same(o Revision) bool {
	return r.Folder != "" == (o.Folder != "") && slices.Equal(r.Files, o.Files) && r.Choice.same(o.Choice)
}

// spare are the revisions beyond keep that nobody goes back to: first those that never were good, then the oldest; neither the
// current one, nor the good one before it, nor the newest good one, which is gone on to after a roll-back.
func (s ModelState) spare(keep int) (numbers []int) {
	newest := 0
	for _, r := range s.Revisions {
		if r.Good {
			newest = r.Number
		}
	}
	left := len(s.Revisions)
	for _, good := range []bool{false, true} {
		for _, r := range s.Revisions {
			if left > max(keep, 2) && r.Good == good && r.Number != s.Current && r.Number != s.previous() && r.Number != newest {
				numbers = append(numbers, r.Number)
				left--
			}
		}
	}
	return numbers
}
