package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) secretCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "secret", Aliases: []string{"secrets"}, Short: "Secrets that models and services use by name, kept encrypted"})
	cmd.AddCommand(a.secretSet(), a.secretList(), a.secretRemove(), a.secretRotate())
	return cmd
}

func (a *app) secretNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Secrets(ctx)
	return namesOf(items, err, func(s api.Secret) string { return s.Name })
}

func (a *app) secretSet() *cobra.Command {
	return &cobra.Command{
		Use: "set NAME", Short: "Keep a secret; it is asked for, or read from standard input", Args: words("NAME", 1, 1),
		Long: "Keep a secret, encrypted, in the place of any that was there. It is asked for on a terminal and read from standard\n" +
			"input elsewhere, so that neither the list of processes nor the shell's history has it. It is never shown again.\n" +
			"HF_TOKEN opens gated models of the Hugging Face hub, NGC_API_KEY NVIDIA's NGC.",
		Example:           "  palisade secret set HF_TOKEN\n  printf %s \"$NGC_API_KEY\" | palisade secret set NGC_API_KEY",
		ValidArgsFunction: a.completeAt(0, a.secretNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, _, given := strings.Cut(args[0], "=")
			if given {
				return &usageError{message: "secret set takes the name alone: what stands on a command line is seen by every user of the box", hint: "palisade secret set " + name + " < FILE"}
			}
			value, err := a.askSecret(cmd.Context(), name)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			kept, err := c.SetSecret(cmd.Context(), name, api.SecretValue{Value: value})
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{kept.Name}, json: kept, text: func() error {
				a.notef("%s is kept", kept.Name)
				return nil
			}})
		},
	}
}

// longestSecret is the most of standard input that can be a secret: what the appliance keeps.
const longestSecret = 64 << 10

func (a *app) askSecret(ctx context.Context, name string) (string, error) {
	if isTerminal(a.Stdin) {
		value, err := a.readPassword(ctx, name+": ")
		if err == nil && value == "" {
			err = errors.New("no secret was given")
		}
		return value, err
	}
	raw, err := io.ReadAll(io.LimitReader(a.Stdin, longestSecret+1))
	value := strings.TrimRight(string(raw), "\r\n")
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the secret: %w", err)
	case value == "":
		return "", &usageError{message: "standard input has no secret", hint: "palisade secret set " + name + " < FILE"}
	case len(raw) > longestSecret:
		return "", &usageError{message: fmt.Sprintf("standard input has more than %d KiB: that is no secret", longestSecret>>10)}
	}
	return value, nil
}

func (a *app) secretRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Forget secrets", Args: words("NAME", 1, -1), ValidArgsFunction: a.completeAt(-1, a.secretNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.DeleteSecret(cmd.Context(), name) })
		},
	}
}

func (a *app) secretRotate() *cobra.Command {
	return &cobra.Command{
		Use: "rotate", Short: "Encrypt all secrets with a new key", Args: words("", 0, 0),
		Long: "Make a new key, encrypt with it all that is kept (secrets, log-ins of registries, second factors), and forget the key\n" +
			"before: a copy of it that somebody else has opens nothing any more that is kept from now on. Backups of the data\n" +
			"directory from before go with the key from before; back the new one up.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			done, err := c.RotateSecrets(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(result{json: done, text: func() error {
				a.notef("%d encrypted with a new key: back up vault.key in the data directory", done.Encrypted)
				return nil
			}})
		},
	}
}

func (a *app) secretList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the secrets that are kept, not what they are", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			secrets, err := c.Secrets(cmd.Context())
			if err != nil {
				return err
			}
			if len(secrets) == 0 && a.output != "json" {
				a.notef("no secrets are kept")
				return nil
			}
			t := newTable("NAME", "CREATED", "CHANGED")
			r := result{json: notNull(secrets), table: t}
			for _, s := range secrets {
				t.add(s.Name, a.ago(s.CreatedAt), a.ago(s.UpdatedAt))
				r.quiet = append(r.quiet, s.Name)
			}
			return a.show(r)
		},
	}
}
