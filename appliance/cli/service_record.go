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

// recordFile returns how many requests are in the file that it writes.
func recordFile(ctx context.Context, c *api.Client, ref, since, name string) (requests int, err error) {
	err = wholeFile(name, 0o644, func(f *os.File) error {
		lines := &lineCounter{to: f}
		if _, err := c.ServiceTrace(ctx, ref, since, lines); err != nil {
			return err
		}
		if lines.n == 0 {
			return fmt.Errorf("writing %s: the appliance sent nothing", name)
		}
		requests = lines.n - 1 // the first line is the head
		return nil
	})
	return requests, err
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
