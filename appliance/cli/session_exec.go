package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/palisade-run/palisade/appliance/api"
)

// commandEnd is the end of somebody else's program, whose exit code becomes ours. It has said itself what there is to say,
// but for one that could not be started or was ended by a signal.
type commandEnd struct{ exit api.Exit }

func (e *commandEnd) Error() string { return e.exit.Message }

// code is what a shell would return for it.
func (e *commandEnd) code() int {
	if e.exit.Code < 0 || e.exit.Code > 255 {
		return exitFailed
	}
	return e.exit.Code
}

// silent tells whether a person would learn nothing from the message.
func (e *commandEnd) silent() bool { return e.exit.Reason == "failed" }

func endOf(x api.Exit) error {
	if x.Reason == "completed" {
		return nil
	}
	return &commandEnd{x}
}

func (a *app) sessionExec() *cobra.Command {
	var o api.ExecOptions
	var terminal bool
	var env []string
	cmd := &cobra.Command{
		Use: "exec SESSION -- COMMAND...", Short: "Run a command in a session that runs", Args: words("SESSION COMMAND", 2, -1),
		Long: "Run a command in a session that runs, as its user and with what it sees; the exit code is the command's. A command\n" +
			"is ended with this program: it is hung up with -t, and without it its input ends and it is killed 10 s later.",
		Example: "  palisade session exec -it ses-4k2m9x7qwd3n -- bash\n" +
			"  palisade session exec -i ses-4k2m9x7qwd3n -- tar -x -C /work < data.tar",
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Env, err = pairs("-e", env, a.LookupEnv); err != nil {
				return err
			}
			if o.Command = args[1:]; o.Command[0] == "--" {
				o.Command = o.Command[1:]
			}
			if len(o.Command) == 0 {
				return &usageError{message: "session exec needs a COMMAND", line: cmd.UseLine()}
			}
			t := &console{app: a}
			if terminal {
				if o.Stdin && !isTerminal(a.Stdin) {
					return &usageError{message: "-t: the input is no terminal", hint: "leave -t out: then the input is passed on as it is"}
				}
				t.take, o.Size, o.Term = true, new(t.size()), a.env("TERM")
			}
			t.input = o.Stdin
			c, err := a.client()
			if err != nil {
				return err
			}
			return t.run(cmd.Context(), func(ctx context.Context) (*api.ClientLine, error) { return c.Exec(ctx, args[0], o) })
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows the session is the command's
	f.BoolVarP(&o.Stdin, "interactive", "i", false, "pass the input on, to its end")
	f.BoolVarP(&terminal, "tty", "t", false, "on a terminal")
	f.StringArrayVarP(&env, "env", "e", nil, "a variable, NAME=VALUE; NAME alone takes the value from here")
	f.StringVarP(&o.WorkDir, "workdir", "w", "", "directory in the session to run it in")
	return cmd
}

func (a *app) sessionAttach() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "attach SESSION", Short: "Open a shell in a session that is still there when you come back", Args: words("SESSION", 1, 1),
		Long: "Open a shell in a session, or come back to it: what it has shown last (256 KiB) is shown again. It goes on when this\n" +
			"program ends, or the appliance does, whatever ends it; Ctrl-P Ctrl-Q leaves it, `exit` ends it. Several may watch\n" +
			"one. It is over when its session ends.",
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !isTerminal(a.Stdin) {
				return &usageError{message: "the input is no terminal", hint: "to run a script, use: palisade session exec -i " + args[0] + " -- sh"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			// One that was asked for just now is there in a moment.
			if s, err := c.Session(cmd.Context(), args[0]); err == nil && personal(s) && !runsOrEnded(s) {
				if _, err := a.follow(cmd.Context(), c, s, runsOrEnded); err != nil {
					return err
				}
			}
			t := &console{app: a, take: true, input: true, detach: &detachKeys{}}
			a.notef("palisade: Ctrl-P Ctrl-Q leaves the terminal %s, and it goes on", name)
			err = t.run(cmd.Context(), func(ctx context.Context) (*api.ClientLine, error) {
				return c.Terminal(ctx, args[0], name, t.size(), a.env("TERM"))
			})
			again := "palisade session attach " + args[0]
			if name != "main" {
				again += " --name " + name
			}
			switch {
			case errors.Is(err, errDetached):
				a.notef("palisade: left; to come back: %s", again)
				return nil
			case errors.Is(err, api.ErrLineLost), errors.Is(err, api.KindError(api.KindUnavailable)):
				return &hinted{err: err, hint: "the shell goes on in the session; to come back: " + again}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "main", "of the terminal, where a session has several")
	return cmd
}

// errDetached says that a person has left a terminal that goes on.
var errDetached = errors.New("left")

// console connects this program's own input and output with a command.
type console struct {
	*app
	take   bool        // the terminal is the command's
	input  bool        // it is given input
	detach *detachKeys // nil: all that is typed is the command's
}

// size is the terminal's, nothing where it is unknown.
func (t *console) size() api.Window {
	for _, v := range []any{t.Stdout, t.Stdin, t.Stderr} {
		if f, ok := v.(*os.File); ok {
			if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
				return api.Window{Rows: size.Row, Columns: size.Col}
			}
		}
	}
	return api.Window{}
}

// run connects until the command ends, or this program is to. The terminal is as it was then, whatever has happened.
func (t *console) run(ctx context.Context, dial func(context.Context) (*api.ClientLine, error)) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGQUIT, unix.SIGTERM)
	defer stop()
	line, err := dial(ctx)
	if err != nil {
		return err
	}
	defer line.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if t.take && isTerminal(t.Stdin) {
		in, ok := t.Stdin.(*os.File)
		if !ok {
			return errors.New("the input is no file")
		}
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return fmt.Errorf("taking the terminal: %w", err)
		}
		defer func() { _ = term.Restore(int(in.Fd()), before) }()
		t.followWindow(ctx, line)
	}
	crashes := make(chan crash, 3)
	guarded := func(work func()) {
		defer func() {
			if v := recover(); v != nil {
				crashes <- crash{v}
			}
		}()
		work()
	}
	if t.input {
		// A read of the input cannot be called back: it ends with the program.
		go guarded(func() { t.passInput(ctx, line, cancel) })
	}
	var shown sync.WaitGroup
	var outErr, errErr error
	shown.Go(func() { guarded(func() { _, outErr = io.Copy(t.Stdout, line.Stdout()) }) })
	shown.Go(func() { guarded(func() { _, errErr = io.Copy(t.Stderr, line.Stderr()) }) })
	ended := make(chan struct{})
	go func() { shown.Wait(); close(ended) }()
	select {
	case <-ended:
	case c := <-crashes:
		panic(c.value)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := errors.Join(onlyOwn(outErr), onlyOwn(errErr)); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	exit, err := line.Exit(ctx)
	if err != nil {
		return err
	}
	return endOf(exit)
}

// onlyOwn leaves out the end of the line, which Exit tells of.
func onlyOwn(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// followWindow tells the command of a window that changes.
func (t *console) followWindow(ctx context.Context, line *api.ClientLine) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	go func() {
		defer signal.Stop(resized)
		for {
			select {
			case <-resized:
				_ = line.Resize(t.size()) // a line that has ended says so elsewhere
			case <-ctx.Done():
				return
			}
		}
	}()
}

// passInput sends what is typed, or piped, to its end.
func (t *console) passInput(ctx context.Context, line *api.ClientLine, end context.CancelCauseFunc) {
	to, buffer := line.Stdin(ctx), make([]byte, api.ExecChunk)
	for {
		n, err := t.Stdin.Read(buffer)
		typed, leave := buffer[:n], false
		if t.detach != nil {
			typed, leave = t.detach.pass(typed)
		}
		if len(typed) > 0 {
			if _, err := to.Write(typed); err != nil {
				return
			}
		}
		if leave {
			end(errDetached)
			return
		}
		if err != nil {
			_ = line.EndStdin() // as above
			return
		}
	}
}

// The keys that leave a terminal.
const (
	detachFirst  = 'P' & 0x1f
	detachSecond = 'Q' & 0x1f
)

// detachKeys find Ctrl-P Ctrl-Q in what is typed, however it is cut.
type detachKeys struct{ half bool }

// pass returns what is to go on, and whether the person leaves.
func (d *detachKeys) pass(typed []byte) ([]byte, bool) {
	out := make([]byte, 0, len(typed)+1)
	for _, key := range typed {
		switch {
		case d.half && key == detachSecond:
			return out, true
		case d.half && key == detachFirst:
			out = append(out, detachFirst) // the one before was typed; this one may be the first of the two
		case d.half:
			out, d.half = append(out, detachFirst, key), false
		case key == detachFirst:
			d.half = true
		default:
			out = append(out, key)
		}
	}
	return out, false
}

// withoutSentence is for messages that are shown after a command's own.
func withoutSentence(message string) string { return strings.TrimSuffix(message, ".") }
