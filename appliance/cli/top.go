package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// The refreshing of top.
const (
	defaultInterval = 2 * time.Second
	leastInterval   = 500 * time.Millisecond
	// onceApart is how far apart the two samples are between which a single frame counts what is busy.
	onceApart = 500 * time.Millisecond
)

func (a *app) topCommand() *cobra.Command {
	var once bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "top", Short: "Watch the box: devices, sessions and services as they are now", Args: words("", 0, 0),
		Long: "Watch the box: devices with how busy and full they are and who holds them, sessions with what they use, services\n" +
			"with their requests in flight. Keys: q ends; s goes through the orders of sessions, c m d n choose one (cpu, memory,\n" +
			"device memory, name), r turns it round. Where the output is no terminal, or with --once, one frame is printed, whole.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < leastInterval {
				return &usageError{message: fmt.Sprintf("--interval %s: must be %s or more", interval, leastInterval)}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			out, live := a.Stdout.(*os.File)
			in, typed := a.Stdin.(*os.File)
			if once || a.output == "json" || !live || !typed || !isTerminal(out) || !isTerminal(in) {
				return a.topOnce(cmd.Context(), newLooker(c))
			}
			return a.topLive(cmd.Context(), newLooker(c), &screen{in: in, out: out}, interval)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one frame and end")
	cmd.Flags().DurationVar(&interval, "interval", defaultInterval, "how often to look")
	return cmd
}

// topJSON is what top prints with -o json.
type topJSON struct {
	At       time.Time        `json:"at"`
	Nodes    []api.Node       `json:"nodes"`
	Devices  []api.Device     `json:"devices"`
	Sessions []topJSONSession `json:"sessions"`
	Services []api.Service    `json:"services"`
	Waiting  int              `json:"waiting"`
}

// topJSONSession is a session with what it uses; what is not known is -1.
type topJSONSession struct {
	api.Session
	Cores        float64 `json:"cores"`
	Memory       int64   `json:"memory"`
	DeviceMemory int64   `json:"device_memory"`
}

// topOnce prints one frame, of any length.
func (a *app) topOnce(ctx context.Context, l *looker) error {
	v, err := l.look(ctx, a.now())
	if err != nil {
		return err
	}
	if l.counts() || slices.ContainsFunc(v.nodes, func(n api.Node) bool { return n.CPU.Used < 0 }) {
		select {
		case <-time.After(onceApart):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if v, err = l.look(ctx, a.now()); err != nil {
			return err
		}
	}
	v.order()
	if a.output == "json" {
		out := topJSON{At: v.at.UTC(), Nodes: notNull(v.nodes), Devices: notNull(v.devices), Services: notNull(v.services), Sessions: []topJSONSession{}, Waiting: v.waiting}
		for _, s := range v.sessions {
			out.Sessions = append(out.Sessions, topJSONSession{Session: s.Session, Cores: s.cores, Memory: s.memory, DeviceMemory: s.deviceMemory})
		}
		return a.show(result{json: out})
	}
	_, err = io.WriteString(a.out, frame(v, a.frameWidth(), 0)+"\n")
	return err
}

// frameWidth is how wide a frame may be that no window bounds.
func (a *app) frameWidth() int {
	var n int
	if _, err := fmt.Sscan(a.env("COLUMNS"), &n); err == nil && n > 0 {
		return n
	}
	return columns(a.Stdout)
}

// topLive redraws until a person, a signal or a lost terminal ends it.
func (a *app) topLive(ctx context.Context, l *looker, s *screen, interval time.Duration) error {
	first := topView{host: l.host(), at: a.now(), keys: true, color: a.colors(), trouble: "looking"}
	return watchOn(ctx, s, first, watching[topView]{
		interval: interval,
		look: func(ctx context.Context) topView {
			v, err := l.look(ctx, a.now())
			if err != nil {
				v = topView{trouble: a.troubleOf(err)}
			}
			return v
		},
		with: topView.with,
		press: func(v topView, key byte) (topView, bool) {
			quit := v.press(key)
			return v, quit
		},
	})
}

// with takes over what was seen; what a person has chosen stays. Where nothing could be seen, the old is shown on.
func (v topView) with(news topView) topView {
	if news.trouble != "" {
		v.trouble = news.trouble
		return v
	}
	news.sort, news.reversed, news.keys, news.color = v.sort, v.reversed, v.keys, v.color
	return news
}

// Keys that are no letters: a terminal in raw mode sends them instead of signals.
const (
	interruptKey = 0x03
	endKey       = 0x04
	suspendKey   = 0x1a
)

// press does what a key asks for, and says whether that is to end.
func (v *topView) press(key byte) (quit bool) {
	switch key {
	case 'q', 'Q', interruptKey, endKey:
		return true
	case 's', 'S':
		v.sort = (v.sort + 1) % topSorts
	case 'c':
		v.sort = byCPU
	case 'm':
		v.sort = byMemory
	case 'd':
		v.sort = byDeviceMemory
	case 'n':
		v.sort = byName
	case 'r':
		v.reversed = !v.reversed
	}
	return false
}
