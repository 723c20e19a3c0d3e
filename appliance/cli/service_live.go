package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceTop() *cobra.Command {
	var once, all bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "top [SERVICE]", Short: "Watch requests: how many, how long, how fast, per service and per route", Args: words("SERVICE", 0, 1),
		Long: "Watch what services do: requests a second, in flight and waiting, time to the first bytes (TTFT) and to the end of\n" +
			"answers, tokens a second, errors. With SERVICE, its routes too. Rates are of the last 10 s, times of the last minute.\n" +
			"q ends. Where the output is no terminal, or with --once, one frame is printed, whole.",
		Example:           "  palisade service top\n  palisade service top qwen\n  palisade service top qwen -o json | jq .last_60s.ttft.p95",
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval < leastInterval {
				return &usageError{message: fmt.Sprintf("--interval %s: must be %s or more", interval, leastInterval)}
			}
			if all && len(args) > 0 {
				return &usageError{message: "name a service or give --all, not both"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			l := &liveLooker{client: c, all: all}
			if len(args) > 0 {
				l.service = args[0]
			}
			out, live := a.Stdout.(*os.File)
			in, typed := a.Stdin.(*os.File)
			if once || a.output == "json" || !live || !typed || !isTerminal(out) || !isTerminal(in) {
				return a.liveOnce(cmd.Context(), l)
			}
			return a.liveOn(cmd.Context(), l, &screen{in: in, out: out}, interval)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "print one frame and end")
	f.BoolVar(&all, "all", false, "services of every project")
	f.DurationVar(&interval, "interval", time.Second, "how often to look")
	return cmd
}

// liveLooker sees what service top shows: one service, or all.
type liveLooker struct {
	client  *api.Client
	service string // "": all of the project
	all     bool   // of every project
}

func (l *liveLooker) look(ctx context.Context, now time.Time) (liveView, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookPatience, fmt.Errorf("%s did not answer within %s", l.client.Host(), lookPatience))
	defer cancel()
	v := liveView{host: l.client.Host(), at: now, one: l.service != ""}
	var err error
	if v.one {
		v.services = make([]api.ServiceLive, 1)
		v.services[0], err = l.client.ServiceLive(ctx, l.service)
	} else {
		v.services, err = l.client.Live(ctx, l.all)
	}
	return v, err
}

// liveOnce prints one frame, of any length.
func (a *app) liveOnce(ctx context.Context, l *liveLooker) error {
	v, err := l.look(ctx, a.now())
	if err != nil {
		return err
	}
	if a.output == "json" {
		if v.one {
			return a.show(result{json: v.services[0]})
		}
		return a.show(result{json: notNull(v.services)})
	}
	_, err = io.WriteString(a.out, v.frame(a.frameWidth(), 0)+"\n")
	return err
}

// liveOn redraws until a person, a signal or a lost terminal ends it.
func (a *app) liveOn(ctx context.Context, l *liveLooker, s *screen, interval time.Duration) error {
	first := liveView{host: l.client.Host(), at: a.now(), keys: true, color: a.colors(), trouble: "looking", one: l.service != ""}
	return watchOn(ctx, s, first, watching[liveView]{
		interval: interval,
		look: func(ctx context.Context) liveView {
			v, err := l.look(ctx, a.now())
			if err != nil {
				v = liveView{trouble: a.troubleOf(err)}
			}
			return v
		},
		with: func(v, news liveView) liveView {
			if news.trouble != "" {
				v.trouble = news.trouble
				return v
			}
			news.keys, news.color = v.keys, v.color
			return news
		},
		press: func(v liveView, key byte) (liveView, bool) {
			return v, key == 'q' || key == 'Q' || key == interruptKey || key == endKey
		},
	})
}

// troubleOf is why nothing was seen, in one line.
func (a *app) troubleOf(err error) string {
	text := err.Error()
	if hint := a.hintFor(err); hint != "" && !errors.Is(err, context.DeadlineExceeded) {
		text += " (" + hint + ")"
	}
	return text
}

// colors tells whether a terminal is to be shown colours.
func (a *app) colors() bool { return a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" }
