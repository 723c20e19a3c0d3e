package inside

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kballard/go-shellquote"
)

// usualPath is where programs are looked for in an image that does not say.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is what a line of /etc/passwd says of a user.
type account struct{ name, home, shell string }

// accountOf finds a user by number in the text of /etc/passwd; zero: it has none.
func accountOf(uid int, passwd string) account {
	scan := bufio.NewScanner(strings.NewReader(passwd))
	for scan.Scan() {
		if f := strings.Split(scan.Text(), ":"); len(f) >= 7 && f[2] == strconv.Itoa(uid) {
			return account{f[0], f[5], f[6]}
		}
	}
	return account{}
}

// shells are the ones to try, in this order. A shell that is there to let nobody in is none: whoever got here is in.
func shells(wanted string, a account) [][]string {
	var all [][]string
	for _, s := range []string{wanted, a.shell, "bash", "sh", "ash"} {
		if base := filepath.Base(s); s != "" && base != "nologin" && base != "false" {
			all = append(all, []string{s})
		}
	}
	return append(all, []string{"busybox", "sh"})
}

// errNoShell is what people read in a session whose image brings nothing to type to.
var errNoShell = errors.New("there is no shell in this session's image; name one of its programs by its path, or use another image")

// become makes this process a log-in shell in the user's home, or where line is not "" the shell that runs it. It returns
// only where there is none.
func become(line string, passwd string) error {
	a := accountOf(os.Getuid(), passwd)
	for name, value := range map[string]string{"USER": a.name, "LOGNAME": a.name, "HOME": a.home, "PATH": usualPath} {
		if os.Getenv(name) == "" && value != "" {
			_ = os.Setenv(name, value)
		}
	}
	if home := os.Getenv("HOME"); home != "" {
		_ = os.Chdir(home) // one that may not be entered is left
	}
	for _, s := range shells(os.Getenv("SHELL"), a) {
		path, err := exec.LookPath(s[0])
		if err != nil {
			continue
		}
		base := filepath.Base(path)
		argv := append([]string{base}, s[1:]...)
		switch {
		case line != "":
			argv = append(argv, "-c", line)
		case len(s) == 1:
			argv[0] = "-" + base // what makes it one of a log-in
		}
		_ = os.Setenv("SHELL", path)
		_ = syscall.Exec(path, argv, os.Environ()) // where it fails the next is tried
	}
	if line == "" {
		return errNoShell
	}
	argv, err := shellquote.Split(line) // an image without a shell has programs
	if err != nil || len(argv) == 0 {
		return errNoShell
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("%w (it has no %s either)", errNoShell, cmp.Or(argv[0], "such program"))
	}
	return syscall.Exec(path, argv, os.Environ())
}
