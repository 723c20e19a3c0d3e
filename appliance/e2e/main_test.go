package e2e_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// tools are what the tests need beside the test binary; built or fetched once.
type tools struct {
	palisade  string // the binary under test
	mkhello   string // writes models
	badengine string // an engine with bad manners
	engine    string // directory of llama-server
	openai    string // directory whose node_modules has OpenAI's client
	anthropic string // the same of Anthropic's
	axe       string // the script of axe-core
}

var have tools

// all are what a process of the tests hands to another: see take.
func (h *tools) all() []*string {
	return []*string{&h.palisade, &h.mkhello, &h.badengine, &h.engine, &h.openai, &h.anthropic, &h.axe}
}

func (h *tools) String() string {
	var paths []string
	for _, p := range h.all() {
		paths = append(paths, *p)
	}
	return strings.Join(paths, "\n")
}

func (h *tools) take(paths string) {
	for i, path := range strings.Split(paths, "\n") {
		*h.all()[i] = path
	}
}

// TestMain starts each test in a process of its own, in a network namespace of its own: the appliance makes a bridge and
// takes addresses, which must be none of the machine's nor of another test. See side_test.go.
func TestMain(m *testing.M) {
	flag.Parse()
	if given := os.Getenv(insideVar); given != "" {
		have.take(given)
		if err := loopback(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: these tests need root: they make a network namespace and limit sessions by cgroups")
		os.Exit(1)
	}
	err := prepare()
	if err == nil {
		err = side()
	}
	if have.palisade != "" {
		_ = os.RemoveAll(filepath.Dir(have.palisade))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bringing loopback up: %w", err)
	}
	return nil
}

func prepare() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	// Not below /tmp: sessions have a /tmp of their own and the supervisor's program must be seen in them.
	bin, err := os.MkdirTemp("/var/tmp", "pal-e2e-bin-")
	if err != nil {
		return err
	}
	if _, err := output(root, "make", "-s", "session-init"); err != nil {
		return err
	}
	have.palisade, have.mkhello = filepath.Join(bin, "palisade"), filepath.Join(bin, "mkhello")
	if _, err := output(root, "go", "build", "-o", bin+"/", "./appliance/cmd/palisade", "./model-definitions/hello/mkhello"); err != nil {
		return err
	}
	have.badengine = filepath.Join(bin, "badengine")
	if _, err := output(root, "go", "build", "-o", have.badengine, "./appliance/e2e/testdata/badengine"); err != nil {
		return err
	}
	if have.engine, err = output(root, "firmware-images/engines/llama-cpp/build.sh"); err != nil {
		return err
	}
	if have.openai, err = output(root, ".ci/openai-client"); err != nil {
		return err
	}
	if have.anthropic, err = output(root, ".ci/anthropic-client/build"); err != nil {
		return err
	}
	have.axe, err = output(root, ".ci/axe")
	return err
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("no go.mod above the tests")
}

// output runs a command and returns the last line that it printed.
func output(dir, name string, args ...string) (string, error) {
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	return lines[len(lines)-1], nil
}
