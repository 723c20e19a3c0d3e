package sessions

import (
	"errors"
	"testing"
)

// A session runs where the folders have their home that it writes to, and nowhere where these are several boxes.
func TestAtHome(t *testing.T) {
	at := func(home string, readOnly, sealed bool) Mount {
		return Mount{ReadOnly: readOnly, Folder: MountedFolder{ID: "fld-1", Name: "data", Home: home, Sealed: sealed}}
	}
	for what, c := range map[string]struct {
		selector map[string]string
		mounts   []Mount
		box      string
		fails    bool
	}{
		"no folder":                       {mounts: []Mount{{Source: "/x"}}},
		"one that is read":                {mounts: []Mount{at("a", true, false)}},
		"a model":                         {mounts: []Mount{at("a", false, true)}},
		"one that is written to":          {mounts: []Mount{at("b", true, false), at("a", false, false)}, box: "a"},
		"two of one box":                  {mounts: []Mount{at("a", false, false), at("a", false, false)}, box: "a"},
		"two of two boxes":                {mounts: []Mount{at("a", false, false), at("b", false, false)}, fails: true},
		"one, and another box was wanted": {selector: map[string]string{LabelBox: "b"}, mounts: []Mount{at("a", false, false)}, fails: true},
		"one, and its box was wanted":     {selector: map[string]string{LabelBox: "a"}, mounts: []Mount{at("a", false, false)}, box: "a"},
	} {
		d := Demand{Selector: c.selector}
		err := d.atHome(c.mounts)
		if c.fails != errors.Is(err, ErrInvalid) || !c.fails && (err != nil || d.Selector[LabelBox] != c.box) {
			t.Errorf("%s: %v, %v", what, d.Selector, err)
		}
	}
}
