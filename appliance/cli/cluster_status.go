package cli

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) clusterStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the boxes, who leads, the members of etcd, and what is to be done", Args: words("", 0, 0),
		Long: "Show the boxes, who leads, the members of etcd, what would stop the cluster, and what is to be done; with -o wide, more of\n" +
			"each box. While nobody leads, the box that is asked says how it sees itself. Exit code 1 then.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			status, err := c.Cluster(cmd.Context())
			if err != nil {
				if self, failed := c.ClusterSelf(cmd.Context()); failed == nil && self.State != api.ClusterAlone {
					return a.showSelf(self, err)
				}
				return err
			}
			r := result{json: status, text: func() error { a.printCluster(status); return nil }}
			for _, b := range status.Boxes {
				r.quiet = append(r.quiet, b.Name)
			}
			return a.show(r)
		},
	}
}

// showSelf shows what one box knows of itself, where the others cannot be asked.
func (a *app) showSelf(self api.ClusterSelf, why error) error {
	err := a.show(result{quiet: []string{self.Name}, json: self, text: func() error {
		leader := self.Leader
		if self.State == api.ClusterIn {
			leader = orElse(leader, "nobody, as far as it knows") + " led last"
		}
		state := self.State
		if self.Waiting {
			state = "waits to be let in: palisade cluster approve " + self.Name + ", on a box of the cluster"
		}
		a.fields([2]string{"box", self.Name}, [2]string{"cluster", self.Cluster}, [2]string{"state", state}, [2]string{"since", sinceWords(a, self.Since)},
			[2]string{"address", self.Address}, [2]string{"asks", self.Asks}, [2]string{"key", self.Key}, [2]string{"leader", leader}, [2]string{"problem", self.Problem}, [2]string{"hint", self.Hint})
		return nil
	}})
	if self.State == api.ClusterJoining {
		return err
	}
	return errors.Join(err, why)
}

func sinceWords(a *app, at *time.Time) string {
	if at == nil {
		return ""
	}
	return a.ago(*at)
}

func (a *app) printCluster(s api.ClusterStatus) {
	leads := "nobody leads"
	if s.Leader != "" {
		leads = s.Leader + " leads"
	}
	term := fmt.Sprintf("term %d", s.Term)
	if s.Era > 0 {
		term += fmt.Sprintf(" of era %d", s.Era)
	}
	fmt.Fprintf(a.out, "cluster %s: %s, %s, %s\n\n", oneLine(s.ID), boxes(len(s.Boxes)), oneLine(leads), term)
	a.boxTable(s.Boxes).write(a.out)
	for _, b := range s.Boxes {
		if b.Key != "" {
			fmt.Fprintf(a.out, "  %s: its key is %s\n", oneLine(b.Name), oneLine(b.Key))
		}
		if b.Problem != "" {
			fmt.Fprintf(a.out, "  %s: %s\n", oneLine(b.Name), oneLine(b.Problem))
		}
	}
	fmt.Fprintln(a.out)
	switch {
	case s.External:
		fmt.Fprintln(a.out, "etcd is yours: palisade does not look after its members.")
	default:
		a.memberTable(s.Members).write(a.out)
		for _, m := range s.Members {
			for _, word := range append(m.Alarms, m.Problem) {
				if word != "" {
					fmt.Fprintf(a.out, "  %s: %s\n", oneLine(orElse(m.Box, "a member")), oneLine(word))
				}
			}
		}
		if s.Quorum.Words != "" {
			fmt.Fprintf(a.out, "\n%s\n", oneLine(s.Quorum.Words))
		}
		if !s.Quorum.Agreed {
			fmt.Fprintln(a.out, "That is what one member remembers: a majority cannot be asked.")
		}
	}
	for i, next := range s.Next {
		if i == 0 {
			fmt.Fprintln(a.out, "\nnext:")
		}
		fmt.Fprintf(a.out, "  %s\n", oneLine(next))
	}
}

func (a *app) boxTable(all []api.ClusterBox) *table {
	head := []string{"BOX", "STATE", "HEARD OF", "VERSION", "DEVICES", "SESSIONS", "LABELS"}
	wide := a.output == "wide"
	if wide {
		head = append(head, "ADDRESS", "CLOCK", "BEHIND", "JOINED", "CERTIFICATE")
	}
	t := newTable(head...)
	for _, b := range all {
		state := b.State
		if b.Leads {
			state += ", leads"
		}
		if b.State == api.BoxWaiting {
			state = "waits"
		}
		row := []string{b.Name, state, heardWords(a, b), orDash(b.Version), deviceWords(b), fmt.Sprint(b.Sessions), orDash(mapWords(b.Labels))}
		if wide {
			address := orDash(b.Address)
			if b.AskedFrom != "" {
				address += " (asks from " + b.AskedFrom + ")"
			}
			row = append(row, address, clockWords(b.ClockOff), fmt.Sprint(b.Behind), a.agoPtr(b.JoinedAt), endWords(a, b.Certificate))
		}
		t.add(row...)
	}
	return t
}

func heardWords(a *app, b api.ClusterBox) string {
	switch {
	case b.Alive:
		return "now"
	case b.SilentSince != nil:
		return a.ago(*b.SilentSince)
	case b.State == api.BoxWaiting:
		return "-"
	}
	return "not yet"
}

func deviceWords(b api.ClusterBox) string {
	if b.Devices == 0 {
		return "-"
	}
	return fmt.Sprintf("%d, %d free", b.Devices, b.DevicesFree)
}

// clockWords say how far a clock is off, where that is more than a network makes of it.
func clockWords(seconds float64) string {
	if math.Abs(seconds) < 0.5 {
		return "ok"
	}
	return fmt.Sprintf("%+.1f s", seconds)
}

func endWords(a *app, at *time.Time) string {
	if at == nil {
		return "-"
	}
	return "ends " + a.ago(*at)
}

func (a *app) memberTable(all []api.ClusterMember) *table {
	t := newTable("MEMBER OF ETCD", "VOTE", "ANSWERS", "LAG", "SIZE", "VERSION")
	for _, m := range all {
		vote := "yes"
		switch {
		case m.Learner:
			vote = "learns"
		case m.Leads:
			vote = "yes, leads"
		}
		answers := "yes"
		if !m.Answers {
			answers = "not for " + span(time.Duration(m.Silent*float64(time.Second)))
		}
		t.add(orElse(m.Box, "(not started)"), vote, answers, fmt.Sprint(m.Lag), bytesize.Format(m.Size), orDash(m.Version))
	}
	return t
}
