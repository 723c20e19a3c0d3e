package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) joinCommand() *cobra.Command {
	var in api.ClusterJoin
	var detach bool
	cmd := &cobra.Command{
		Use: "join URL TOKEN", Short: "Have this box join a cluster", Args: words("URL TOKEN", 2, 2),
		Long: "Have this box join a cluster. URL is that of the port for other boxes of any box of it, and TOKEN what palisade cluster token\n" +
			"printed there; - reads it from standard input. Where somebody has to approve of this box, that is waited for; Ctrl-C ends the\n" +
			"waiting alone: the box goes on asking by itself, over restarts too, until it is let in or palisade cluster leave gives it up.",
		Example: "  palisade join https://10.0.0.1:8480 pal-join.…\n  palisade join https://10.0.0.1:8480 - --name box-2 < token",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.URL, in.Token = args[0], args[1]
			if in.Token == "-" {
				text, err := readText(a.Stdin, "standard input")
				if err != nil {
					return err
				}
				in.Token = strings.TrimSpace(text)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			self, err := c.JoinCluster(cmd.Context(), in)
			if err == nil && !detach {
				self, err = a.joined(cmd.Context(), c, self)
			}
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{self.State}, json: self, text: func() error {
				if self.State == api.ClusterIn {
					a.notef("%s is in cluster %s, where %s leads: palisade cluster status", self.Name, self.Cluster, orUnnamed(self.Leader))
				} else {
					a.notef("%s", joinWords(self))
				}
				return nil
			}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "of this box (default its host name)")
	f.StringVar(&in.Address, "address", "", "HOST:PORT at which other boxes reach this one (default cluster.advertise of the settings)")
	f.BoolVarP(&detach, "detach", "d", false, "do not wait until it is in")
	return cmd
}

func orUnnamed(leader string) string {
	if leader == "" {
		return "nobody"
	}
	return leader
}

// Waiting for a box to be let in.
const (
	joinFirst = 250 * time.Millisecond
	joinMost  = time.Second
	joinAway  = time.Minute // the daemon may begin anew meanwhile
	// joinLeader is how long a box that is in is given to hear who leads.
	joinLeader = 5 * time.Second
)

// joined waits until this box is in, and says what it waits for whenever that changes.
func (a *app) joined(ctx context.Context, c *api.Client, self api.ClusterSelf) (api.ClusterSelf, error) {
	said, heard, in := "", a.now(), time.Time{}
	for pause := joinFirst; ; pause = min(2*pause, joinMost) {
		switch self.State {
		case api.ClusterIn:
			if in.IsZero() {
				in = a.now()
			}
			if self.Leader != "" || a.now().Sub(in) > joinLeader {
				return self, nil
			}
		case api.ClusterAlone:
			return self, &hinted{err: errors.New(orElse(self.Problem, "this box has given up to join")), hint: orElse(self.Hint, "say palisade join again")}
		}
		if words := joinWords(self); words != said && self.State != api.ClusterIn {
			a.notef("%s", words)
			said = words
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return self, &hinted{err: ctx.Err(), hint: "the box goes on asking by itself: palisade cluster status says how far it is; palisade cluster leave gives it up"}
		}
		now, err := c.ClusterSelf(ctx)
		switch {
		case err == nil:
			self, heard = now, a.now()
		case a.now().Sub(heard) > joinAway:
			return self, err
		}
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// joinWords say what a box that joins waits for.
func joinWords(self api.ClusterSelf) string {
	name := orElse(self.Name, "this box")
	switch {
	case self.Problem != "" && self.Asks == "":
		text := fmt.Sprintf("%s was let in, and cannot take its place yet; it tries again: %s", name, self.Problem)
		if self.Hint != "" {
			text += "\n  hint: " + self.Hint
		}
		return text
	case self.Asks == "":
		return name + " was let in, and takes its place"
	case self.Problem != "":
		text := fmt.Sprintf("%s asks %s: %s", name, self.Asks, self.Problem)
		if strings.Contains(self.Problem, strings.TrimPrefix(self.Asks, "https://")) {
			text = fmt.Sprintf("%s asks: %s", name, self.Problem)
		}
		if self.Hint != "" {
			text += "\n  hint: " + self.Hint
		}
		return text
	case self.Waiting:
		text := fmt.Sprintf("%s waits to be let in. On a box of the cluster: palisade cluster approve %s", name, name)
		if self.Key != "" {
			text += "\n  its key is " + self.Key + ": palisade cluster status shows the same there"
		}
		return text
	}
	return fmt.Sprintf("%s asks %s", name, self.Asks)
}
