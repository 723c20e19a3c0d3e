package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// successor is the process that is to take over. Its methods are for one goroutine.
type successor struct {
	line    *line
	process *os.Process
	exited  chan struct{}
	version string
	stands  map[string]standing // that it has told last
}

// Bounds of a successor that does not come up.
const (
	checkPatience = 30 * time.Second // for a look at its settings
	endPatience   = 5 * time.Second  // to end when it is asked to
)

// check lets the program that is to be started look at its settings, without any daemon, so that what is wrong with
// them disturbs nobody.
func check(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkPatience, fmt.Errorf("it did not answer within %s", checkPatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], "--check")...)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited && len(strings.TrimSpace(string(said))) > 0 {
		text := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(said)), "palisade: "))
		return hinted{fmt.Errorf("%s does not start: %s", command[0], brief(text)), "`" + strings.Join(command, " ") + " --check` says the same; nothing was changed"}
	}
	return hinted{fmt.Errorf("%s cannot be started: %w", command[0], err), "put the program there, or mend it; nothing was changed"}
}

// brief keeps what a program said readable in one message.
func brief(text string) string {
	const most = 2000
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " ..."
	}
	return text
}

// startSuccessor starts command with the listeners, the lock and a line to this process.
func startSuccessor(command []string, lock *os.File, listeners []*os.File) (*successor, error) {
	own, theirs, err := linePair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	names := []string{controlName, lockName}
	for _, l := range listeners {
		names = append(names, strings.ReplaceAll(l.Name(), ":", "-"))
	}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // it outlives this process
	cmd.ExtraFiles = append([]*os.File{theirs, lock}, listeners...)
	cmd.Env = append(os.Environ(), bequeath(names)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		own.close()
		return nil, hinted{fmt.Errorf("%s cannot be started: %w", command[0], err), "put the program there, or mend it; nothing was changed"}
	}
	s := &successor{line: own, process: cmd.Process, exited: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(s.exited) }()
	return s, nil
}

// await returns when it says what is waited for; else why it does not.
func (s *successor) await(ctx context.Context, what string) (message, error) {
	for {
		select {
		case m, speaks := <-s.line.heard:
			switch {
			case !speaks:
				return m, hinted{errors.New("the new process ended without a word"), "what it said is in the daemon's log"}
			case m.Say == sayFailed:
				return m, hinted{errors.New(m.Error), m.Hint}
			case m.Say == sayTable:
				s.stands = m.stands()
			case m.Say == what:
				return m, nil
			}
		case <-ctx.Done():
			return message{}, hinted{
				fmt.Errorf("waiting until the new process is %s: %w", what, context.Cause(ctx)),
				"what it said is in the daemon's log; where it only needs longer, raise restart.patience",
			}
		}
	}
}

// end returns when the process is gone, so that nobody works on the data but who holds the lock.
func (s *successor) end() {
	defer s.line.close()
	_ = s.process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(endPatience)
	defer timer.Stop()
	for {
		select {
		case <-s.exited:
			return
		case <-timer.C:
			_ = s.process.Kill()
		case _, speaks := <-s.line.heard: // it must not wait for somebody to listen
			if !speaks {
				s.line.heard = nil
			}
		}
	}
}
