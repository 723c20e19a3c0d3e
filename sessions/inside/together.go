package inside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	lookEvery = 100 * time.Millisecond
	// sayAfter is for how long what is waited for is nothing that anybody wants to read of.
	sayAfter = 5 * time.Second
)

// startTogether becomes a program of one of several containers when all of them run and what it needs takes connections. Nothing
// bounds the wait: whoever has started the session does. It returns only where it fails.
func startTogether(args []string) error {
	at := slices.Index(args, "--")
	if at < 0 || at == len(args)-1 {
		return errors.New("cluster-start wants [NAME=HOST]... [HOST:PORT,...]... -- COMMAND [ARGUMENT]... and was given no command")
	}
	f, argv := filler{resolve: net.LookupHost, hosts: map[string]string{}}, args[at+1:]
	var await []string
	for _, arg := range args[:at] {
		if name, host, is := strings.Cut(arg, "="); is {
			f.hosts[name] = host
		} else {
			await = append(await, arg)
		}
	}
	if gate := os.Getenv("PALISADE_CLUSTER_GATE"); gate != "" {
		until("the other containers", func() bool { _, err := os.Stat(gate); return err == nil }) //nolint:gosec // who has started the session says where it is
	}
	await, argv = f.fill(await), f.fill(argv)
	env := f.fill(os.Environ())
	if f.err != nil {
		return f.err
	}
	for address := range strings.SplitSeq(strings.Join(await, ","), ",") {
		if address != "" {
			until(address, func() bool { return answers(address) })
		}
	}
	if os.Getenv("PATH") == "" {
		_ = os.Setenv("PATH", usualPath)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("command %s: not found in the session's PATH (%s)", argv[0], os.Getenv("PATH"))
	}
	if err := syscall.Exec(path, argv, env); err != nil {
		return fmt.Errorf("starting %s: %w", path, err)
	}
	return nil
}

// until waits for something, and says so in the session's log where it takes long.
func until(what string, is func() bool) {
	began, said := time.Now(), false
	for !is() {
		if !said && time.Since(began) > sayAfter {
			fmt.Fprintln(os.Stderr, "palisade: waiting for", what)
			said = true
		}
		time.Sleep(lookEvery)
	}
}

func answers(address string) bool {
	dialer := net.Dialer{Timeout: sayAfter}
	conn, err := dialer.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// filler puts addresses in place of the names that stand for them, once they are asked for.
type filler struct {
	resolve func(host string) ([]string, error)
	hosts   map[string]string // by name
	err     error
}

func (f *filler) fill(words []string) []string {
	out := slices.Clone(words)
	for i, word := range out {
		for name, host := range f.hosts {
			if strings.Contains(word, name) {
				address := f.address(host)
				out[i] = strings.ReplaceAll(out[i], name+":", net.JoinHostPort(address, "")) // in brackets where it is of IPv6
				out[i] = strings.ReplaceAll(out[i], name, address)
			}
		}
	}
	return out
}

// address is where a host of the session is, by IPv4 where it has both.
func (f *filler) address(host string) string {
	found, err := f.resolve(host)
	if err != nil || len(found) == 0 {
		f.err = fmt.Errorf("the address of %s is not known: %w", host, err)
		return ""
	}
	for _, address := range found {
		if strings.Contains(address, ".") {
			return address
		}
	}
	return found[0]
}
