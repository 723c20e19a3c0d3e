package process

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// maxRequest bounds a request: an environment has its place in it.
const maxRequest = 8 << 20

func (s *supervisor) serve(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		s.clients.Go(func() {
			defer c.Close()
			s.client(c)
		})
	}
}

// client answers one request. ctx ends when the client hangs up.
func (s *supervisor) client(c *net.UnixConn) {
	req, files, err := receive(c)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan unix.Signal)
	go func() {
		defer cancel()
		heed(c, req.Signals, func(n unix.Signal) {
			select {
			case signals <- n:
			case <-ctx.Done():
			}
		})
	}()
	switch req.Op {
	case opFollow:
		s.follow(ctx, c)
	case opExec:
		answer(c, s.exec(ctx, c, execution{req, files, signals}))
	case opStats:
		st := s.stats()
		answer(c, reply{Stats: &st})
	case opStatus:
		await(ctx, s.underWay)
		answer(c, s.status())
	case opStop:
		s.stop(time.Duration(req.GraceMS) * time.Millisecond)
		await(ctx, s.ended)
		answer(c, s.status())
	case opWait:
		await(ctx, s.ended)
		answer(c, s.status())
	default:
		answer(c, reply{Error: fmt.Sprintf("this session's supervisor does not know how to %q: it is older than the daemon", req.Op)})
	}
}

func await(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// status is the state of a session that is under way, and the exit of one that has ended.
func (s *supervisor) status() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r reply
	if !s.state.StartedAt.IsZero() {
		r.State = new(s.state)
	}
	select {
	case <-s.ended:
		r.Exit = new(s.exit)
	default:
	}
	return r
}

// follow tells of the log's growth: a byte now, since the client has read the log before it asked, and
// one after each growth that the client may not have seen.
func (s *supervisor) follow(ctx context.Context, c net.Conn) {
	for {
		more := s.log.More()
		if _, err := c.Write([]byte{'\n'}); err != nil {
			return
		}
		select {
		case <-more:
		case <-s.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// afterHangUp is how long a command may take to end once its terminal is gone: editors save what was written.
const afterHangUp = 2 * time.Second

// execution is a command that is asked for.
type execution struct {
	request
	files   []*os.File
	signals <-chan unix.Signal
}

// heed returns when the client goes. It says nothing more, but for signals where it said so.
func heed(c *net.UnixConn, signals bool, send func(unix.Signal)) {
	var b [1]byte
	for {
		if n, err := c.Read(b[:]); n == 0 || err != nil || !signals {
			return
		}
		send(unix.Signal(b[0]))
	}
}

func (s *supervisor) exec(ctx context.Context, c *net.UnixConn, req execution) reply {
	files := req.files
	if len(req.Argv) == 0 || req.Terminal == nil && len(files) != 3 {
		return reply{Error: "a command and three descriptors are wanted"}
	}
	var ours *os.File // the terminal's other end
	if req.Terminal != nil {
		var theirs *os.File
		var err error
		if ours, theirs, err = openTerminal(*req.Terminal); err != nil {
			return reply{Error: err.Error()}
		}
		defer ours.Close()
		files = []*os.File{theirs, theirs, theirs}
	}
	first := s.rec.Spec.Processes[0]
	env := s.crew.EnvOf(first.Env)
	maps.Copy(env, req.Env)
	ch, err := s.crew.Launch(pid1.Command{
		Argv: req.Argv, Env: env, Dir: cmp.Or(req.WorkDir, first.WorkDir), Terminal: ours != nil,
		Files: [3]uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
	})
	for _, f := range files {
		f.Close()
	}
	if errors.Is(err, pid1.ErrStopped) {
		return reply{Error: err.Error()}
	}
	if err != nil {
		x := outcome.Of(pid1.Ending{Failed: err.Error()}, time.Now())
		return reply{Exit: &x}
	}
	if ours != nil {
		handOver(c, ours)
	}
	s.obey(ctx, ch, req.signals)
	select {
	case <-ch.Done:
	case <-ctx.Done():
		if ours != nil { // the client's end of it is closed by now, or soon
			ours.Close()
			pid1.HangUp("/proc", ch.PID, ch.Done, afterHangUp)
		}
		_ = unix.Kill(-ch.PID, unix.SIGKILL)
		<-ch.Done
	}
	s.crew.Forget(ch)
	x := outcome.OfCommand(ch.Status, time.Now())
	return reply{Exit: &x}
}

// obey passes signals on until the command ends or its client goes.
func (s *supervisor) obey(ctx context.Context, ch *pid1.Child, signals <-chan unix.Signal) {
	for {
		select {
		case n := <-signals:
			_ = unix.Kill(-ch.PID, n)
		case <-ch.Done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// stats is what the cgroups tell; for what they do not, what the session's own /proc does.
func (s *supervisor) stats() sessions.Stats {
	st := s.group.usage()
	st.At = time.Now()
	if st.CPUTime < 0 || st.Memory < 0 || st.Pids < 0 {
		cpu, memory, threads := pid1.Total(pid1.ReadProc("/proc"))
		if st.CPUTime < 0 {
			st.CPUTime = cpu
		}
		if st.Memory < 0 {
			st.Memory = memory
		}
		if st.Pids < 0 {
			st.Pids = threads
		}
	}
	st.ReadBytes, st.WriteBytes = pid1.Disk("/proc")
	if !s.rec.Shared {
		if b, err := os.ReadFile("/proc/net/dev"); err == nil {
			st.RxBytes, st.TxBytes = pid1.Traffic(string(b), "eth0")
		}
	}
	return st
}

// receive reads a request and the descriptors that come with its first bytes.
func receive(c *net.UnixConn) (request, []*os.File, error) {
	var req request
	b, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(3*4))
	n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return req, nil, err
	}
	var files []*os.File
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for _, m := range messages {
			fds, _ := unix.ParseUnixRights(&m)
			for _, fd := range fds {
				files = append(files, os.NewFile(uintptr(fd), "exec"))
			}
		}
	}
	line := bytes.Clone(b[:n])
	for !bytes.HasSuffix(line, []byte("\n")) && len(line) < maxRequest {
		n, err := c.Read(b)
		if err != nil {
			return req, files, err
		}
		line = append(line, b[:n]...)
	}
	if err := json.Unmarshal(line, &req); err != nil {
		answer(c, reply{Error: "the request is no JSON: " + err.Error()})
		return req, files, err
	}
	return req, files, nil
}
