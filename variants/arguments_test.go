package variants

import (
	"slices"
	"testing"
)

func TestMoreArguments(t *testing.T) {
	table, problems := Load("")
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	words := []string{"--a", "two words", `{"b": 'c'}`, "", "$HOME"}
	for _, v := range table.All() {
		name, value, ok := v.MoreArguments(words)
		if ok != (len(v.Command) > 0) {
			t.Errorf("%s with the command %q: %v", v.Name, v.Command, ok)
		}
		if !ok {
			continue
		}
		if got, err := splitWords(value); err != nil || !slices.Equal(got, words) || name == "" {
			t.Errorf("%s: %s=%s is %q, %v", v.Name, name, value, got, err)
		}
	}
}
