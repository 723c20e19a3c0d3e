package mps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of one command.
const (
	askPatience   = 5 * time.Second
	startPatience = 10 * time.Second
	mostWords     = 1 << 10 // bytes of its output that an error repeats
)

// control speaks to the service of one directory through NVIDIA's own program, which is the only way in.
type control struct {
	program string
	pipes   string
	logs    string
}

// environment leaves out what this process was started with: CUDA_VISIBLE_DEVICES would hide devices from the service.
func (c control) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/", "LC_ALL=C",
		"CUDA_MPS_PIPE_DIRECTORY=" + c.pipes, "CUDA_MPS_LOG_DIRECTORY=" + c.logs,
	}
}

// say sends one command, and returns what the service says to it.
func (c control) say(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askPatience, fmt.Errorf("no answer in %s", askPatience))
	defer cancel()
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, c.program)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.environment(), strings.NewReader(command+"\n"), &out, &failed
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("asking MPS (%s): %w", command, context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("asking MPS (%s): %w: %s", command, err, brief(failed.String()+out.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// answers tells whether a service is there: it knows its default percentage, a question that changes nothing.
func (c control) answers(ctx context.Context) bool {
	said, err := c.say(ctx, "get_default_active_thread_percentage")
	if err != nil {
		return false
	}
	_, err = strconv.ParseFloat(said, 64)
	return err == nil
}

// start starts the service in the background, as a process of its own session: it outlives this one, as the
// sessions that are its clients do.
func (c control) start(ctx context.Context) error {
	for _, dir := range []string{c.pipes, c.logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil { // its clients have to get in
			return fmt.Errorf("making a directory of MPS: %w", err)
		}
	}
	// To a file, not a pipe: the service keeps it open.
	words, err := os.Create(filepath.Join(c.logs, "start.log"))
	if err != nil {
		return fmt.Errorf("starting MPS: %w", err)
	}
	defer words.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("it did not go to the background in %s", startPatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, "-d")
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = c.environment(), words, words, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		said, _ := os.ReadFile(words.Name())
		return fmt.Errorf("starting MPS: %w: %s", err, brief(string(said)))
	}
	if !c.answers(ctx) {
		return errors.New("starting MPS: it started, and does not answer; see " + filepath.Join(c.logs, "control.log"))
	}
	return nil
}

func brief(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if len(said) > mostWords {
		said = strings.ToValidUTF8(said[:mostWords], "") + " ..."
	}
	return said
}
