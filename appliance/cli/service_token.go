package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) serviceGenerateToken() *cobra.Command {
	var in api.TokenCreate
	var limits limitFlags
	var wide bool
	cmd := &cobra.Command{
		Use: "generate-token [SERVICE]", Short: "Make a token that lets a client use a service, or with --all a project's services",
		Long: "Make a token that lets a client use a service, or with --all a project's services. Its limits are over all that the\n" +
			"client has in flight; who passes one is told 429 and when to try again. Tokens of models are prompt and answer together.",
		Example: "  palisade service generate-token demo --duration 3d\n  TOKEN=$(palisade service generate-token demo --duration 12h -q)\n" +
			"  palisade service generate-token demo --duration 1yr --name ci --rpm 60 --tpm 100k --concurrency 4 --budget 1M --budget-window day",
		Args: words("SERVICE", 0, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
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
			if in.Limits, err = limits.read(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			issued, err := c.IssueToken(cmd.Context(), ref, in)
			if err != nil {
				return inFlags(err, flagsOfLimits())
			}
			a.warnOfNamesake(cmd.Context(), c, ref, issued.Token)
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
	limits.add(cmd)
	return cmd
}

// warnOfNamesake tells of a valid token with the name of a new one: neither can be revoked by that name, and their usage
// looks like one's. ref is the service, "" for a project's tokens.
func (a *app) warnOfNamesake(ctx context.Context, c *api.Client, ref string, issued api.Token) {
	if issued.Name == issued.ID { // it was given none
		return
	}
	tokens, err := c.Tokens(ctx, ref)
	if err != nil {
		return // the token is made, and the warning not worth failing for
	}
	for _, k := range tokens {
		if k.ID != issued.ID && k.Name == issued.Name && k.ServiceID == issued.ServiceID && a.valid(k) {
			a.notef("palisade: warning: token %s has the name %s too, and is valid until %s", k.ID, oneLine(k.Name), k.ExpiresAt.Local().Format(time.DateTime))
		}
	}
}

// valid tells whether a token opens anything.
func (a *app) valid(k api.Token) bool { return k.RevokedAt == nil && a.now().Before(k.ExpiresAt) }

// tokensFor lists the tokens of a service, and those of its project that open it; all of the project where ref is "".
func (a *app) tokensFor(ctx context.Context, c *api.Client, ref string) ([]api.Token, error) {
	tokens, err := c.Tokens(ctx, ref)
	if err != nil || ref == "" {
		return tokens, err
	}
	all, err := c.Tokens(ctx, "")
	for _, k := range all {
		if k.ServiceID == "" && a.valid(k) {
			tokens = append(tokens, k)
		}
	}
	return tokens, err
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
		Use: "tokens [SERVICE]", Short: "List the tokens that open a service, or with --all those of the whole project",
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
			tokens, err := a.tokensFor(cmd.Context(), c, ref)
			if err != nil {
				return err
			}
			t := newTable("ID", "NAME", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED", "LIMITS")
			r := result{json: notNull(tokens), table: t}
			for _, k := range tokens {
				t.add(k.ID, orDash(k.Name), a.tokenState(k), a.ago(k.CreatedAt), orDash(k.CreatedBy), a.ago(k.ExpiresAt), a.agoPtr(k.LastUsed), limitWords(k))
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
