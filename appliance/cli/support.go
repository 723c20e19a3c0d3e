package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) supportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "support", Short: "Write what helps others to find out what is wrong with this box, without its secrets", Args: words("", 0, 0),
		Long: "Write a tar.gz with versions, checks of the box, settings, services, sessions, devices, the head of the record of\n" +
			"changes and the last lines of the daemon's log. Tokens, passwords, prompts, answers and values of environments are\n" +
			"not in it. Look through it before you hand it on.",
		Example: "  palisade support -o support.tar.gz && tar tzf support.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := output
			if name == "" {
				name = "palisade-support-" + a.now().UTC().Format("20060102-150405") + ".tar.gz"
			}
			if err := canBeFile(name); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if name == "-" {
				_, err := c.SupportBundle(cmd.Context(), a.out)
				return err
			}
			n, err := supportFile(cmd.Context(), c, name)
			if err != nil {
				return err
			}
			a.notef("%s: %s", name, bytesize.Format(n))
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file that it is written to (default palisade-support-TIME.tar.gz); - is standard output")
	return cmd
}

// supportFile writes a file that nobody else may read.
func supportFile(ctx context.Context, c *api.Client, name string) (n int64, err error) {
	err = wholeFile(name, 0o600, func(f *os.File) (err error) {
		n, err = c.SupportBundle(ctx, f)
		return err
	})
	return n, err
}
