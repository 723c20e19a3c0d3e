package door

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// readPatience is how long who asked for a command may take to read the last of what that has written.
const readPatience = 2 * time.Minute

// command is a sessions.ExecSpec as it goes to another box.
type command struct {
	Argv    []string          `json:"argv"`
	Env     map[string]string `json:"env,omitempty"`
	WorkDir string            `json:"work_dir,omitempty"`
	Stdin   bool              `json:"stdin,omitempty"`
	Stdout  bool              `json:"stdout,omitempty"`
	Stderr  bool              `json:"stderr,omitempty"`
	OneOut  bool              `json:"one_out,omitempty"` // stdout and stderr are one, in order
	Signals bool              `json:"signals,omitempty"`

	Terminal *terminal `json:"terminal,omitempty"`
}

type terminal struct {
	Size   sessions.Window `json:"size"`
	Resize bool            `json:"resize,omitempty"`
	Type   string          `json:"type,omitempty"`
}

// exec runs a command for another box. Its connection says all there is about it; when that breaks, or says so, it is killed.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	c, release, err := s.takeOver(w, r, upgradeExec)
	if err != nil {
		return err
	}
	defer release()
	x := &execution{conn: c, out: &frames{w: c}}
	if err := x.serve(r.Context(), box, id); err != nil {
		s.log.Debug("a command for another box broke off", "session", id, "peer", peerOf(r.Context()), "error", err)
	}
	return nil
}

// execution is a command that runs here for another box.
type execution struct {
	conn   *Conn
	out    *frames
	in     *input
	resize chan sessions.Window
	signal chan int
}

func (x *execution) serve(ctx context.Context, box Box, id string) error {
	var asked command
	in := &frameReader{r: x.conn}
	kind, body, err := in.next()
	if err == nil && kind != kindCommand {
		err = errFrame
	}
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil {
		return fmt.Errorf("reading which command is to be run: %w", err)
	}
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	spec := x.spec(asked)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		err := x.hear(in)
		x.in.end(err)
		kill(err)
	}()
	exit, err := box.Exec(ctx, id, spec)
	last, word := byte(kindExit), any(exit)
	if err != nil {
		last, word = kindFault, cluster.FaultOf(err)
	}
	text, err := json.Marshal(word)
	if err != nil {
		return fmt.Errorf("telling how a command ended: %w", err)
	}
	if err := x.out.write(last, text); err != nil {
		return err
	}
	_ = x.conn.CloseWrite()
	// Who asked breaks off when it has all. To do so here, while it may still send stdin, would be a reset, and takes from it what it
	// has not read.
	_ = x.conn.SetReadDeadline(time.Now().Add(readPatience))
	<-heard
	return nil
}

func (x *execution) spec(asked command) sessions.ExecSpec {
	x.in = newInput(func(n int) { _ = x.out.write(kindCredit, creditBody(n)) })
	spec := sessions.ExecSpec{Argv: asked.Argv, Env: asked.Env, WorkDir: asked.WorkDir}
	if asked.Stdin {
		spec.Stdin = x.in
	}
	if asked.Stdout {
		spec.Stdout = &stream{x.out, kindOut}
	}
	switch {
	case asked.OneOut:
		spec.Stderr = spec.Stdout
	case asked.Stderr:
		spec.Stderr = &stream{x.out, kindErr}
	}
	if asked.Signals {
		x.signal = make(chan int, 16)
		spec.Signals = x.signal
	}
	if t := asked.Terminal; t != nil {
		spec.Terminal = &sessions.Terminal{Size: t.Size, Type: t.Type}
		if t.Resize {
			x.resize = make(chan sessions.Window, 1)
			spec.Terminal.Resize = x.resize
		}
	}
	return spec
}

// hear does what the other box says until it says that the command is to end, or nothing any more. It waits for nobody else.
func (x *execution) hear(in *frameReader) error {
	for {
		kind, body, err := in.next()
		if err != nil {
			return fmt.Errorf("who asked for the command is gone: %w", err)
		}
		switch kind {
		case kindInput:
			err = x.in.put(body)
		case kindEnd:
			x.in.end(io.EOF)
		case kindWindow:
			err = x.resized(body)
		case kindSignal:
			if len(body) == 1 && x.signal != nil {
				select {
				case x.signal <- int(body[0]):
				default: // it takes none, and has been sent many
				}
			}
		case kindKill:
			return context.Canceled
		}
		if err != nil {
			return err
		}
	}
}

// resized passes on how large the terminal is: the last word counts.
func (x *execution) resized(body []byte) error {
	size, err := readWindow(body)
	if err != nil || x.resize == nil {
		return err
	}
	for {
		select {
		case x.resize <- size:
			return nil
		default:
		}
		select {
		case <-x.resize:
		default:
		}
	}
}
