package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) queueCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "queue", Short: "List sessions that wait for a place, why, and what would make them fit", Args: words("", 0, 0),
		Long: "List sessions that wait for a place, in the order in which they are tried, each with its first reason.\n" +
			"All reasons of one: palisade session info SESSION.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			queue, err := c.Queue(cmd.Context(), all)
			if err != nil {
				return err
			}
			if len(queue) == 0 && a.output != "json" {
				hint := ""
				if !all {
					hint = "; other projects' sessions: palisade queue --all"
				}
				a.notef("nothing waits%s", hint)
				return nil
			}
			head := []string{"PLACE", "SESSION", "NAME", "PRIORITY", "ASKS FOR", "WAITS", "REASON"}
			if all {
				head = append(head[:3], append([]string{"PROJECT"}, head[3:]...)...)
			}
			t := newTable(head...)
			r := result{json: notNull(queue), table: t}
			for _, w := range queue {
				row := []string{fmt.Sprint(w.Position), w.Session, w.Name}
				if all {
					row = append(row, w.Project)
				}
				t.add(append(row, fmt.Sprint(w.Priority), orDash(mapWords(w.Resources)), span(max(0, a.now().Sub(w.Since))), orDash(firstWait(w.Waits)))...)
				r.quiet = append(r.quiet, w.Session)
			}
			return a.show(r)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those of every project")
	return cmd
}

// waitWords says one reason for waiting, with what would make it fit.
func waitWords(w api.Wait) string {
	if w.Would == "" {
		return w.Sentence
	}
	return w.Sentence + "; " + w.Would
}

// firstWait is the reason to look at, and how many there are beside it.
func firstWait(waits []api.Wait) string {
	switch len(waits) {
	case 0:
		return ""
	case 1:
		return waitWords(waits[0])
	}
	return fmt.Sprintf("%s (and %s)", waitWords(waits[0]), plural(len(waits)-1, "more reason"))
}

// claimWords says what a session holds: cuda:0, cuda:1 0.50 on dgx.
func claimWords(c *api.Claim) string {
	if c == nil {
		return ""
	}
	var parts []string
	for _, d := range c.Devices {
		word := d.Ref
		if d.Share != "1.00" {
			word += " " + d.Share
		}
		if d.MemoryUsed >= 0 {
			word += " (" + bytesize.Format(d.MemoryUsed) + " of " + bytesOrDash(d.Memory) + ")"
		}
		parts = append(parts, word)
	}
	where := "a place"
	if len(parts) > 0 {
		where = strings.Join(parts, ", ")
	}
	where += " on " + c.Node
	if c.State == api.HolderLeaving {
		where += ", until its devices show their memory free"
	}
	return where
}
