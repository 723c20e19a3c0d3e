package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// dial connects to the supervisor of dir. An error says that there is none, or ctx's.
func dial(ctx context.Context, dir string) (*net.UnixConn, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var dialer net.Dialer
	return dialer.DialUnix(ctx, "unix", nil, &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), fileSocket), Net: "unix"})
}

// ask asks the supervisor of dir, and waits for its answer or for ctx. io.EOF: it went away.
func ask(ctx context.Context, dir string, req request, files ...*os.File) (reply, error) {
	c, err := send(ctx, dir, req, files...)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return hear(ctx, bufio.NewReader(c))
}

// send sends a request to the supervisor of dir.
func send(ctx context.Context, dir string, req request, files ...*os.File) (*net.UnixConn, error) {
	c, err := dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(req)
	if err != nil {
		c.Close()
		return nil, err
	}
	var oob []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		oob = unix.UnixRights(fds...)
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b = append(b, '\n')
	n, _, err := c.WriteMsgUnix(b, oob, nil)
	if err == nil && n < len(b) {
		_, err = c.Write(b[n:])
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if err != nil {
		err = io.EOF
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// hear waits for an answer. io.EOF: the supervisor went away.
func hear(ctx context.Context, from *bufio.Reader) (reply, error) {
	line, err := from.ReadBytes('\n')
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	if err != nil {
		return reply{}, io.EOF
	}
	var rep reply
	if err := json.Unmarshal(line, &rep); err != nil {
		return reply{}, fmt.Errorf("the supervisor's answer: %w", err)
	}
	if rep.Error != "" {
		return reply{}, errors.New(rep.Error)
	}
	return rep, nil
}

// ended asks with req, which is answered when the session ends, until the session has ended. A
// supervisor that goes away without an answer is on its way out: a moment later it is settled.
func (r *Runtime) ended(ctx context.Context, id string, req request) (sessions.Exit, error) {
	if !validID(id) || r.isStarting(id) {
		return sessions.Exit{}, sessions.ErrNoInstance
	}
	for {
		exit, ended, err := r.settle(id)
		if err != nil {
			return exit, err
		}
		if ended {
			r.release(id)
			return exit, nil
		}
		rep, err := ask(ctx, r.dir(id), req)
		if err == nil && rep.Exit != nil {
			r.release(id)
			return *rep.Exit, nil
		}
		select {
		case <-ctx.Done():
			return sessions.Exit{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// release frees the address of a session that has ended: only its log and its exit stay until Remove,
// or a service that keeps failing would use up all addresses. Idempotent; Remove tries again.
func (r *Runtime) release(id string) {
	if r.cfg.Network == nil {
		return
	}
	if err := r.cfg.Network.Remove(id); err != nil {
		r.log.Warn("the network of a session that ended is still there", "session", id, "error", err)
	}
}

// Wait implements sessions.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	exit, err := r.ended(ctx, id, request{Op: opWait})
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("waiting for %s: %w", id, err)
	}
	return exit, nil
}

// afterKill is how long what was sent SIGKILL may take to be gone: a process that waits for a dead
// disk is not gone sooner than the disk answers.
const afterKill = 10 * time.Second

// Stop implements sessions.Runtime.
func (r *Runtime) Stop(ctx context.Context, id string, grace time.Duration) error {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(0, grace)+afterKill)
	defer cancel()
	hurry, stopHurry := context.WithCancel(bound)
	defer stopHurry()
	defer context.AfterFunc(ctx, stopHurry)()
	_, err := r.ended(hurry, id, request{Op: opStop, GraceMS: grace.Milliseconds()})
	if err != nil && hurry.Err() != nil && bound.Err() == nil {
		kill, done := context.WithTimeout(bound, afterKill)
		defer done()
		_, err = r.ended(kill, id, request{Op: opStop})
	}
	if errors.Is(err, context.DeadlineExceeded) { // the supervisor itself hangs
		st, _, _ := readJSON[state](r.dir(id), fileState)
		awaitGone(st.Supervisor, r.dir(id))
		if _, _, err = r.settle(id); err == nil {
			r.release(id)
		}
	}
	if err != nil {
		return fmt.Errorf("stopping %s: %w", id, err)
	}
	return nil
}

// Inspect implements sessions.Observer.
func (r *Runtime) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	if !validID(id) || r.isStarting(id) {
		return sessions.Instance{}, noInstance("looking at", id)
	}
	in, err := r.instance(ctx, id)
	if err != nil {
		return in, fmt.Errorf("looking at %s: %w", id, err)
	}
	return in, nil
}

// Stats implements sessions.Observer.
func (r *Runtime) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	if err := r.mustRun(id); err != nil {
		return sessions.Stats{}, fmt.Errorf("stats of %s: %w", id, err)
	}
	rep, err := ask(ctx, r.dir(id), request{Op: opStats})
	if err != nil || rep.Stats == nil {
		return sessions.Stats{}, fmt.Errorf("stats of %s: %w", id, gone(err))
	}
	return *rep.Stats, nil
}

// mustRun returns why id is not there to be asked.
func (r *Runtime) mustRun(id string) error {
	if !validID(id) || r.isStarting(id) {
		return sessions.ErrNoInstance
	}
	if _, ended, err := r.settle(id); err != nil {
		return err
	} else if ended {
		return fmt.Errorf("it does not run any more: %w", sessions.ErrNoInstance)
	}
	return nil
}

// gone says of an error of ask that the supervisor went away, where it did.
func gone(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it does not run any more: %w", sessions.ErrNoInstance)
	}
	return err
}

// Exec implements sessions.Observer. A command that cannot be started has ended with ExitStartFailed.
// When ctx ends, the command is killed; one on a terminal is hung up first, and may take a moment.
func (r *Runtime) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	if len(cmd.Argv) == 0 {
		return sessions.Exit{}, errors.New("running a command: no command given")
	}
	if err := r.mustRun(id); err != nil {
		return sessions.Exit{}, fmt.Errorf("running a command in %s: %w", id, err)
	}
	with := onPipes
	if cmd.Terminal != nil {
		with = onTerminal
	}
	rep, err := with(ctx, r.dir(id), cmd)
	if err == nil && rep.Exit == nil || errors.Is(err, io.EOF) {
		err = gone(err)
	}
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("running a command in %s: %w", id, err)
	}
	return *rep.Exit, nil
}

func onPipes(ctx context.Context, dir string, cmd sessions.ExecSpec) (reply, error) {
	st, err := openStdio(cmd)
	if err != nil {
		return reply{}, err
	}
	defer st.close()
	c, err := send(ctx, dir, request{Op: opExec, Argv: cmd.Argv, Env: cmd.Env, WorkDir: cmd.WorkDir, Signals: cmd.Signals != nil}, st.theirs[:]...)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	done := make(chan struct{})
	defer close(done)
	go tell(c, cmd.Signals, done)
	rep, err := hear(ctx, bufio.NewReader(c))
	st.finish()
	return rep, err
}

// tell passes signals on to the supervisor.
func tell(c *net.UnixConn, signals <-chan int, done <-chan struct{}) {
	for {
		select {
		case n, open := <-signals:
			if !open {
				return
			}
			if n > 0 && n <= 64 {
				_, _ = c.Write([]byte{byte(n)}) // a command that has ended needs none
			}
		case <-done:
			return
		}
	}
}
