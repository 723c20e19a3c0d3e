// Package shell owns a person at a shell who has a machine of their own, as far as they can tell: its own processes, mounts
// and network, with loopback alone. It types commands, one after the other, and hears what they print. It does not know what
// the commands are about. It needs root.
package shell

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Shell is a bash. It is for one goroutine.
type Shell struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *os.File
	lines  *bufio.Reader
	mark   string // what it prints when a command has ended, before the command's code
}

// Start starts a shell in a directory with that environment. Close ends it.
func Start(dir string, env []string) (*Shell, error) {
	output, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe for what the shell prints: %w", err)
	}
	defer input.Close()
	cmd := exec.Command("/bin/bash", "--noprofile", "--norc") //nolint:noctx // Close ends it
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = input, input
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = output.Close()
		return nil, fmt.Errorf("starting a shell in a machine of its own: %w", err)
	}
	s := &Shell{cmd: cmd, stdin: stdin, output: output, lines: bufio.NewReader(output), mark: "--- " + strconv.Itoa(cmd.Process.Pid) + " has ended with "}
	const machine = "mount --make-rprivate / && mount -t proc proc /proc && ip link set lo up"
	if said, code, err := s.Type(machine, time.Minute); err != nil || code != 0 {
		s.Close()
		return nil, fmt.Errorf("making a machine for the shell: %s (%w)", said, err)
	}
	return s, nil
}

// Type types a command, which may have several lines, and returns what it printed, on stdout and stderr in that order in
// which it did, and its exit code. Its standard input is empty. An error says that the shell has ended, or was ended because
// the command took longer than it may.
func (s *Shell) Type(command string, atMost time.Duration) (printed string, code int, err error) {
	timer := time.AfterFunc(atMost, s.kill)
	defer timer.Stop()
	if _, err := fmt.Fprintf(s.stdin, "eval %s </dev/null; printf '\\n%%s%%d\\n' '%s' $?\n", quoted(command), s.mark); err != nil {
		return "", 0, fmt.Errorf("the shell has ended: %w", err)
	}
	var b strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		if word, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), s.mark); ok {
			code, err := strconv.Atoi(word)
			return strings.TrimSuffix(b.String(), "\n"), code, err
		}
		b.WriteString(line)
		if err != nil {
			return b.String(), 0, fmt.Errorf("the shell has ended, or was ended after %s: %w", atMost, err)
		}
	}
}

// quoted is text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// kill ends the first process of the machine, and so all of them.
func (s *Shell) kill() { _ = s.cmd.Process.Kill() }

// Close ends the shell and all that it has started.
func (s *Shell) Close() {
	s.kill()
	_ = s.cmd.Wait()
	_ = s.stdin.Close()
	_ = s.output.Close()
}
