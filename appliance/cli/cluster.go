package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) clusterCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use: "cluster", Short: "Several boxes as one appliance: make a cluster, let boxes in, look after them",
		Long: "Several boxes as one appliance: one catalog, one set of services, one queue, and every box answers for all of it. On the first\n" +
			"box: palisade cluster init, then palisade cluster token, which prints what to type on the others.",
	})
	cmd.AddCommand(
		a.clusterInit(), a.clusterToken(), a.clusterStatus(), a.clusterApprove(), a.clusterRemove(),
		a.clusterState("cordon", api.BoxCordoned, "Place nothing new on boxes; what runs goes on", "%s takes nothing new; what runs goes on"),
		a.clusterState("uncordon", api.BoxIn, "Take boxes into use again", "%s is in use again"),
		a.clusterState("drain", api.BoxDraining, "Empty boxes: services get their routes elsewhere first, then what runs there ends or waits for another place", "%s is being emptied: palisade cluster status shows how far it is; palisade cluster uncordon %[1]s takes it back"),
		a.clusterLabel(), a.clusterLeave(), a.clusterRescue(),
	)
	return cmd
}

func (a *app) boxNames(ctx context.Context, c *api.Client) []string {
	status, err := c.Cluster(ctx)
	return namesOf(status.Boxes, err, func(b api.ClusterBox) string { return b.Name + "\t" + b.State })
}

func (a *app) clusterInit() *cobra.Command {
	var in api.ClusterInit
	cmd := &cobra.Command{
		Use: "init", Short: "Make a cluster of which this box is the first", Args: words("", 0, 0),
		Long: "Make a cluster of which this box is the first. What runs here goes on. Rows have to be in PostgreSQL, where other boxes\n" +
			"reach them: palisade database move does that, once.",
		Example: "  palisade cluster init --address 10.0.0.1:8480",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			self, err := c.InitCluster(cmd.Context(), in)
			if err == nil {
				err = a.decides(cmd.Context(), c, self.Name)
			}
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{self.Name}, json: self, text: func() error {
				a.notef("%s is the first box of cluster %s; others reach it at %s\nlet others join: palisade cluster token", self.Name, self.Cluster, orDash(self.Address))
				return nil
			}})
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "of this box (default its host name)")
	cmd.Flags().StringVar(&in.Address, "address", "", "HOST:PORT at which other boxes reach this one (default cluster.advertise of the settings)")
	return cmd
}

// decides waits a moment until the first box of a cluster decides and is heard of: what a person types next is for who decides.
// That it takes longer is no fault of what was asked for; palisade cluster status says why.
func (a *app) decides(ctx context.Context, c *api.Client, name string) error {
	begun := a.now()
	for pause := joinFirst; a.now().Sub(begun) < initMost; pause = min(2*pause, joinMost) {
		st, err := c.Cluster(ctx)
		if err == nil && slices.ContainsFunc(st.Boxes, func(b api.ClusterBox) bool { return b.Name == name && b.Alive }) {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &hinted{context.Cause(ctx), "the cluster is there: palisade cluster status"}
		}
	}
	return nil
}

const initMost = 15 * time.Second

func (a *app) clusterToken() *cobra.Command {
	var in api.ClusterTokenCreate
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "token", Short: "Make what another box joins with: it prints the line to type there", Args: words("", 0, 0),
		Long: "Make what another box joins with, and print the line to type there. It is shown only now. A box that has joined waits until\n" +
			"somebody approves of it, unless the token says otherwise.",
		Example: "  palisade cluster token --uses 2\n  palisade cluster token --approve --for 10m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in.Seconds = int(lasts / time.Second)
			t, err := c.CreateClusterToken(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{t.Token}, json: t, text: func() error {
				fmt.Fprintf(a.out, "palisade join %s %s\n", t.URL, t.Token)
				then := "then, here: palisade cluster approve NAME"
				if t.Approve {
					then = "who joins with it is in at once: keep it to yourself"
				}
				a.notef("good for %s, until %s (%s)\n%s", boxes(t.Uses), t.ExpiresAt.Local().Format(time.DateTime), a.ago(t.ExpiresAt), then)
				return nil
			}})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&in.Approve, "approve", false, "who joins with it is in at once")
	f.IntVar(&in.Uses, "uses", 1, "how many boxes may join with it")
	f.Var(newDuration(&lasts, time.Hour), "for", "how long it is good for")
	cmd.AddCommand(a.clusterTokenList(), a.clusterTokenRevoke())
	return cmd
}

func boxes(n int) string {
	if n == 1 {
		return "1 box"
	}
	return fmt.Sprintf("%d boxes", n)
}

func (a *app) clusterTokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tokens that can still be used", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			tokens, err := c.ClusterTokens(cmd.Context())
			if err != nil {
				return err
			}
			if len(tokens) == 0 && a.output != "json" {
				a.notef("no box can join now; make a token with: palisade cluster token")
				return nil
			}
			t := newTable("TOKEN", "LETS IN", "USES LEFT", "ENDS", "MADE BY", "MADE")
			r := result{json: notNull(tokens), table: t}
			for _, k := range tokens {
				in := "after approval"
				if k.Approve {
					in = "at once"
				}
				t.add(k.ID, in, fmt.Sprint(k.Uses), a.ago(k.ExpiresAt), orDash(k.CreatedBy), a.ago(k.CreatedAt))
				r.quiet = append(r.quiet, k.ID)
			}
			return a.show(r)
		},
	}
}

func (a *app) clusterTokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN...", Aliases: []string{"rm"}, Short: "Forget tokens, by their ids: who has joined stays in", Args: words("TOKEN", 1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(id string) error { return c.RevokeClusterToken(cmd.Context(), id) })
		},
	}
}

func (a *app) clusterApprove() *cobra.Command {
	return &cobra.Command{
		Use: "approve BOX...", Short: "Let boxes in that wait", Args: words("BOX", 1, -1), ValidArgsFunction: a.completeAt(-1, a.boxNames),
		Long: "Let boxes in that wait. Compare the key that palisade cluster status shows with what the box itself prints: whoever is in\n" +
			"is trusted with all of the cluster.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error {
				_, err := c.ApproveBox(cmd.Context(), name)
				return err
			})
		},
	}
}

func (a *app) clusterRemove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove BOX...", Aliases: []string{"rm"}, Short: "Take boxes out, or refuse ones that wait", Args: words("BOX", 1, -1), ValidArgsFunction: a.completeAt(-1, a.boxNames),
		Long: "Take boxes out, or refuse ones that wait. Empty one first: palisade cluster drain. One that is gone for good takes --force.\n" +
			"Its certificate is believed no more; it had the cluster's key all the same: a box that fell into bad hands means a new cluster.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveBox(cmd.Context(), name, force) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "though sessions run there, or the box cannot be asked")
	return cmd
}

// clusterState is a command that changes what boxes may be given.
func (a *app) clusterState(verb, state, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " BOX...", Short: short, Args: words("BOX", 1, -1), ValidArgsFunction: a.completeAt(-1, a.boxNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error {
				if _, err := c.UpdateBox(cmd.Context(), name, api.ClusterBoxUpdate{State: state}); err != nil {
					return err
				}
				a.notef(done, name)
				return nil
			})
		},
	}
}

func (a *app) clusterLabel() *cobra.Command {
	return &cobra.Command{
		Use: "label BOX KEY=VALUE|KEY-...", Short: "Give a box labels, or take them away with KEY-", Args: words("BOX LABEL", 2, -1), ValidArgsFunction: a.completeAt(0, a.boxNames),
		Example: "  palisade cluster label box-2 rack=a3 zone-",
		RunE: func(cmd *cobra.Command, args []string) error {
			up := api.ClusterBoxUpdate{Labels: map[string]*string{}}
			for _, word := range args[1:] {
				key, value, gives := strings.Cut(word, "=")
				if !gives {
					if key, gives = strings.CutSuffix(word, "-"); !gives || key == "" {
						return &usageError{message: fmt.Sprintf("%q is neither KEY=VALUE nor KEY-", word), hint: "as in: palisade cluster label box-2 rack=a3 zone-"}
					}
					up.Labels[key] = nil
					continue
				}
				up.Labels[key] = &value
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			b, err := c.UpdateBox(cmd.Context(), args[0], up)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{b.Name}, json: b, text: func() error {
				a.notef("%s: %s", b.Name, orDash(mapWords(b.Labels)))
				return nil
			}})
		},
	}
}

func (a *app) clusterLeave() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "leave", Short: "Have this box leave its cluster, or give up to join one", Args: words("", 0, 0),
		Long: "Have this box leave its cluster, or give up to join one. Empty it first: palisade cluster drain. It is alone then, with its\n" +
			"folders and images, and without the cluster's services.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			self, err := c.LeaveCluster(cmd.Context(), force)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{self.State}, json: self, text: func() error {
				a.notef("this box is in no cluster now")
				return nil
			}})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "though sessions run here, or the others cannot be told")
	return cmd
}

func (a *app) clusterRescue() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "rescue", Short: "Make this box the only member of etcd, where most members are lost for good", Args: words("", 0, 0),
		Long: "Make this box the only member of etcd, with the data that it has. It is for the day when most members are lost for good and\n" +
			"the cluster stands still. What the lost ones knew beyond this box is lost. They must never start with their data again:\n" +
			"where one comes back, it joins anew. Say it on one box alone.\n" +
			"Where etcd is your own, it is for the day when it was restored from a backup so old that no box can decide any more, which\n" +
			"palisade cluster status says: the boxes decide in a new era then.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if !yes {
				if !isTerminal(a.Stdin) {
					return &usageError{message: "cluster rescue needs --yes where nobody can be asked", hint: "read what it does: palisade help cluster rescue"}
				}
				if !a.confirm("Are the other members lost for good? What they know beyond this box is given up.") {
					return &hinted{err: errors.New("nothing was changed"), hint: "palisade cluster status says which members answer"}
				}
			}
			self, err := c.RescueCluster(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{self.Name}, json: self, text: func() error {
				a.notef("%s goes on by what it knows, in a new era; palisade cluster status says how the boxes are", self.Name)
				return nil
			}})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
