package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// userLink joins a user with one of a provider.
func (a *app) userLink() *cobra.Command {
	var in struct{ issuer, subject string }
	cmd := &cobra.Command{
		Use: "link NAME", Short: "Let a user log in by a provider of OpenID Connect from now on", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.userNames),
		Long: "Let a user log in by a provider of OpenID Connect from now on. Their password is forgotten, and they are logged out. --subject\n" +
			"is who they are there: the claim sub, which the provider shows with an account, and the log with a log-in that was refused.",
		Example: "  palisade user link ada --issuer https://login.example.com --subject 4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.subject == "" {
				return &usageError{message: "--subject: who is " + args[0] + " at the provider?", line: cmd.UseLine(), hint: "palisade user link --help"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if in.issuer == "" {
				if in.issuer, err = onlyIssuer(cmd.Context(), c); err != nil {
					return err
				}
			}
			u, err := c.UpdateUser(cmd.Context(), args[0], api.UserUpdate{Issuer: &in.issuer, Subject: &in.subject})
			if err != nil {
				return err
			}
			return a.showUser(u, "joined with "+u.Subject+" of "+u.Issuer)
		},
	}
	cmd.Flags().StringVar(&in.issuer, "issuer", "", "the provider's address, as its settings have it (default: the only one that is set)")
	cmd.Flags().StringVar(&in.subject, "subject", "", "who the user is there")
	return cmd
}

// onlyIssuer is that of the provider, where there is one.
func onlyIssuer(ctx context.Context, c *api.Client) (string, error) {
	all, err := c.Providers(ctx)
	if err != nil {
		return "", err
	}
	if len(all) == 1 {
		return all[0].Issuer, nil
	}
	e := &usageError{message: "--issuer: which provider is meant?", hint: "none is set: people.oidc of the settings has them"}
	if len(all) > 1 {
		var those []string
		for _, p := range all {
			those = append(those, p.Issuer)
		}
		e.hint = "one of " + strings.Join(those, ", ")
	}
	return "", e
}

// userUnlink gives a user back to the box.
func (a *app) userUnlink() *cobra.Command {
	return &cobra.Command{
		Use: "unlink NAME", Short: "Let a user log in by a provider no more", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.userNames),
		Long: "Let a user log in by a provider no more. They are logged out, and have no password until one is drawn: palisade user reset NAME.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if u.Issuer == "" {
				return &usageError{message: u.Name + " logs in by no provider", hint: "palisade user show " + u.Name}
			}
			if u, err = c.UpdateUser(cmd.Context(), u.Name, api.UserUpdate{Issuer: new(""), Subject: new("")}); err != nil {
				return err
			}
			return a.show(result{quiet: []string{u.Name}, json: u, text: func() error {
				a.notef("user %s logs in by no provider any more", u.Name)
				a.notef("  next: palisade user reset %s draws a password", u.Name)
				return nil
			}})
		},
	}
}
