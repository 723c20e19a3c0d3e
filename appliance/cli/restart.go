package cli

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/cobra"
)

func (a *app) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restart", Short: "Replace the daemon by the program that is at its path now, without a failed request", Args: words("", 0, 0),
		Long: "Replace the daemon that runs by a new process of the program at its path, with the same words and environment: a\n" +
			"newer version, or settings that were changed. New requests go to the new process as soon as it is ready; those\n" +
			"that are being answered are finished by the old one. Sessions are not touched. Where the new process does not\n" +
			"come up, the old one goes on as before, and this command says why.",
		Example: "  install -m 755 palisade-new /usr/local/bin/palisade && palisade restart",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			done, err := c.Restart(cmd.Context())
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				// It was killed half way: its successor goes on if it was far enough, and otherwise nobody does.
				return &hinted{err: fmt.Errorf("the daemon ended while it was being replaced: %w", err), hint: "see whether the next one has taken over: palisade version; if not: palisade serve. Sessions go on either way"}
			}
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{fmt.Sprint(done.PID)}, json: done, text: func() error {
				version := done.Version
				if done.Before != "" && done.Before != done.Version {
					version += ", after " + done.Before
				}
				fmt.Fprintf(a.out, "process %d has taken over (%s) in %.2f s\n", done.PID, version, done.Took)
				switch done.InFlight {
				case 0:
				case 1:
					fmt.Fprintln(a.out, "the one before it finishes 1 request")
				default:
					fmt.Fprintf(a.out, "the one before it finishes %d requests\n", done.InFlight)
				}
				return nil
			}})
		},
	}
}
