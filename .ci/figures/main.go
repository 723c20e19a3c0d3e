// Command figures runs the benchmarks that have an aim, and prints what they came to, what is short first:
//
//	go run ./.ci/figures [-only PATTERN]
//
// It ends with 1 where something is short or was not measured. Benchmarks of one package run in one go.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed aims.txt
var aims string

// aim is a line of aims.txt.
type aim struct {
	what, pkg, bench, times string
	of                      *regexp.Regexp
	sign                    string
	value                   float64

	got      float64
	measured bool
}

func main() {
	only := flag.String("only", "", "only aims whose words match this `pattern`")
	flag.Parse()
	ok, err := run(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(only string) (bool, error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return false, err
	}
	all, err := parse(aims)
	if err != nil {
		return false, err
	}
	all = slices.DeleteFunc(all, func(a *aim) bool { return !wanted.MatchString(a.what) })
	done := map[[3]string]bool{}
	for _, a := range all {
		run := [3]string{a.pkg, a.bench, a.times}
		if done[run] {
			continue
		}
		done[run] = true
		out, err := benchmark(run)
		if err != nil {
			fmt.Fprintln(os.Stderr, err) // the others are measured all the same
		}
		for _, b := range all {
			if [3]string{b.pkg, b.bench, b.times} == run {
				b.take(out)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *aim) int { return a.rank() - b.rank() })
	fmt.Println("| what | figure | aim | |\n|---|---|---|---|")
	short := 0
	for _, a := range all {
		fmt.Println(a)
		if a.rank() < 2 {
			short++
		}
	}
	fmt.Printf("\n%d of %d reach their aim.\n", len(all)-short, len(all))
	return short == 0, nil
}

func parse(text string) (all []*aim, err error) {
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 6 {
			return nil, fmt.Errorf("aims.txt:%d: %d cells, not 6", n+1, len(cells))
		}
		a := &aim{what: cells[0], pkg: cells[1], bench: cells[2], times: cells[3]}
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

func benchmark(run [3]string) ([]byte, error) {
	args := []string{"test", "-run", "^$", "-bench", run[1], "-timeout", "20m"}
	if run[2] != "" {
		args = append(args, "-benchtime", run[2])
	}
	fmt.Fprintln(os.Stderr, "go", strings.Join(append(args, run[0]), " "))
	out, err := exec.Command("go", append(args, run[0])...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", run[0], err, out)
	}
	return out, nil
}

// take reads the lines of benchmarks: a name, how often, and then values and units in turns.
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

// rank is 0 for what is short, 1 for what was not measured, 2 for what reaches its aim.
func (a *aim) rank() int {
	switch {
	case !a.measured:
		return 1
	case a.sign == "<=" && a.got <= a.value, a.sign == ">=" && a.got >= a.value:
		return 2
	}
	return 0
}

func (a *aim) String() string {
	figure := "-"
	if a.measured {
		figure = strconv.FormatFloat(a.got, 'g', 4, 64)
	}
	return fmt.Sprintf("| %s | %s | %s %s | %s |", a.what, figure, a.sign, strconv.FormatFloat(a.value, 'g', -1, 64),
		[]string{"**short**", "**not measured**", "met"}[a.rank()])
}
