package private

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
)

// adoptOrLaunch is Start's decision: see there.
func (d *Daemon) adoptOrLaunch(ctx context.Context) (*process, error) {
	r, err := readRecord(d.layout.record())
	if err != nil {
		return nil, err
	}
	p, err := r.running()
	if err != nil {
		return nil, err
	}
	if p == nil { // started by a palisade that died before it had noted that
		if p, err = listener(ctx, d.layout.socket()); err != nil {
			return nil, err
		}
	}
	if p == nil {
		return d.launch(ctx)
	}
	why := ""
	switch {
	case r.PID != p.pid:
		why = "nobody knows how it was started"
	case r.Version != d.programs.version.Text:
		why = fmt.Sprintf("it is %s, the program is %s now", r.Version, d.programs.version)
	case r.Settings != fingerprint(d.settings):
		why = "its settings have changed"
	default:
		if err := d.ready(ctx, p, adoptIn); err != nil {
			if ctx.Err() != nil {
				p.release()
				return nil, err
			}
			why = err.Error()
		}
	}
	if why == "" {
		d.log.Info("taking over the private containerd that runs", "pid", p.pid, "version", d.programs.version)
		d.publish(p, "")
		return p, nil
	}
	d.log.Info("restarting the private containerd that runs", "pid", p.pid, "why", why)
	err = d.end(ctx, p)
	p.release()
	if err != nil {
		return nil, err
	}
	return d.launch(ctx)
}

func fingerprint(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// launch starts containerd and returns when it answers. One that does not is ended.
func (d *Daemon) launch(ctx context.Context) (*process, error) {
	if err := d.writeSettings(); err != nil {
		return nil, err
	}
	out, from, err := d.openLog()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	child, err := os.StartProcess(d.programs.containerd, []string{"containerd", "--config", d.layout.settings()}, &os.ProcAttr{
		Dir: "/", Env: d.programs.environment(), Files: []*os.File{null, out, out},
		Sys: &syscall.SysProcAttr{Setsid: true}, // no signal to our group or terminal is meant for it
	})
	if err != nil {
		return nil, err
	}
	p, err := openProcess(child.Pid, child)
	if err != nil {
		_ = child.Kill()
		_, _ = child.Wait()
		return nil, err
	}
	p.from = from
	if err := errors.Join(d.note(p), d.ready(ctx, p, readyIn)); err != nil {
		if words := lastWords(d.layout.log(), from); words != "" {
			err = fmt.Errorf("%w; it says: %s", err, words)
		}
		err = errors.Join(err, d.end(ctx, p))
		p.release()
		return nil, &Error{err, "all that it said is in " + d.layout.log()}
	}
	d.log.Info("the private containerd runs", "pid", p.pid, "version", d.programs.version, "socket", d.layout.socket())
	d.publish(p, "")
	return p, nil
}

// note writes down which process is ours, for the next palisade.
func (d *Daemon) note(p *process) error {
	started, err := startTime(p.pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil // it has ended: ready will say how
	}
	if err != nil {
		return err
	}
	r := record{PID: p.pid, Started: started, Boot: bootID(), Version: d.programs.version.Text, Settings: fingerprint(d.settings)}
	return r.write(d.layout.record())
}

// ready waits until p answers on the socket.
func (d *Daemon) ready(ctx context.Context, p *process, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it does not answer on %s in %v", d.layout.socket(), within))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if d.answers(ctx) == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.gone:
			return fmt.Errorf("containerd ended before it answered: %s", p.how)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch returns when p has ended, "", or when it is taken to hang: then with why. ctx's end ends it with an error.
// It asks three times within the patience that there is: a box that is busy for a moment is not one that hangs.
func (d *Daemon) watch(ctx context.Context, p *process) (why string, err error) {
	tick := time.NewTicker(d.patience / 3)
	defer tick.Stop()
	answered := time.Now()
	for {
		select {
		case <-p.gone:
			return "", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-tick.C:
		}
		switch err := d.answers(ctx); {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err == nil:
			answered = time.Now()
		case time.Since(answered) >= d.patience:
			return fmt.Sprintf("it has given no answer for %v (%v)", d.patience, err), nil
		}
	}
}

// answers asks for the version: a socket that takes connections may have nobody behind it who answers.
func (d *Daemon) answers(ctx context.Context) error {
	if _, err := os.Stat(d.layout.socket()); err != nil {
		return err
	}
	c, err := client.New(d.layout.socket(), client.WithTimeout(time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err = c.Version(ctx)
	return err
}

// supervise restarts what dies, and replaces what hangs, until ctx ends. Sessions notice neither.
func (d *Daemon) supervise(ctx context.Context, p *process) {
	failures, began := 0, time.Now()
	for {
		hangs, err := d.watch(ctx, p)
		if err != nil {
			return
		}
		if hangs != "" {
			d.publish(nil, "containerd hangs: "+hangs)
			d.log.Warn("the private containerd hangs; it is ended, and started again", "pid", p.pid, "why", hangs)
			if err := d.end(ctx, p); err != nil {
				d.log.Error("the private containerd that hangs cannot be ended; this is tried again", "pid", p.pid, "err", err)
				continue
			}
		}
		if time.Since(began) >= steadyFor {
			failures = 0
		}
		reason := "containerd ended: " + p.how
		if words := lastWords(d.layout.log(), p.from); words != "" {
			reason += "; it said: " + words
		}
		d.publish(nil, reason)
		next := p
		for next == p {
			failures++
			d.log.Warn("the private containerd is gone; sessions go on, and it is started again", "reason", reason, "in", pause(failures))
			select {
			case <-time.After(pause(failures)):
			case <-ctx.Done():
				return
			}
			started, err := d.launch(ctx)
			if ctx.Err() != nil && err != nil {
				return
			}
			if err != nil {
				reason = err.Error()
				d.publish(nil, reason)
				continue
			}
			next = started
		}
		p.release()
		p, began = next, time.Now()
		d.mu.Lock()
		d.state.Restarts++
		d.mu.Unlock()
	}
}

// pause before the next start, after so many failures in a row: 100 ms, doubling, at most 30 s.
func pause(failures int) time.Duration {
	const first, most = 100 * time.Millisecond, 30 * time.Second
	return min(first<<min(max(failures, 1)-1, 20), most)
}

// largestLog is when a log is put aside, at the next start.
const largestLog = 8 << 20

// openLog opens the log to append to and returns where its end is.
func (d *Daemon) openLog() (*os.File, int64, error) {
	path := d.layout.log()
	if info, err := os.Stat(path); err == nil && info.Size() > largestLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// lastWords returns the last line of the log that begins at or after from, "" where there is none.
func lastWords(path string, from int64) string {
	const most = 64 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-most)
	}
	last := ""
	for lines := bufio.NewScanner(io.NewSectionReader(f, from, most)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			last = line
		}
	}
	if _, message, ok := strings.Cut(last, ` msg="`); ok && strings.Contains(last, "level=") {
		last = strings.TrimSuffix(message, `"`)
	}
	return strings.ToValidUTF8(last[:min(len(last), 300)], "")
}
