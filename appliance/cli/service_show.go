package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceRoutes() *cobra.Command {
	return &cobra.Command{
		Use: "routes SERVICE", Short: "List a service's routes", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			routes, err := c.Routes(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			r := result{json: notNull(routes), table: a.routeTable(routes)}
			for _, route := range routes {
				r.quiet = append(r.quiet, route.ID)
			}
			return a.show(r)
		},
	}
}

func (a *app) routeTable(routes []api.Route) *table {
	t := newTable("ROUTE", "STATUS", "SESSION", "REVISION", "RATIO", "IN FLIGHT", "ADDRESS", "STARTED", "HEALTH")
	for _, r := range routes {
		t.add(r.ID, r.Status, r.SessionStatus, strconv.Itoa(r.Revision), strconv.FormatFloat(r.TrafficRatio, 'g', -1, 64),
			strconv.Itoa(r.InFlight), orDash(r.Address), a.agoPtr(r.StartedAt), briefly(a.routeState(r)))
	}
	return t
}

func (a *app) serviceTraffic() *cobra.Command {
	return &cobra.Command{
		Use: "set-traffic SERVICE ROUTE RATIO", Short: "Set the weight of a route in the balance; 0 takes it out",
		Args: words("SERVICE ROUTE RATIO", 3, 3), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ratio, err := strconv.ParseFloat(args[2], 64)
			if err != nil || !(ratio >= 0 && ratio <= 1e6) {
				return &usageError{message: fmt.Sprintf("RATIO %q: must be a number, 0 or more", args[2]), hint: "1 is the weight of a route that nobody set"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			route, err := c.SetTrafficRatio(cmd.Context(), args[0], args[1], ratio)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{route.ID}, json: route, table: a.routeTable([]api.Route{route})})
		},
	}
}

func (a *app) serviceRevisions() *cobra.Command {
	return &cobra.Command{
		Use: "revisions SERVICE", Short: "List the versions of what a service runs", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			revisions, err := c.Revisions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			t := newTable("REVISION", "STATE", "IMAGE", "FOLDER", "VARIANT", "ENVIRONMENT", "CREATED", "BY")
			r := result{json: notNull(revisions), table: t}
			for _, v := range revisions {
				t.add(strconv.Itoa(v.Number), revisionState(v), v.Recipe.Image, orDash(v.Recipe.FolderName), v.Recipe.RuntimeVariant,
					orDash(mapWords(v.Recipe.Environ)), a.ago(v.CreatedAt), v.CreatedBy)
				r.quiet = append(r.quiet, strconv.Itoa(v.Number))
			}
			return a.show(r)
		},
	}
}

func revisionState(v api.Revision) string {
	var words []string
	if v.Current {
		words = append(words, "current")
	}
	if v.Good {
		words = append(words, "good")
	}
	if v.Failed != "" {
		words = append(words, "failed")
	}
	return orDash(strings.Join(words, ", "))
}

func (a *app) serviceRollback() *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use: "rollback SERVICE [REVISION]", Short: "Run an earlier revision again; without a number, the last good one before this",
		Args: words("SERVICE REVISION", 1, 2), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			revision := 0
			if len(args) > 1 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 1 {
					return &usageError{message: fmt.Sprintf("REVISION %q: must be a whole number, 1 or more", args[1]), hint: "see: palisade service revisions " + args[0]}
				}
				revision = n
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.RollBack(cmd.Context(), args[0], revision)
			if err != nil {
				return err
			}
			if w.wait {
				if s, err = a.waitForService(cmd.Context(), c, s, w.timeout); err != nil {
					return err
				}
			}
			return a.showService(s)
		},
	}
	w.add(cmd)
	return cmd
}
