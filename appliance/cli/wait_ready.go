package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// waitCommand waits for a daemon that was started a moment ago, so that scripts need no loop of their own.
func (a *app) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait", Short: "Wait until the appliance answers", Args: words("", 0, 0),
		Long: "Wait until the appliance answers, as after `palisade serve &`. For a service there is palisade service wait, for batch\n" +
			"jobs palisade batch wait, for a job of a pipeline palisade pipeline run --wait.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			version, err := a.waitForDaemon(cmd.Context(), c, timeout)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{version.Gateway}, json: version, text: func() error {
				fmt.Fprintf(a.out, "models answer at %s\n", version.Gateway)
				return nil
			}})
		},
	}
	cmd.Flags().Var(newDuration(&timeout, time.Minute), "timeout", "how long")
	return cmd
}

// waitForDaemon asks until the daemon answers. One that refuses who asks does answer: that is the end as well.
func (a *app) waitForDaemon(ctx context.Context, c *api.Client, timeout time.Duration) (api.Version, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, timeout, errWaitedLongEnough)
	defer cancel()
	show := a.newProgress()
	defer show.clear()
	for {
		version, err := c.Version(waiting)
		if err == nil {
			return version, nil
		}
		_, away := errors.AsType[*api.ConnectError](err)
		if !away && !errors.Is(err, api.KindError(api.KindUnavailable)) && waiting.Err() == nil {
			return version, err
		}
		if waiting.Err() == nil {
			show.status(a.now(), briefly(err.Error()))
		}
		timer := time.NewTimer(firstLook)
		select {
		case <-timer.C:
			continue
		case <-waiting.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			return version, context.Cause(ctx)
		}
		return version, &hinted{
			err:  fmt.Errorf("the appliance does not answer after %s: %w", timeout, err),
			hint: "what it says is in its log; palisade doctor looks at the box without it",
		}
	}
}

func (a *app) serviceWait() *cobra.Command {
	w := waitFlags{wait: true}
	cmd := &cobra.Command{
		Use: "wait SERVICE...", Short: "Wait until all routes of services are healthy, or it is known that they will not be", Args: words("SERVICE", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			for _, ref := range args {
				s, err := c.Service(cmd.Context(), ref)
				if err == nil {
					s, err = a.waitForService(cmd.Context(), c, s, w.timeout)
				}
				if err != nil {
					return err
				}
				if err := a.show(result{quiet: []string{s.Name}, json: s, text: func() error {
					fmt.Fprintf(a.out, "%s: %s: %s\n", s.Name, s.Status, briefly(s.Reason))
					return nil
				}}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&w.timeout, "timeout", 35*time.Minute, "how long for each")
	return cmd
}
