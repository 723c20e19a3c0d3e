package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) sshKeyCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "ssh-key", Aliases: []string{"ssh-keys"}, Short: "Public keys that open sessions to people who come by SSH"})
	cmd.AddCommand(a.sshKeyAdd(), a.sshKeyList(), a.sshKeyRemove(), a.sshKeyHost())
	return cmd
}

func (a *app) sshKeyAdd() *cobra.Command {
	var in api.SSHKeyCreate
	cmd := &cobra.Command{
		Use: "add [FILE]", Short: "Let whoever has a key into the sessions of the project", Args: words("[FILE]", 0, 1),
		Long: "Let whoever has a key into the sessions of the project. FILE is a public key, as ssh-keygen makes it; - is the standard\n" +
			"input; without it the first of ~/.ssh/id_*.pub is taken. A file of several lines adds several keys.",
		Example: "  palisade ssh-key add ~/.ssh/id_ed25519.pub\n  curl -s https://github.com/ada.keys | palisade ssh-key add -",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.publicKeys(args)
			if err != nil {
				return err
			}
			if in.Name != "" && len(text) > 1 {
				return &usageError{message: "--name: these are several keys, which cannot have one name"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			added, failed := []api.SSHKey{}, false
			for _, line := range text {
				in.Key = line
				k, err := c.AddSSHKey(cmd.Context(), in)
				switch {
				case err != nil && len(text) == 1:
					return err
				case err != nil: // one that is there already keeps nobody from adding the others
					a.report(err)
					failed = true
				default:
					added = append(added, k)
				}
			}
			if len(added) == 0 {
				return errQuietFailure
			}
			r := result{json: added, text: func() error { a.tellKeys(cmd.Context(), c, added); return nil }}
			for _, k := range added {
				r.quiet = append(r.quiet, k.ID)
			}
			if err := a.show(r); err != nil || !failed {
				return err
			}
			return errQuietFailure
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "what to call it (default: the comment at its end)")
	cmd.Flags().BoolVar(&in.AllProjects, "all-projects", false, "it opens the sessions of all projects")
	return cmd
}

// tellKeys says what a new key opens, and how.
func (a *app) tellKeys(ctx context.Context, c *api.Client, added []api.SSHKey) {
	for _, k := range added {
		fmt.Fprintf(a.out, "%s opens %s: %s\n", k.Name, opens(k), k.Fingerprint)
	}
	if where, err := a.whereSSH(ctx, c); err == nil { // else the key is there all the same
		a.notef("  next: ssh -p %s SESSION@%s", where.port, where.host)
	} else {
		a.notef("palisade: %s", err)
	}
}

func opens(k api.SSHKey) string {
	if k.Project == "" {
		return "the sessions of all projects"
	}
	return "the sessions of project " + k.Project
}

// publicKeys reads the lines of a file of public keys.
func (a *app) publicKeys(args []string) ([]string, error) {
	var text []byte
	var err error
	switch {
	case len(args) == 0:
		return a.ownPublicKey()
	case args[0] == "-":
		text, err = io.ReadAll(io.LimitReader(a.Stdin, 1<<20))
	default:
		text, err = os.ReadFile(args[0])
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &hinted{err: fmt.Errorf("reading the key: %w", err), hint: "make one with: ssh-keygen -t ed25519"}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if strings.Contains(string(text), "PRIVATE KEY") || strings.Contains(string(text), "---- BEGIN SSH2") {
		return []string{string(text[:min(len(text), 64)])}, nil // the appliance says what is wrong with it, and needs not to see all of it
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, &hinted{err: errors.New("there is no key in it"), hint: "give the file that ends in .pub"}
	}
	return lines, nil
}

// ownPublicKey is the person's, where ssh-keygen has put it.
func (a *app) ownPublicKey() ([]string, error) {
	dir := filepath.Join(a.env("HOME"), ".ssh")
	for _, name := range []string{"id_ed25519.pub", "id_ed25519_sk.pub", "id_ecdsa.pub", "id_ecdsa_sk.pub", "id_rsa.pub"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return a.publicKeys([]string{filepath.Join(dir, name)})
		}
	}
	return nil, &hinted{err: fmt.Errorf("there is no public key in %s", dir), hint: "make one with: ssh-keygen -t ed25519"}
}

func (a *app) sshKeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the keys that open sessions", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			keys, err := c.SSHKeys(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("ID", "NAME", "OWNER", "PROJECT", "FINGERPRINT", "ADDED", "LAST USED")
			r := result{json: notNull(keys), table: t}
			for _, k := range keys {
				project := k.Project
				if project == "" {
					project = "(all)"
				}
				t.add(k.ID, k.Name, k.Owner, project, k.Fingerprint, a.ago(k.CreatedAt), a.agoPtr(k.LastUsed))
				r.quiet = append(r.quiet, k.ID)
			}
			if len(keys) == 0 && a.output != "json" {
				a.notef("no key opens a session yet; add one: palisade ssh-key add ~/.ssh/id_ed25519.pub")
				return nil
			}
			return a.show(r)
		},
	}
}

func (a *app) sshKeyRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm KEY...", Aliases: []string{"remove"}, Short: "End keys at once, by id, fingerprint or name; who is connected with one is sent away", Args: words("KEY", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.sshKeyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return c.RemoveSSHKey(cmd.Context(), ref) })
		},
	}
}

func (a *app) sshKeyNames(ctx context.Context, c *api.Client) []string {
	items, err := c.SSHKeys(ctx)
	return namesOf(items, err, func(k api.SSHKey) string { return k.Name + "\t" + k.ID })
}

func (a *app) sshKeyHost() *cobra.Command {
	return &cobra.Command{
		Use: "host", Short: "Show the appliance's own key, to compare with what ssh asks about, or for ~/.ssh/known_hosts", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := a.whereSSH(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{w.HostKey}, json: w.SSH, text: func() error {
				a.fields([][2]string{{"listens at", w.Listen}, {"fingerprint", w.Fingerprint}, {"known_hosts", w.knownAs() + " " + w.HostKey}}...)
				return nil
			}})
		},
	}
}
