package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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
			strconv.Itoa(r.InFlight), orDash(r.Address), a.agoPtr(r.StartedAt), briefly(routeWords(r)))
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

func (a *app) serviceEvents() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "events SERVICE", Short: "List what happened to a service and why, oldest first", Args: words("SERVICE", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > api.MaxLimit {
				return &usageError{message: fmt.Sprintf("--limit %d: must be 1 to %d", limit, api.MaxLimit)}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			events, err := c.Events(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			t := newTable("WHEN", "KIND", "SESSION", "MESSAGE")
			r := result{json: notNull(events), table: t}
			for _, e := range slices.Backward(events) {
				t.add(a.ago(e.At), e.Kind, orDash(e.SessionID), briefly(e.Message))
				r.quiet = append(r.quiet, e.Message)
			}
			return a.show(r)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "the newest so many")
	return cmd
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

func (a *app) serviceGenerateToken() *cobra.Command {
	var in api.TokenCreate
	var wide bool
	cmd := &cobra.Command{
		Use: "generate-token [SERVICE]", Short: "Make a token that lets a client use a service, or with --all a project's services",
		Example: "  palisade service generate-token demo --duration 3d\n  TOKEN=$(palisade service generate-token demo --duration 12h -q)",
		Args:    words("SERVICE", 0, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := serviceOrAll(cmd, args, wide)
			if err != nil {
				return err
			}
			if in.Duration == "" && in.ValidUntil == "" {
				return &usageError{
					message: "either --duration or --valid-until must be given",
					hint:    "for example: --duration 3d (s, m, h, d, w, mo, yr), or --valid-until 2030-01-31T12:00:00Z",
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			issued, err := c.IssueToken(cmd.Context(), ref, in)
			if err != nil {
				return err
			}
			if a.output != "json" {
				a.notef("token %s, valid until %s; it is shown only this once", issued.Token.ID, issued.Token.ExpiresAt.Local().Format(time.DateTime))
			}
			return a.showValue(issued.Secret, issued)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Duration, "duration", "", "how long it is valid: 3600, 90s, 15m, 12h, 3d, 2w, 1mo, 1yr")
	f.StringVar(&in.ValidUntil, "valid-until", "", "until when it is valid (RFC 3339); wins over --duration")
	f.StringVar(&in.Name, "name", "", "what it is for")
	f.BoolVar(&wide, "all", false, "for every service of the project")
	return cmd
}

// serviceOrAll returns the service named, "" for --all; one of the two it must be.
func serviceOrAll(cmd *cobra.Command, args []string, all bool) (string, error) {
	switch {
	case all && len(args) > 0:
		return "", &usageError{message: fmt.Sprintf("name a service or give --all, not both: %q", args[0])}
	case all:
		return "", nil
	case len(args) == 0:
		return "", &usageError{message: commandName(cmd) + " needs SERVICE, or --all for every service of the project"}
	}
	return args[0], nil
}

func (a *app) serviceTokens() *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use: "tokens [SERVICE]", Short: "List the tokens of a service, or with --all those of the whole project",
		Args: words("SERVICE", 0, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := serviceOrAll(cmd, args, wide)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			tokens, err := c.Tokens(cmd.Context(), ref)
			if err != nil {
				return err
			}
			t := newTable("ID", "NAME", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED")
			r := result{json: notNull(tokens), table: t}
			for _, k := range tokens {
				t.add(k.ID, orDash(k.Name), a.tokenState(k), a.ago(k.CreatedAt), orDash(k.CreatedBy), a.ago(k.ExpiresAt), a.agoPtr(k.LastUsed))
				r.quiet = append(r.quiet, k.ID)
			}
			return a.show(r)
		},
	}
	cmd.Flags().BoolVar(&wide, "all", false, "every token of the project")
	return cmd
}

func (a *app) tokenState(k api.Token) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case !a.now().Before(k.ExpiresAt):
		return "expired"
	case k.ServiceID == "":
		return "valid, all services"
	}
	return "valid"
}

func (a *app) serviceRevokeToken() *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use: "revoke-token SERVICE TOKEN...", Short: "End tokens at once, by id or name; with --all, tokens of the project",
		Args: words("TOKEN", 1, -1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref := ""
			if !wide {
				if len(args) < 2 {
					return &usageError{message: commandName(cmd) + " needs SERVICE and TOKEN", line: cmd.UseLine()}
				}
				ref, args = args[0], args[1:]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(token string) error { return c.RevokeToken(cmd.Context(), ref, token) })
		},
	}
	cmd.Flags().BoolVar(&wide, "all", false, "tokens of the project; no SERVICE is named")
	return cmd
}
