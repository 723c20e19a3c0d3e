package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) sessionRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename SESSION NAME", Short: "Give a session of yours another name", Args: words("SESSION NAME", 2, 2),
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeSession(cmd, args[0], api.SessionUpdate{Name: &args[1]})
		},
	}
}

func (a *app) sessionPriority() *cobra.Command {
	return &cobra.Command{
		Use: "set-priority SESSION PRIORITY", Short: "Change a session's place in the queue: 0 to 100, higher first",
		Args: words("SESSION PRIORITY", 2, 2), ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return &usageError{message: "PRIORITY " + strconv.Quote(args[1]) + ": is not a number", hint: "a number from 0 to 100; 10 where nothing is said"}
			}
			return a.changeSession(cmd, args[0], api.SessionUpdate{Priority: &n})
		},
	}
}

func (a *app) changeSession(cmd *cobra.Command, ref string, in api.SessionUpdate) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	s, err := c.UpdateSession(cmd.Context(), ref, in)
	if err != nil {
		return err
	}
	return a.show(result{quiet: []string{s.Name}, json: s, text: func() error { a.printSession(s, nil); return nil }})
}

func (a *app) sessionRestart() *cobra.Command {
	return &cobra.Command{
		Use: "restart SESSION...", Short: "End what runs of your sessions and start it again, at the same place",
		Args: words("SESSION", 1, -1), ValidArgsFunction: a.completeAt(-1, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return c.RestartSession(cmd.Context(), ref) })
		},
	}
}
