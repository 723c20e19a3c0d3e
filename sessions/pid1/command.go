package pid1

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is one process to start.
type Command struct {
	Argv     []string
	Fallback string // in place of Argv[0] where that is not there
	Env      map[string]string
	Dir      string
	Files    [3]uintptr
	Socket   *os.File // descriptor 3, where it is there: see variants.Process
	Terminal bool     // Files[0] is its controlling terminal
}

// Child is a process that was started.
type Child struct {
	PID    int // as the session sees it, and its process group's
	Host   int // as the box sees it; 0 unknown
	Done   chan struct{}
	Status syscall.WaitStatus // once Done is closed
}

// prepare finds the program and says how to fork it. Its error is a sentence for the owner of the session.
func (c *Command) prepare() (path string, attr *syscall.ProcAttr, err error) {
	dir := cmp.Or(c.Dir, "/")
	if st, err := os.Stat(dir); err != nil {
		return "", nil, fmt.Errorf("working directory %s: %w", dir, plain(err))
	} else if !st.IsDir() {
		return "", nil, fmt.Errorf("working directory %s: it is a file", dir)
	}
	path, err = lookPath(c.Argv[0], c.Env["PATH"], dir)
	if err != nil && c.Fallback != "" {
		// A shell of busybox goes by what it is called.
		c.Argv = append([]string{c.Fallback}, c.Argv[1:]...)
		path, err = lookPath(c.Fallback, c.Env["PATH"], dir)
	}
	files := c.Files[:]
	if c.Socket != nil {
		files = append(files, c.Socket.Fd())
	}
	return path, &syscall.ProcAttr{
		Dir: dir, Env: flatten(c.Env), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: c.Terminal},
	}, err
}

func execError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return errors.New("it is there, but the interpreter or loader that it names is not")
	case errors.Is(err, unix.ENOEXEC):
		return errors.New("it is not a program of this machine, nor a script with a #! line")
	case errors.Is(err, unix.EAGAIN):
		return errors.New("the session's limit of processes is reached")
	}
	return err
}

// plain leaves the path out of an error that is about to name it.
func plain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no such directory in the session")
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// lookPath finds the program name as a shell in dir with that PATH would.
func lookPath(name, path, dir string) (string, error) {
	if name == "" {
		return "", errors.New("the command is empty")
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	var refused error
	for _, p := range filepath.SplitList(path) {
		if !filepath.IsAbs(p) {
			continue
		}
		full := filepath.Join(p, name)
		err := executable(full)
		if err == nil {
			return full, nil
		}
		if !errors.Is(err, errMissing) && refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("command %s: %w in PATH (%s)", name, errMissing, cmp.Or(path, "which is empty"))
}

var errMissing = errors.New("not found")

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("command %s: %w in the session", path, errMissing)
	case errors.Is(err, fs.ErrPermission): // of a directory above it: whether it is there cannot be told
		return fmt.Errorf("command %s: %w in the session, which may not look there", path, errMissing)
	case err != nil:
		return fmt.Errorf("command %s: %w", path, plain(err))
	case st.IsDir():
		return fmt.Errorf("command %s: it is a directory", path)
	case st.Mode()&0o111 == 0:
		return fmt.Errorf("command %s: the file is not executable", path)
	}
	return nil
}

func flatten(env map[string]string) []string {
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
