// Command figures measures all that has an aim, and prints one page of it, what is short first:
//
//	go run ./.ci/figures [-only PATTERN] [-into FILE]
//
// It runs the benchmarks of aims.txt, the data plane beside others (bin/bench/bench, see router/bench) and the rehearsals of the
// autoscaler. It ends with 1 where something is short or was not measured. Benchmarks are profiled as they run,
// and the page ends with the hottest places of each.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one row of the page.
type figure struct {
	what, got, aim string
	standing       standing
	note           string // of how it was measured; "" is nothing to say
}

type standing int

const (
	short standing = iota
	unmeasured
	met
)

func (f figure) String() string {
	word := [...]string{"**short**", "**not measured**", "met"}[f.standing]
	return fmt.Sprintf("| %s | %s | %s | %s |", f.what, f.got, f.aim, strings.TrimSpace(word+" "+f.note))
}

// source is something that measures.
type source struct {
	name string // what -only is held against
	run  func() ([]figure, error)
}

func main() {
	only := flag.String("only", "", "only figures whose words match this `pattern`")
	into := flag.String("into", "", "`file` whose part between the marks of figures becomes this page")
	flag.Parse()
	ok, err := run(*only, *into)
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(only, into string) (bool, error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return false, fmt.Errorf("-only: %w", err)
	}
	var all []figure
	for _, s := range []source{{"the data plane", plane}, {"the autoscaler rehearsed", rehearsals}} {
		if !wanted.MatchString(s.name) {
			continue
		}
		some, err := s.run()
		if err != nil {
			return false, err
		}
		all = append(all, some...)
	}
	some, hot, err := benchmarks(wanted)
	if err != nil {
		return false, err
	}
	all = append(all, some...)
	made := page(all, hot)
	fmt.Print(made)
	if into != "" {
		if err := put(into, made); err != nil {
			return false, err
		}
	}
	return !slices.ContainsFunc(all, func(f figure) bool { return f.standing != met }), nil
}

// page is what was measured, what is short first, and where the time of the benchmarks went.
func page(all []figure, hot []hottest) string {
	slices.SortStableFunc(all, func(a, b figure) int { return int(a.standing) - int(b.standing) })
	var b strings.Builder
	reached := 0
	b.WriteString("| what | figure | aim | |\n|---|---|---|---|\n")
	for _, f := range all {
		fmt.Fprintln(&b, f)
		if f.standing == met {
			reached++
		}
	}
	fmt.Fprintf(&b, "\n%d of %d reach their aim. %s, %d cores (%s), %s.\n", reached, len(all), time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor(), revision())
	if len(hot) > 0 {
		b.WriteString("\nWhere the processor was found most often in each of them, of its time in that process:\n\n| benchmark | the three hottest places |\n|---|---|\n")
		for _, h := range hot {
			fmt.Fprintln(&b, h)
		}
	}
	return b.String()
}

const from, to = "<!-- figures: make bench -->\n", "<!-- end of figures -->\n"

// put replaces what is between the marks.
func put(path, made string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(text, []byte(from))
	_, tail, ended := bytes.Cut(rest, []byte(to))
	if !ok || !ended {
		return fmt.Errorf("%s has no part between %q and %q", path, strings.TrimSpace(from), strings.TrimSpace(to))
	}
	return os.WriteFile(path, slices.Concat(head, []byte(from), []byte(made), []byte(to), tail), 0o644)
}
