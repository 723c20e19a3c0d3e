package texts

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T) *Texts {
	t.Helper()
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var hole = regexp.MustCompile(`\{\d+\}`)

// Every language says everything, with the same holes in it.
func TestLanguagesSayTheSame(t *testing.T) {
	all := load(t)
	if got := all.Languages(); !slices.Contains(got, "en") || !slices.Contains(got, "ko") {
		t.Fatalf("languages %v", got)
	}
	want := all.Keys(Default)
	for _, language := range all.Languages() {
		has := all.Keys(language)
		for _, key := range want {
			if !slices.Contains(has, key) {
				t.Errorf("%s.yaml does not say %s", language, key)
			}
		}
		for _, key := range has {
			ours, theirs := all.byLanguage[Default][key], all.byLanguage[language][key]
			if ours == "" {
				t.Errorf("%s.yaml says %s, which en.yaml does not", language, key)
				continue
			}
			a, b := hole.FindAllString(ours, -1), hole.FindAllString(theirs, -1)
			slices.Sort(a)
			slices.Sort(b)
			if a, b = slices.Compact(a), slices.Compact(b); !slices.Equal(a, b) {
				t.Errorf("%s: %s has the holes %v, en %v", key, language, b, a)
			}
			if strings.TrimSpace(theirs) == "" {
				t.Errorf("%s.yaml: %s is empty", language, key)
			}
		}
	}
}

func TestSay(t *testing.T) {
	all := &Texts{byLanguage: map[string]map[string]string{
		"en": {"a": "{0} of {1}", "b": "only here", "n.one": "{0} route", "n.other": "{0} routes"}, "ko": {"a": "{1} 중 {0}"},
	}}
	for _, c := range []struct{ language, key, want string }{{"en", "a", "1 of 2"}, {"ko", "a", "2 중 1"}, {"ko", "b", "only here"}, {"xx", "a", "1 of 2"}} {
		if got, err := all.Say(c.language, c.key, 1, 2); err != nil || got != c.want {
			t.Errorf("Say(%s, %s) = %q, %v; want %q", c.language, c.key, got, err, c.want)
		}
	}
	if _, err := all.Say("en", "none"); err == nil {
		t.Error("an unknown key says something")
	}
	if one, _ := all.Count("en", "n", 1); one != "1 route" {
		t.Error(one)
	}
	if more, _ := all.Count("en", "n", 0); more != "0 routes" {
		t.Error(more)
	}
}

func TestChoose(t *testing.T) {
	all := load(t)
	for accept, want := range map[string]string{"": "en", "ko-KR,ko;q=0.9,en;q=0.8": "ko", "de-DE, en;q=0.5": "en", "fr": "en", "KO": "ko", ",;q,": "en"} {
		if got := all.Choose(accept); got != want {
			t.Errorf("Choose(%q) = %s, want %s", accept, got, want)
		}
	}
}
