package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// chatFlags are what chat and compare have alike.
type chatFlags struct {
	system, token string
	maxTokens     int
	temperature   float64
}

func (f *chatFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.system, "system", "", "what the model is told before the conversation; @FILE reads it from a file")
	cmd.Flags().IntVar(&f.maxTokens, "max-tokens", 0, "tokens of an answer at most (default: as many as the engine allows)")
	cmd.Flags().Float64Var(&f.temperature, "temperature", 0, "0 is the same each time, 1 as it comes (default: the engine's)")
	cmd.Flags().StringVar(&f.token, "token", "", "a token of the service (PALISADE_TOKEN; default: one is made, and taken away at the end)")
}

// conversation begins one as the flags say.
func (f *chatFlags) conversation(cmd *cobra.Command, service string) (*conversation, error) {
	c := &conversation{question: question{service: service, maxTokens: f.maxTokens}}
	if cmd.Flags().Changed("temperature") {
		c.temperature = &f.temperature
	}
	if f.maxTokens < 0 || f.temperature < 0 || f.temperature > 10 {
		return nil, &usageError{message: "--max-tokens and --temperature: must be 0 or more, the temperature 10 at most"}
	}
	system := f.system
	if name, isFile := strings.CutPrefix(system, "@"); isFile {
		file, err := os.Open(name)
		if err != nil {
			return nil, &usageError{message: "--system " + errWithoutOp(err)}
		}
		defer file.Close()
		if system, err = readText(file, name); err != nil {
			return nil, err
		}
	}
	c.tell(system)
	return c, nil
}

func (a *app) chatCommand() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use: "chat SERVICE [MESSAGE...]", Short: "Talk to a service that chats",
		Long: "Talk to a service. With a MESSAGE, or with input that is no terminal, one answer is printed; both together are one\n" +
			"message. Otherwise it is a conversation: /help lists what can be said beside it, Ctrl-C stops an answer, Ctrl-D leaves.",
		Example: "  palisade chat qwen\n  palisade chat qwen 'Why is the sky blue?'\n" +
			"  git diff | palisade chat qwen 'Write a commit message.' --system 'You are terse.' -q\n  palisade chat qwen < question.txt > answer.txt",
		Args: words("SERVICE MESSAGE", 1, -1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := a.visit(f.token)
			if err != nil {
				return err
			}
			s, err := v.client.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			talk, err := f.conversation(cmd, s.Name)
			if err != nil {
				return err
			}
			asked, err := a.asked(args[1:])
			if err != nil {
				return err
			}
			defer v.leave(cmd.Context())
			if asked == "" {
				return a.converse(cmd.Context(), v, talk)
			}
			return a.askOnce(cmd.Context(), v, talk, asked)
		},
	}
	f.add(cmd)
	return cmd
}

// longestMessage bounds what is read from a pipe or a file: no model takes more.
const longestMessage = 16 << 20

func readText(from io.Reader, name string) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(from, longestMessage+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", name, err)
	case len(raw) > longestMessage:
		return "", &usageError{message: fmt.Sprintf("%s: larger than %s: no model takes that", name, bytesize.Format(longestMessage))}
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD"), nil
}

// asked is what is to be asked once: the words, with what comes through a pipe below them. "" where a person sits there.
func (a *app) asked(args []string) (string, error) {
	text := strings.Join(args, " ")
	if isTerminal(a.Stdin) {
		if text == "" && !isTerminal(a.Stdout) {
			return "", &usageError{message: "a MESSAGE is needed where the answer goes to no terminal"}
		}
		return text, nil
	}
	if text != "" && !piped(a.Stdin) {
		return text, nil
	}
	more, err := readText(a.Stdin, "standard input")
	if err != nil {
		return "", err
	}
	more = strings.TrimSpace(more)
	switch {
	case text == "" && more == "":
		return "", &usageError{message: "nothing is asked: give a MESSAGE, or something on standard input"}
	case text == "" || more == "":
		return cmp.Or(text, more), nil
	}
	return text + "\n\n" + more, nil
}

// piped tells whether something was meant to come in: a pipe or a file, and no device such as /dev/null.
func piped(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return in != nil
	}
	info, err := f.Stat()
	return err == nil && (info.Mode().IsRegular() || info.Mode()&os.ModeNamedPipe != 0)
}

// askOnce prints one answer.
func (a *app) askOnce(ctx context.Context, v *visitor, talk *conversation, text string) error {
	talk.messages = append(talk.messages, message{"user", text})
	if a.output == "json" {
		r, err := v.ask(ctx, talk.question, nil)
		if err != nil {
			return err
		}
		return a.show(result{json: struct {
			Service string `json:"service"`
			reply
			Speed float64 `json:"tokens_per_second,omitempty"`
		}{talk.service, r, r.speed()}})
	}
	toTerminal := isTerminal(a.Stdout)
	p := a.newPrinter(a.out, toTerminal)
	show := a.newProgress()
	waits := a.nowAndThen(func() { show.status(a.now(), "waiting for "+talk.service) })
	r, err := v.ask(ctx, talk.question, func(one piece) {
		waits()
		p.print(one)
	})
	waits()
	p.end()
	show.clear()
	if err != nil {
		return err
	}
	if (toTerminal || isTerminal(a.Stderr)) && !a.quiet {
		fmt.Fprintln(a.Stderr, p.dim(r.words()))
	}
	return nil
}

// converse talks until the person leaves.
func (a *app) converse(ctx context.Context, v *visitor, talk *conversation) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGQUIT)
	defer stop()
	in, ok := a.Stdin.(*os.File)
	out, okOut := a.Stdout.(*os.File)
	if !ok || !okOut {
		return &usageError{message: "a conversation needs a terminal; give a MESSAGE"}
	}
	t, err := openChatTerminal(ctx, in, out)
	if err != nil {
		return err
	}
	defer t.close()
	fmt.Fprintf(t, "%s. /help lists what can be said beside it; Ctrl-C stops an answer, Ctrl-D leaves.\n", talk.service)
	for {
		text, err := t.read()
		if errors.Is(err, io.EOF) {
			fmt.Fprintln(t)
			return nil
		}
		if err != nil {
			return err
		}
		switch do := talk.command(text, t); do {
		case doLeave:
			return nil
		case doAsk:
			if err := a.exchange(ctx, v, talk, t); err != nil {
				return err
			}
		}
	}
}

// errStopped says that a person wants no more of an answer.
var errStopped = errors.New("stopped")

// exchange asks what stands last in the conversation, and puts the answer behind it. What goes wrong with one question does
// not end the conversation.
func (a *app) exchange(ctx context.Context, v *visitor, talk *conversation, t *chatTerminal) error {
	answering, cancel := context.WithCancelCause(ctx)
	keys := t.watchKeys(answering, func() { cancel(errStopped) })
	p := a.newPrinter(t, true)
	r, err := v.ask(answering, talk.question, p.print)
	cancel(nil)
	keys()
	p.end()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && r.Text == "":
		talk.forgetQuestion()
		if errors.Is(err, errStopped) {
			fmt.Fprintln(t, p.dim("stopped before it said anything"))
			return nil
		}
		fmt.Fprintf(t, "%s\n", tame(err.Error()))
		if hint := a.hintFor(err); hint != "" {
			fmt.Fprintf(t, "  hint: %s\n", tame(hint))
		}
		return nil
	}
	talk.answered(r)
	fmt.Fprintln(t, p.dim(r.words()))
	if err != nil && !errors.Is(err, errStopped) {
		fmt.Fprintf(t, "%s\n", tame(err.Error()))
	}
	return nil
}
