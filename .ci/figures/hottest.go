package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// hottest is where the processor's time of a benchmark went.
type hottest struct {
	of     bench
	places []string // a function and its own part of the time, the hottest first
}

func (h hottest) String() string {
	return fmt.Sprintf("| `%s` of `%s` | %s |", strings.Trim(h.of.name, "^$"), h.of.pkg, strings.Join(h.places, "; "))
}

// places is how many of a profile are shown.
const places = 3

// profiled reads what a run of a benchmark has left; nil where its processes were others than that of the test, as those of the whole
// appliance are: what such a test does is to wait.
func profiled(of bench, profile string) (*hottest, error) {
	if strings.HasSuffix(of.pkg, "/e2e") {
		return nil, nil
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-flat", profile).Output()
	if err != nil {
		return nil, fmt.Errorf("the profile of %s: %w", of.name, err)
	}
	h := &hottest{of: of, places: top(string(out))}
	if len(h.places) == 0 {
		return nil, fmt.Errorf("the profile of %s holds nothing", of.name)
	}
	return h, nil
}

// row is one of `pprof -top`: flat, flat %, sum %, cum, cum %, name.
var row = regexp.MustCompile(`^\s*\S+\s+([0-9.]+)%\s+[0-9.]+%\s+\S+\s+[0-9.]+%\s+(.+?)( \(inline\))?$`)

func top(text string) (found []string) {
	for line := range strings.Lines(text) {
		m := row.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil || len(found) == places {
			continue
		}
		name := m[2]
		if i := strings.LastIndex(name, "/"); i >= 0 && !strings.Contains(name[:i], "[") {
			name = name[i+1:]
		}
		found = append(found, fmt.Sprintf("`%s` %s %%", name, m[1]))
	}
	return found
}
