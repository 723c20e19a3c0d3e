package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceRecord() *cobra.Command {
	var since, output string
	cmd := &cobra.Command{
		Use: "record SERVICE", Short: "Write what came to a service as CSV, to rehearse rules with",
		Long: "Write what came to a service as CSV: when each request arrived, its tokens and those of its answer; nothing of what was in them.\n" +
			"The appliance keeps that of the last 48 hours. What found no route has 0 of both. Play it against rules:\n" +
			"palisade autoscale simulate --rules FILE --trace FILE.",
		Args: words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := canBeFile(output); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if output == "-" {
				_, err := c.ServiceTrace(cmd.Context(), args[0], since, a.out)
				return inFlags(err, map[string]string{"?since": "--since"})
			}
			n, err := recordFile(cmd.Context(), c, args[0], since, output)
			if err != nil {
				return inFlags(err, map[string]string{"?since": "--since"})
			}
			a.notef("%s: %s", output, plural(n, "request"))
			return nil
		},
	}
	cmd.Flags().StringVar(&since, "since", "24h", "how long ago it begins: 90m, 24h, 2d; a day, or a time in RFC 3339")
	cmd.Flags().StringVarP(&output, "output", "o", "-", "file that it is written to; - is standard output")
	return cmd
}

// recordFile writes a file that is there as a whole or not at all, and returns how many requests are in it.
func recordFile(ctx context.Context, c *api.Client, ref, since, name string) (requests int, err error) {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer os.Remove(part) // gone already when all went well
	lines := &lineCounter{to: f}
	_, err = c.ServiceTrace(ctx, ref, since, lines)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, err
	}
	if lines.n == 0 {
		return 0, fmt.Errorf("writing %s: the appliance sent nothing", name)
	}
	return lines.n - 1, os.Rename(part, name) // the first line is the head
}

// lineCounter counts the lines that are written through it.
type lineCounter struct {
	to io.Writer
	n  int
}

func (l *lineCounter) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' {
			l.n++
		}
	}
	return l.to.Write(p)
}
