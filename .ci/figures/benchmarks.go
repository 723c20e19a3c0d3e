package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed aims.txt
var aims string

// aim is a line of aims.txt.
type aim struct {
	what  string
	runs  bench
	of    *regexp.Regexp
	sign  string
	value float64

	got      float64
	measured bool
}

// bench is one go at `go test -bench`.
type bench struct{ pkg, name, times string }

// benchmarks runs those of aims.txt, and tells where their time went.
func benchmarks(wanted *regexp.Regexp) ([]figure, []hottest, error) {
	all, err := parse(aims)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	var hot []hottest
	all = slices.DeleteFunc(all, func(a *aim) bool { return !wanted.MatchString(a.what) })
	done := map[bench]bool{}
	for _, a := range all {
		if done[a.runs] {
			continue
		}
		done[a.runs] = true
		out, err := a.runs.run(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err) // the others are measured all the same
		} else if h, err := profiled(a.runs, filepath.Join(dir, "cpu")); err != nil {
			fmt.Fprintln(os.Stderr, err)
		} else if h != nil {
			hot = append(hot, *h)
		}
		for _, b := range all {
			if b.runs == a.runs {
				b.take(out)
			}
		}
	}
	var got []figure
	for _, a := range all {
		got = append(got, a.figure())
	}
	return got, hot, nil
}

func parse(text string) (all []*aim, err error) {
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, " |")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 6 {
			return nil, fmt.Errorf("aims.txt:%d: %d cells, not 6", n+1, len(cells))
		}
		a := &aim{what: cells[0], runs: bench{cells[1], cells[2], cells[3]}}
		var value string
		a.sign, value, _ = strings.Cut(cells[5], " ")
		a.value, err = strconv.ParseFloat(value, 64)
		if err == nil {
			a.of, err = regexp.Compile("^Benchmark" + cells[4] + "$")
		}
		if err == nil && a.sign != "<=" && a.sign != ">=" {
			err = fmt.Errorf("%q is no <= or >=", a.sign)
		}
		if err != nil {
			return nil, fmt.Errorf("aims.txt:%d: %w", n+1, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// run leaves a profile of the processor as dir/cpu, and the package's test program in dir for its other benchmarks.
func (b bench) run(dir string) ([]byte, error) {
	test := filepath.Join(dir, strings.NewReplacer("/", "_", ".", "").Replace(b.pkg)+".test")
	if _, err := os.Stat(test); err != nil {
		if out, err := exec.Command("go", "test", "-c", "-o", test, b.pkg).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", b.pkg, err, out)
		}
	}
	cmd := exec.Command(test, "-test.run", "^$", "-test.bench", b.name, "-test.timeout", "40m", "-test.cpuprofile", filepath.Join(dir, "cpu"))
	if b.times != "" {
		cmd.Args = append(cmd.Args, "-test.benchtime", b.times)
	}
	cmd.Dir = b.pkg
	fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), b.pkg, b.name, b.times)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", b.pkg, err, out)
	}
	return out, nil
}

// take reads the lines of benchmarks: a name, how often, and then values and units in turns. Of several that match, the worst one holds.
func (a *aim) take(out []byte) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			if errors.Is(err, strconv.ErrSyntax) || !a.of.MatchString(words[0]+"/"+words[i+1]) {
				continue
			}
			if !a.measured || a.sign == "<=" && value > a.got || a.sign == ">=" && value < a.got {
				a.got, a.measured = value, true
			}
		}
	}
}

func (a *aim) figure() figure {
	f := figure{what: a.what, got: "-", aim: a.sign + " " + strconv.FormatFloat(a.value, 'f', -1, 64), standing: unmeasured}
	if !a.measured {
		return f
	}
	f.got, f.standing = strconv.FormatFloat(a.got, 'g', 4, 64), short
	if a.sign == "<=" && a.got <= a.value || a.sign == ">=" && a.got >= a.value {
		f.standing = met
	}
	return f
}
