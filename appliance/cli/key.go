package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "key", Aliases: []string{"keys"}, Short: "API keys: what lets clients elsewhere command this appliance"})
	cmd.AddCommand(a.keyCreate(), a.keyList(), a.keyRevoke())
	return cmd
}

func (a *app) keyCreate() *cobra.Command {
	var in api.KeyCreate
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an API key; its secret is printed this once", Args: words("NAME", 1, 1),
		Long: "Make an API key; its secret is printed this once. It may no more than its owner, and than its scope: read looks, write changes\n" +
			"too, admin does all that its owner may. With --project it opens that one alone. A key without an owner is the appliance's own.",
		Example: "  export PALISADE_HOST=https://box:8080 PALISADE_KEY=$(ssh box palisade key create laptop --owner ada -q)\n" +
			"  palisade key create ci --project vision --expires 90d",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in.Name = args[0]
			if cmd.Flags().Changed("project") { // the variable of the environment bounds no key
				in.Project = a.project
			}
			if cmd.Flags().Changed("expires") {
				in.ExpiresAt = new(time.Now().Add(expires).UTC().Round(time.Second))
			}
			issued, err := c.CreateKey(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.output != "json" {
				a.notef("API key %s (scope %s%s), good until it %s; it is shown only this once", issued.Key.Name, issued.Key.Scope, inProject(issued.Key), keyEnd(issued.Key))
			}
			return a.showValue(issued.Secret, issued)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Scope, "scope", "write", "read, write or admin: the most that it may of what its owner may")
	f.StringVar(&in.Owner, "owner", "", "the user who answers for it (default: you; from the box itself, the appliance)")
	f.Var(newDuration(&expires, 0), "expires", "how long it is good, like 90d (default: until it is revoked)")
	_ = cmd.RegisterFlagCompletionFunc("scope", fixedWords("read", "write", "admin"))
	return cmd
}

func inProject(k api.Key) string {
	if k.Project == "" {
		return ""
	}
	return ", project " + k.Project
}

func keyEnd(k api.Key) string {
	if k.ExpiresAt == nil {
		return "is revoked"
	}
	return "expires at " + k.ExpiresAt.Local().Format("2006-01-02 15:04")
}

func (a *app) keyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List your API keys; for an administrator those of all", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("ID", "NAME", "OWNER", "SCOPE", "PROJECT", "CREATED", "BY", "EXPIRES", "STANDING", "LAST USED")
			r := result{json: notNull(keys), table: t}
			for _, k := range keys {
				project, ends := k.Project, "never"
				if project == "" {
					project = "(all)"
				}
				if k.ExpiresAt != nil {
					ends = k.ExpiresAt.Local().Format(time.DateOnly)
				}
				t.add(k.ID, k.Name, orDash(k.Owner), k.Scope, project, a.ago(k.CreatedAt), k.CreatedBy, ends, k.Standing, a.agoPtr(k.LastUsed))
				r.quiet = append(r.quiet, k.ID)
			}
			return a.show(r)
		},
	}
}

func (a *app) keyRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke KEY...", Aliases: []string{"rm", "remove", "delete"}, Short: "End API keys at once, by id or name", Args: words("KEY", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.keyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return c.RevokeKey(cmd.Context(), ref) })
		},
	}
}
