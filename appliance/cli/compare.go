package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// mostCompared is how many services fit beside one another.
const mostCompared = 6

func (a *app) compareCommand() *cobra.Command {
	var f chatFlags
	var inTurn bool
	cmd := &cobra.Command{
		Use: "compare SERVICE SERVICE... PROMPT", Short: "Ask several services the same, and show their answers side by side",
		Long: "Ask several services the same at the same time, and show their answers side by side, with how fast each was. The\n" +
			"last word is the prompt; - reads it from standard input. Services of one device slow each other: --in-turn asks one\n" +
			"after the other.",
		Example: "  palisade compare qwen llama 'Explain a mutex in two sentences.'\n  palisade compare qwen llama phi - < question.txt --temperature 0 -o json",
		Args:    words("SERVICE SERVICE PROMPT", 3, mostCompared+1), ValidArgsFunction: a.completeAt(-1, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, names := args[len(args)-1], args[:len(args)-1]
			if prompt == "-" {
				var err error
				if prompt, err = readText(a.Stdin, "standard input"); err != nil {
					return err
				}
			}
			if strings.TrimSpace(prompt) == "" {
				return &usageError{message: "nothing is asked: the PROMPT is empty"}
			}
			v, err := a.visit(f.token)
			if err != nil {
				return err
			}
			cmp := &comparison{prompt: strings.TrimSpace(prompt), inTurn: inTurn}
			for _, name := range names {
				s, err := v.client.Service(cmd.Context(), name)
				if err != nil {
					return err
				}
				talk, err := f.conversation(cmd, s.Name)
				if err != nil {
					return err
				}
				talk.messages = append(talk.messages, message{"user", cmp.prompt})
				cmp.all = append(cmp.all, compared{question: talk.question})
			}
			defer v.leave(cmd.Context())
			return a.compare(cmd.Context(), v, cmp)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&inTurn, "in-turn", false, "ask one after the other: the speeds are those of each alone")
	return cmd
}

// comparison is one prompt and who is asked it.
type comparison struct {
	prompt string
	inTurn bool

	mu  sync.Mutex
	all []compared
}

// compared is one answer, as far as it has come.
type compared struct {
	question
	came  string
	done  bool
	reply reply
	err   error
}

// compare asks, and shows what comes.
func (a *app) compare(ctx context.Context, v *visitor, c *comparison) error {
	for i := range c.all { // tokens are made one after the other: visitors are for one goroutine
		if _, err := v.token(ctx, c.all[i].service); err != nil {
			return err
		}
	}
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, live := a.Stdout.(*os.File)
	in, typed := a.Stdin.(*os.File)
	if a.output != "json" && !a.quiet && live && typed && isTerminal(out) && isTerminal(in) {
		watching, end := context.WithCancel(ctx)
		var asked sync.WaitGroup
		asked.Go(func() {
			c.ask(asking, v)
			end()
		})
		err := watchOn(watching, &screen{in: in, out: out}, c.view(), c.watching(func() { cancel(errStopped) }))
		cancel(errStopped) // who was drawn on is gone
		asked.Wait()
		end()
		if err != nil {
			return err
		}
	} else {
		show := a.newProgress()
		end := a.nowAndThen(func() { show.status(a.now(), c.summary()) })
		c.ask(asking, v)
		end()
		show.clear()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return a.showComparison(c)
}

// ask asks them all, and returns when all have answered.
func (c *comparison) ask(ctx context.Context, v *visitor) {
	var all sync.WaitGroup
	for i := range c.all {
		one := func() {
			r, err := v.ask(ctx, c.all[i].question, func(p piece) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.all[i].came += p.text
			})
			c.mu.Lock()
			defer c.mu.Unlock()
			c.all[i].reply, c.all[i].err, c.all[i].done = r, err, true
		}
		if c.inTurn {
			one()
		} else {
			all.Go(one)
		}
	}
	all.Wait()
}

// summary says how far all are.
func (c *comparison) summary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var words []string
	for _, one := range c.all {
		state := bytesize.Format(int64(len(one.came))) + " of text"
		switch {
		case one.done:
			state = "done"
		case one.came == "":
			state = "waiting"
		}
		words = append(words, one.service+": "+state)
	}
	return strings.Join(words, "; ")
}

// showComparison prints what came in the end.
func (a *app) showComparison(c *comparison) error {
	failed := 0
	var first error
	for _, one := range c.all {
		if one.err != nil && !errors.Is(one.err, errStopped) {
			failed++
			first = one.err
		}
	}
	if a.output == "json" {
		if err := a.show(result{json: c.json()}); err != nil {
			return err
		}
	} else {
		width := a.frameWidth()
		if !isTerminal(a.Stdout) && a.env("COLUMNS") == "" {
			width = 0 // one below the other
		}
		fmt.Fprint(a.out, beside(c.columns(), width))
		if c.same() {
			a.notef("they say the same")
		}
	}
	switch {
	case failed == len(c.all):
		return first
	case failed > 0:
		return errQuietFailure
	}
	return nil
}

// same tells whether all say the same.
func (c *comparison) same() bool {
	return !slices.ContainsFunc(c.all, func(one compared) bool {
		return one.err != nil || strings.TrimSpace(one.reply.Text) != strings.TrimSpace(c.all[0].reply.Text)
	})
}

// comparedJSON is one answer as -o json prints it.
type comparedJSON struct {
	Service string `json:"service"`
	reply
	Speed float64 `json:"tokens_per_second,omitempty"`
	Error string  `json:"error,omitempty"`
}

func (c *comparison) json() any {
	out := struct {
		Prompt  string         `json:"prompt"`
		Answers []comparedJSON `json:"answers"`
	}{Prompt: c.prompt}
	for _, one := range c.all {
		j := comparedJSON{Service: one.service, reply: one.reply, Speed: one.reply.speed()}
		if one.err != nil {
			j.Error = one.err.Error()
		}
		out.Answers = append(out.Answers, j)
	}
	return out
}
