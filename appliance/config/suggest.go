package config

import (
	"cmp"
	"strings"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// suggest is a hint for a name that does not exist: the one that was probably meant, or all.
func suggest(name string, known []string) string {
	return cmp.Or(spelling.DidYouMean(name, known), "there are "+strings.Join(known, ", "))
}
