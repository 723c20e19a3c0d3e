package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Error is an error that says what to do about it.
type Error struct {
	err  error
	hint string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// programs are the three that it takes to run a container.
type programs struct {
	containerd, shim, runc string
	version                Version
}

const shimName = "containerd-shim-runc-v2"

// places are searched after PATH: a service manager's or a user's PATH may lack them.
var places = [...]string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/containerd/bin"}

// findPrograms finds them all, or says which are missing. containerd may be named.
func findPrograms(ctx context.Context, containerd string) (programs, error) {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), places[:]...)
	p := programs{containerd: containerd}
	if p.containerd == "" {
		p.containerd = find("containerd", dirs)
	} else if err := executable(p.containerd); err != nil {
		return p, &Error{fmt.Errorf("containerd: %w", err), "name the program itself, or leave the setting out: then it is looked for in PATH"}
	}
	if p.containerd != "" {
		dirs = append([]string{filepath.Dir(p.containerd)}, dirs...)
	}
	p.shim, p.runc = find(shimName, dirs), find("runc", dirs)
	var missing []string
	for _, m := range [][2]string{{"containerd", p.containerd}, {shimName, p.shim}, {"runc", p.runc}} {
		if m[1] == "" {
			missing = append(missing, m[0])
		}
	}
	if len(missing) > 0 {
		return p, &Error{
			fmt.Errorf("%s: not found in PATH, nor in %s", strings.Join(missing, ", "), strings.Join(places[:], ":")),
			missingHint(missing),
		}
	}
	var err error
	p.version, err = askVersion(ctx, p.containerd)
	return p, err
}

func missingHint(missing []string) string {
	if len(missing) == 1 && missing[0] == shimName {
		return "it comes with containerd: put it beside the containerd program, or apt-get install --reinstall containerd"
	}
	var packages []string
	for _, name := range missing {
		if name != shimName {
			packages = append(packages, name)
		}
	}
	return "on Debian and Ubuntu: apt-get install " + strings.Join(packages, " ")
}

// find returns the first file of that name that may be run, "" where there is none.
func find(name string, dirs []string) string {
	for _, dir := range dirs {
		if filepath.IsAbs(dir) && executable(filepath.Join(dir, name)) == nil {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

func executable(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is no absolute path", path)
	}
	_, err := exec.LookPath(path)
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return fmt.Errorf("%s: %w", path, e.Err)
	}
	return err
}

// askVersion asks the program itself.
func askVersion(ctx context.Context, program string) (Version, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer in 10 s"))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.WaitDelay = time.Second // it may have started what keeps its output open
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return Version{}, fmt.Errorf("asking %s for its version: %w", program, err)
	}
	v, err := parseVersion(string(out))
	if err != nil {
		return v, fmt.Errorf("%s: %w", program, err)
	}
	return v, nil
}

// environment of containerd and, through it, of shims and runc: where programs are, and nothing that
// belongs to us, such as the service manager's socket or our secrets.
func (p programs) environment() []string {
	path := []string{filepath.Dir(p.containerd), filepath.Dir(p.shim), filepath.Dir(p.runc)}
	path = append(path, filepath.SplitList(os.Getenv("PATH"))...)
	path = append(path, places[:]...)
	env := []string{"PATH=" + strings.Join(path, string(filepath.ListSeparator))}
	for _, name := range []string{"HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
