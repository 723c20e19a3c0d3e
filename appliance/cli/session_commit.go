package cli

import (
	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) sessionCommit() *cobra.Command {
	var in api.SessionCommit
	cmd := &cobra.Command{
		Use: "commit SESSION IMAGE", Short: "Keep what a session has changed of its image as an image", Args: words("SESSION IMAGE", 2, 2),
		Long: "Make an image of a session that runs: its own image, with what it has changed since as one layer more. What is\n" +
			"mounted into it is not in it: folders, /tmp where it is scratch, shared memory; nor is anything that runs.\n" +
			"The session stands still while it is looked at, so that no file is caught half written; --running lets it go on.",
		Example:           "  palisade session commit lab mine:1\n  palisade session create mine:1 --type interactive",
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in.Image = args[1]
			b := a.newMeter()
			img, err := c.CommitSession(cmd.Context(), args[0], in, func(p api.PullProgress) { b.set(args[0]+": "+p.Message, p.Done, p.Total) })
			b.clear()
			if err != nil {
				return err
			}
			return a.showPulled([]api.Image{img})
		},
	}
	cmd.Flags().BoolVar(&in.Replace, "replace", false, "take the name from the image that has it")
	cmd.Flags().BoolVar(&in.Running, "running", false, "let the session go on meanwhile")
	return cmd
}
