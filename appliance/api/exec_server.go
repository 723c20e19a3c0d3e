package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// ServerLine is the appliance's end of a command's streams.
type ServerLine struct {
	l       *line
	resized chan Window
}

// AcceptLine takes a request over as a line. Whoever calls it has looked where the request comes from. Where it fails, the
// request has been answered.
func AcceptLine(w http.ResponseWriter, r *http.Request) (*ServerLine, error) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{ExecProtocol}, InsecureSkipVerify: true})
	if err != nil {
		return nil, fmt.Errorf("taking the connection over: %w", err)
	}
	s := &ServerLine{
		l:       newLine(ws, []Channel{ChannelStdin}, []Channel{ChannelStdout, ChannelStderr}),
		resized: make(chan Window, 1),
	}
	go s.l.live(s.heard)
	return s, nil
}

func (s *ServerLine) heard(c Channel, body []byte) error {
	var size Window
	if c != ChannelResize || json.Unmarshal(body, &size) != nil {
		return fmt.Errorf("%w: a message on channel %d", errLineBroken, c)
	}
	select {
	case <-s.resized: // only the last one counts; nobody else sends
	default:
	}
	s.resized <- size
	return nil
}

// Stdin is what the client sends: io.EOF where it has said that there is no more, another error where it is gone.
func (s *ServerLine) Stdin() io.Reader { return s.l.in[ChannelStdin] }

// Stdout and Stderr go to the client. Writes wait for it, until ctx ends or it is gone.
func (s *ServerLine) Stdout(ctx context.Context) io.Writer { return sender{s.l, ChannelStdout, ctx} }

// Stderr is as Stdout.
func (s *ServerLine) Stderr(ctx context.Context) io.Writer { return sender{s.l, ChannelStderr, ctx} }

// Resized has the last size of the client's terminal that was not seen yet.
func (s *ServerLine) Resized() <-chan Window { return s.resized }

// Gone is closed when the client is gone.
func (s *ServerLine) Gone() <-chan struct{} { return s.l.gone }

// Finish says how the command ended, and ends the line.
func (s *ServerLine) Finish(x Exit) { s.last(ChannelExit, x, websocket.StatusNormalClosure, "") }

// Fail says why there is no end to tell of, and ends the line.
func (s *ServerLine) Fail(p *Problem) {
	code := websocket.StatusInternalError
	if p.Kind() == KindUnavailable {
		code = websocket.StatusGoingAway
	}
	s.last(ChannelProblem, p, code, p.Detail)
}

func (s *ServerLine) last(c Channel, v any, code websocket.StatusCode, why string) {
	_ = s.l.tell(c, v) // a client that is gone needs not to be told
	s.l.close(code, why)
}
