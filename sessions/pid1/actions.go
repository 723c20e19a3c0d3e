package pid1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/variants"
)

// act does the k-th pre-start action of p. Files are written with the session's rights.
func (c *Crew) act(p variants.Process, k int) (err error) {
	select {
	case <-c.stopping:
		return ErrStopped
	default:
	}
	a := p.PreStart[k].Args
	switch name := p.PreStart[k].Name; name {
	case "run_command":
		return c.runCommand(p, k)
	case "write_file", "write_tempfile":
		c.Spawner.Do(func() { err = writeFile(inDir(p.WorkDir, a.Filename), a.Body, a.Mode, a.Append) })
	case "mkdir":
		c.Spawner.Do(func() { err = os.MkdirAll(inDir(p.WorkDir, a.Path), 0o755) })
	case "log":
		_, err = io.WriteString(c.Log, a.Message+"\n")
	default:
		return fmt.Errorf("there is no action of that name: %q", name)
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: write to /tmp or to a scratch directory", err)
	}
	return err
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join("/", dir, path)
}

func writeFile(path string, lines []string, mode string, appending bool) error {
	perm := uint64(0o644)
	if mode != "" {
		var err error
		if perm, err = strconv.ParseUint(mode, 8, 12); err != nil {
			return fmt.Errorf("mode %q: not octal", mode)
		}
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if appending {
		how = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	f, err := os.OpenFile(path, how, fs.FileMode(perm))
	if err != nil {
		return err
	}
	for _, l := range lines {
		if _, err = f.WriteString(l + "\n"); err != nil {
			break
		}
	}
	return errors.Join(err, unix.Fchmod(int(f.Fd()), uint32(perm)), f.Close())
}

func (c *Crew) runCommand(p variants.Process, k int) error {
	a := p.PreStart[k].Args
	out, said := c.Out, func() string { return "" }
	if !a.Echo {
		w, text, err := tailPipe()
		if err != nil {
			return err
		}
		defer w.Close()
		out, said = w, text
	}
	dir := p.WorkDir
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = "/"
	}
	ch, err := c.Launch(Command{Argv: a.Command, Env: c.EnvOf(p.Env), Dir: dir,
		Files: [3]uintptr{c.Null.Fd(), out.Fd(), out.Fd()}})
	if err != nil {
		if a.IgnoreError && !errors.Is(err, ErrStopped) {
			fmt.Fprintf(c.Log, "[palisade: pre-start action %d, run_command: %v; it may fail]\n", k+1, err)
			return nil
		}
		return err
	}
	if out != c.Out {
		out.Close()
	}
	<-ch.Done
	c.Forget(ch)
	if ch.Status.Exited() && ch.Status.ExitStatus() == 0 {
		return nil
	}
	how := How(ch.Status)
	if a.IgnoreError {
		fmt.Fprintf(c.Log, "[palisade: %s: %s; it may fail]\n", strings.Join(a.Command, " "), how)
		return nil
	}
	if text := strings.TrimSpace(said()); text != "" {
		fmt.Fprintln(c.Log, text)
		how += ": " + text
	}
	return fmt.Errorf("%s: %s", strings.Join(a.Command, " "), how)
}

// maxSaid is how much of what a failed action said is told.
const maxSaid = 1 << 10

// tailPipe returns the writing end of a pipe, and a function that returns the last words written to
// it once its writers have gone, or soon after.
func tailPipe() (*os.File, func() string, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	r, w := os.NewFile(uintptr(p[0]), "output"), os.NewFile(uintptr(p[1]), "output")
	var mu sync.Mutex
	var tail []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		b := make([]byte, 4096)
		for {
			n, err := r.Read(b)
			mu.Lock()
			tail = append(tail, b[:n]...)
			tail = tail[max(0, len(tail)-maxSaid):]
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w, func() string {
		select {
		case <-done:
		case <-time.After(200 * time.Millisecond):
		}
		mu.Lock()
		defer mu.Unlock()
		return string(bytes.ToValidUTF8(tail, []byte("?")))
	}, nil
}
