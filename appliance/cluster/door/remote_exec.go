package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// killPatience is how long a command that is to end is waited for: the other box kills it, or is gone.
const killPatience = 15 * time.Second

// Exec implements sessions.Observer.
func (b *remote) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	conn, err := b.client.tunnel(ctx, b.name, sessionPath(id, "/exec"), upgradeExec)
	if err != nil {
		return sessions.Exit{}, err
	}
	defer conn.Break()
	asked, err := json.Marshal(wordsOf(cmd))
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("running a command in %s: %w", id, err)
	}
	c := &call{out: &frames{w: conn}, may: newAllowance(), over: make(chan struct{})}
	if err := c.out.write(kindCommand, asked); err != nil {
		return sessions.Exit{}, b.client.failed(ctx, b.name, err)
	}
	defer c.may.end()
	defer close(c.over)
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Now().Add(killPatience))
		_ = c.out.write(kindKill, nil)
	})()
	if cmd.Stdin != nil {
		go c.types(cmd.Stdin)
	}
	go c.signal(cmd.Signals)
	if cmd.Terminal != nil {
		go c.follow(cmd.Terminal.Resize)
	}
	exit, err := c.hear(ctx, &frameReader{r: conn}, cmd)
	switch {
	case ctx.Err() != nil:
		return sessions.Exit{}, fmt.Errorf("running a command in %s: %w", id, context.Cause(ctx))
	case errors.Is(err, errBroken):
		return sessions.Exit{}, away(ctx, b.name, err)
	}
	return exit, err
}

func wordsOf(cmd sessions.ExecSpec) command {
	out := command{
		Argv: cmd.Argv, Env: cmd.Env, WorkDir: cmd.WorkDir,
		Stdin: cmd.Stdin != nil, Stdout: cmd.Stdout != nil, Stderr: cmd.Stderr != nil, Signals: cmd.Signals != nil,
	}
	if cmd.Stderr != nil && cmd.Stdout != nil && same(cmd.Stdout, cmd.Stderr) {
		out.OneOut = true
	}
	if t := cmd.Terminal; t != nil {
		out.Terminal = &terminal{Size: t.Size, Resize: t.Resize != nil, Type: t.Type}
	}
	return out
}

// same tells whether two writers are one. Those that cannot be compared are two.
func same(a, b io.Writer) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	return a == b
}

// errBroken says that the connection of a command ended before the command.
var errBroken = errors.New("the connection of the command broke off")

// call is a command that runs on another box.
type call struct {
	out  *frames
	may  *allowance
	over chan struct{}
}

// types passes stdin on, as far as the command reads it. It ends with stdin, which may be after the command: nobody can have a
// Reader return.
func (c *call) types(stdin io.Reader) {
	buffer := make([]byte, mostPiece)
	for {
		n, err := stdin.Read(buffer)
		for p := buffer[:n]; len(p) > 0; {
			take := c.may.take(len(p))
			if take == 0 || c.out.write(kindInput, p[:take]) != nil {
				return
			}
			p = p[take:]
		}
		if err != nil {
			_ = c.out.write(kindEnd, nil)
			return
		}
	}
}

func (c *call) signal(signals <-chan int) {
	for {
		select {
		case n, open := <-signals:
			if !open {
				return
			}
			if n > 0 && n <= 64 {
				_ = c.out.write(kindSignal, []byte{byte(n)})
			}
		case <-c.over:
			return
		}
	}
}

func (c *call) follow(sizes <-chan sessions.Window) {
	for {
		select {
		case size, open := <-sizes:
			if !open {
				return
			}
			_ = c.out.write(kindWindow, windowBody(size))
		case <-c.over:
			return
		}
	}
}

// hear passes on what the command writes until it has ended. A writer that fails is written to no more, and the command goes on.
func (c *call) hear(ctx context.Context, in *frameReader, cmd sessions.ExecSpec) (sessions.Exit, error) {
	for {
		kind, body, err := in.next()
		if err != nil {
			return sessions.Exit{}, fmt.Errorf("%w: %w", errBroken, noEOF(err))
		}
		switch kind {
		case kindOut:
			write(ctx, &cmd.Stdout, body)
		case kindErr:
			write(ctx, &cmd.Stderr, body)
		case kindCredit:
			n, err := readCredit(body)
			if err == nil {
				err = c.may.give(n)
			}
			if err != nil {
				return sessions.Exit{}, fmt.Errorf("%w: %w", errBroken, err)
			}
		case kindExit:
			var exit sessions.Exit
			if err := json.Unmarshal(body, &exit); err != nil {
				return exit, fmt.Errorf("%w: %w", errBroken, errFrame)
			}
			return exit, nil
		case kindFault:
			var fault cluster.Fault
			if err := json.Unmarshal(body, &fault); err != nil {
				return sessions.Exit{}, fmt.Errorf("%w: %w", errBroken, errFrame)
			}
			return sessions.Exit{}, fault.Remote()
		}
	}
}

func write(ctx context.Context, w *io.Writer, p []byte) {
	if *w == nil || ctx.Err() != nil {
		return
	}
	if _, err := (*w).Write(p); err != nil {
		*w = nil
	}
}
