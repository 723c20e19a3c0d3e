package e2e_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// insideVar tells a process of the test binary that it is one of those that side starts, and where the tools are.
const insideVar = "PALISADE_E2E_INSIDE"

// Tests that take longest are begun first, so that none is left over at the end.
var longest = []string{
	"TestShippedImages", "TestConsole", "TestSeveralBoxes", "TestClusterInContainers", "TestManySmallFiles", "TestTargetTracking", "TestHosts", "TestModelsGoWhereTheyRun",
	"TestHostileTexts", "TestEnginesThatFail", "TestLimitsOfSeveralBoxes", "TestSoak",
}

// side runs the tests that were asked for, several of them side by side.
func side() error {
	tests, err := toRun()
	if err != nil {
		return err
	}
	var (
		shown   sync.Mutex
		failed  bool
		workers sync.WaitGroup
		next    = make(chan []string)
	)
	for range min(len(tests), sideBySide()) {
		workers.Go(func() {
			for args := range next {
				said, err := inside(args, len(tests) == 1)
				shown.Lock()
				failed = failed || err != nil
				if err != nil || flag.Lookup("test.v").Value.String() != "false" {
					_, _ = os.Stdout.Write(said)
				}
				shown.Unlock()
			}
		})
	}
	for _, args := range tests {
		next <- args
	}
	close(next)
	workers.Wait()
	if failed {
		return errors.New("a test failed")
	}
	return nil
}

// sideBySide is what -parallel says, else one more than there are cores, for tests wait for much of their time; at most four: each is a whole
// appliance.
func sideBySide() int {
	n := runtime.GOMAXPROCS(0) + 1
	flag.Visit(func(f *flag.Flag) {
		if g, ok := f.Value.(flag.Getter); ok && f.Name == "test.parallel" {
			n, _ = g.Get().(int)
		}
	})
	return min(n, 4)
}

// toRun are the arguments of each process: one for each test, or one for all where something is measured or looked for.
func toRun() ([][]string, error) {
	given := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool {
		return strings.HasPrefix(arg, "-test.testlogfile=") // many would write it
	})
	for _, whole := range []string{"test.bench", "test.fuzz", "test.coverprofile", "test.cpuprofile", "test.memprofile", "test.trace"} {
		if flag.Lookup(whole).Value.String() != "" {
			return [][]string{given}, nil
		}
	}
	run, sub, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	if run == "" {
		run = "."
	}
	listed, err := exec.Command("/proc/self/exe", "-test.list", run).Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w", err)
	}
	var names []string
	for name := range strings.FieldsSeq(string(listed)) {
		if strings.HasPrefix(name, "Test") {
			names = append(names, name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	all := make([][]string, len(names))
	for i, name := range names {
		only := "-test.run=^" + name + "$"
		if sub != "" {
			only += "/" + sub
		}
		all[i] = append([]string{only}, slices.DeleteFunc(slices.Clone(given), func(arg string) bool { return strings.HasPrefix(arg, "-test.run=") })...)
	}
	return all, nil
}

func rank(name string) int {
	if i := slices.Index(longest, name); i >= 0 {
		return i
	}
	return len(longest)
}

// inside starts the test binary in a network namespace. What it says is returned or, where aloud, shown at once.
func inside(args []string, aloud bool) ([]byte, error) {
	var said bytes.Buffer
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideVar+"="+have.String())
	cmd.Stdout = io.Writer(&said)
	if aloud {
		cmd.Stdout = os.Stdout
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err := cmd.Run()
	return said.Bytes(), err
}
