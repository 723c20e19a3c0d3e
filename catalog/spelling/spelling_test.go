package spelling_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/spelling"
)

func TestNearest(t *testing.T) {
	known := []string{"service", "session", "model", "max_surge", "S3_KEY", "ci", "requests_per_second", "create", "list", "generate-token", "scale", "runtime_variant", "replicas"}
	for word, want := range map[string]string{
		"craete": "create", "lst": "list", "scal": "scale", "generate": "generate-token", "runtime-variant": "runtime_variant", "replica": "replicas", "Create": "create",
		"servce": "service", "Service": "service", "sesion": "session", "mdoel": "model", "max_surges": "max_surge", "s3key": "S3_KEY", "cii": "ci",
		"mod": "model", "models": "model", "requests": "requests_per_second",
		"": "", "x": "", "l": "", "volume": "", "sur": "", strings.Repeat("service", 1000): "",
	} {
		if got := spelling.Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := spelling.Nearest("data@b", []string{"data", "data@a"}); got != "data@a" { // and not what it only begins with
		t.Error(got)
	}
	if got := spelling.DidYouMean("mdoel", known); got != "did you mean model?" {
		t.Error(got)
	}
	if got := spelling.DidYouMean("volume", known) + spelling.DidYouMean("a", nil); got != "" {
		t.Error(got)
	}
}

// FuzzNearest: what is named is one of those that there are, and a name that there is comes back as it is.
func FuzzNearest(f *testing.F) {
	f.Add("servce", "service session model")
	f.Add("", "a")
	f.Add("größe", "grösse größe")
	f.Fuzz(func(t *testing.T, word, names string) {
		known := strings.Fields(names)
		got := spelling.Nearest(word, known)
		switch {
		case got != "" && !slices.Contains(known, got):
			t.Fatalf("%q is none of %q", got, known)
		case slices.Contains(known, word) && len(word) <= 256 && !strings.EqualFold(got, word):
			t.Fatalf("%q is there, and %q is named", word, got)
		}
	})
}
