package admin

import (
	"strings"
	"testing"
)

// FuzzCovered: whatever a file is, no value of an environment is left in what a viewer sees of it.
func FuzzCovered(f *testing.F) {
	for _, s := range []string{
		"environ: {A: opens-a-door}", "a: &x {environ: *x}", "environ: &e\n  A: &v opens-a-door\nb: *v\n", "b: &v opens-a-door\nenviron: {A: *v}",
		"environ: [opens-a-door, {B: opens-a-door}]", "environ: opens-a-door", "environ: !!binary b3BlbnMtYS1kb29y", "{", "", "- - environ: {? [opens-a-door] : x}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		_ = covered(source) // it ends
	})
}

func TestCovered(t *testing.T) {
	const value = "opens-a-door"
	for _, source := range []string{
		"environ: {A: opens-a-door}", "environ: [opens-a-door, {B: opens-a-door}]", "environ: opens-a-door", "b: &v opens-a-door\nenviron: {A: *v}\n",
		"x: &base\n  A: opens-a-door\ntasks:\n- environ:\n    <<: *base\n", "environ:\n  A: >-\n    opens-a-door\n", "{environ: {A: 'opens-a-door'}", "notifications: [{url: 'https://x/opens-a-door'}]",
	} {
		if got := covered(source); strings.Contains(got, value) {
			t.Errorf("%s\n%s", source, got)
		}
	}
	if got := covered("tasks:\n- name: a # why\n  command: echo hello\n  environ: {A: b}\n"); got != "tasks:\n    - name: a # why\n      command: echo hello\n      environ: {A: \"***\"}\n" {
		t.Errorf("%q", got)
	}
}
