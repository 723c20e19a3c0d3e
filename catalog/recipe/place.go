package recipe

import (
	"regexp"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

var placeText = regexp.MustCompile(`^(hf:[^/\s]+/[^/\s]+|ngc:[^/\s]+/\S+|oci:[^/\s]+/\S+|s3://[^/\s]+\S*|git\+https?://[^/\s]+/\S+|https?://[^/\s]+/\S+|file:/\S+|/\S+)$`)

// place is where files of a model are: the text of a fetch.Ref.
func (r *reader) place(f catalog.Field, required bool) string {
	text, ok := f.Text()
	switch {
	case !f.Given():
		if required {
			f.Error("from: hf:ORG/NAME", "is required")
		}
	case ok && (!placeText.MatchString(text) || strings.ContainsFunc(text, unprintable)):
		f.Error("hf:ORG/NAME, oci:HOST/NAME, s3://BUCKET/PREFIX, git+https://HOST/PATH, https://HOST/FILE, ngc:ORG/NAME or /PATH", "%q is no place of a model", short(text))
	}
	return text
}
