package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// plane runs the data plane's own bench, whose tables go to standard error as they come, and takes its aims. Each of its rounds is
// shorter than by default, and waits less for others to be quiet: who runs all of this leaves the machine alone.
func plane() ([]figure, error) {
	var out bytes.Buffer
	cmd := exec.Command("bin/bench/bench", "-time", "3s", "-patience", "3s")
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stderr), os.Stderr
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		return nil, fmt.Errorf("%w (`make bench` builds it)", err)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "bin/bench/bench:", err) // what it came to so far counts
	}
	return planeFigures(out.String()), nil
}

// planeFigures reads the tables that tell of aims: what, aim, what came out, how it stands.
func planeFigures(text string) (got []figure) {
	aims := false
	for line := range strings.Lines(text) {
		cells := cells(line)
		switch {
		case len(cells) != 4:
			aims = false
		case cells[0] == "aim":
			aims = true
		case aims && !strings.HasPrefix(cells[0], "-"):
			f := figure{what: cells[0], aim: cells[1], got: cells[2], standing: unmeasured}
			word, disturbed := strings.CutSuffix(cells[3], " ~")
			switch word {
			case "met":
				f.standing = met
			case "**not met**":
				f.standing = short
			}
			if disturbed {
				f.note = "(disturbed)"
			}
			got = append(got, f)
		}
	}
	return got
}

// rehearsals holds the autoscaler beside other formulas on traces: never more accelerator hours for the same wait.
func rehearsals() ([]figure, error) {
	out, err := exec.Command("go", "test", "-count=1", "-timeout", "10m", "-run", "TestComparison", "-v", "./autoscaler/rehearse").CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	return rehearsalFigures(string(out)), nil
}

// more is what ours takes more than another for the same wait, as the last cell of a row has it: 9.0 (-16 %).
var more = regexp.MustCompile(`\(([+-]?[0-9]+) %\)$`)

func rehearsalFigures(text string) []figure {
	f := figure{what: "accelerator hours beside Kubernetes' and Knative's formulas for the same wait, worst of all traces: % more", got: "-", aim: "<= 0", standing: unmeasured}
	worst, rows := 0, 0
	for line := range strings.Lines(text) {
		if m := more.FindStringSubmatch(strings.TrimRight(strings.TrimSpace(line), " |")); m != nil {
			if v, err := strconv.Atoi(m[1]); err == nil && (rows == 0 || v > worst) {
				worst = v
			}
			rows++
		}
	}
	if rows > 0 {
		f.got, f.standing, f.note = strconv.Itoa(worst), short, fmt.Sprintf("(%d rows)", rows)
		if worst <= 0 {
			f.standing = met
		}
	}
	return []figure{f}
}

// cells are those of a row of a Markdown table; nil where the line is none.
func cells(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	all := strings.Split(line[1:len(line)-1], "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// processor names the machine's.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func revision() string {
	out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown revision"
	}
	return strings.TrimSpace(string(out))
}
