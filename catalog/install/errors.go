package install

import (
	"errors"
	"fmt"
	"strings"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// fault is an error for people: a kind, what is wrong, and what to do about it.
type fault struct {
	kind    error
	message string
	hint    string
}

func (f *fault) Error() string { return f.message }
func (f *fault) Hint() string  { return f.hint }
func (f *fault) Unwrap() error { return f.kind }

// hintOf is what an error says that can be done.
func hintOf(err error) string {
	type hinter interface {
		error
		Hint() string
	}
	if h, ok := errors.AsType[hinter](err); ok {
		return h.Hint()
	}
	return ""
}

// short is a word of somebody's, bounded.
func short(word string) string {
	if len(word) > 80 {
		return strings.ToValidUTF8(word[:80], "") + "..."
	}
	return word
}

// Unlicensed is the ErrLicense of a recipe: what there is to accept.
type Unlicensed struct {
	Recipe  string
	License recipe.License
}

func (u *Unlicensed) Error() string {
	return fmt.Sprintf("%s has the licence %s, which is to be accepted first: %s", u.Recipe, u.License.ID, u.License.URL)
}

// Hint says how.
func (u *Unlicensed) Hint() string { return "read it, and say that you accept it: --accept-license" }

func (u *Unlicensed) Unwrap() error { return ErrLicense }

// licensed refuses a recipe whose licence was not accepted. To have accepted another one before is not to have accepted it.
func licensed(r recipe.Recipe, w Wish) error {
	if r.License.Accept && !w.AcceptLicense && (w.Accepted == "" || w.Accepted != r.License.ID) {
		return &Unlicensed{Recipe: r.Name, License: r.License}
	}
	return nil
}

func noVariant(r recipe.Recipe, name string) error {
	names := make([]string, len(r.Variants))
	for i, v := range r.Variants {
		names[i] = v.Name
	}
	return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s has no variant %q", r.Name, short(name)), hint: "it has " + strings.Join(names, ", ")}
}
