package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/signature"
)

func (a *app) catalogKeyNames(ctx context.Context, c *api.Client) []string {
	items, err := c.CatalogKeys(ctx)
	return namesOf(items, err, func(k api.CatalogKey) string { return k.ID + "\t" + k.Name })
}

// longestKeyFile is the most that is read where a key is expected.
const longestKeyFile = 16 << 10

// publicKey reads a public key: a file, standard input for "-", or the key itself, as minisign prints it.
func (a *app) publicKey(name string) (string, error) {
	from := a.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			if _, wrong := signature.ParseKey([]byte(name)); wrong == nil {
				return name, nil
			}
		}
		if err != nil {
			return "", &usageError{message: err.Error(), hint: "give the file of a public key, or the key itself as minisign prints it"}
		}
		defer f.Close()
		from = f
	}
	src, err := io.ReadAll(io.LimitReader(from, longestKeyFile+1))
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	if _, err := signature.ParseKey(src); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(src), nil
}

func (a *app) catalogTrust() *cobra.Command {
	var called string
	cmd := &cobra.Command{
		Use: "trust KEYFILE", Short: "Believe what a key signs: catalogs and bundles", Args: words("KEYFILE", 1, 1),
		Long: "Believe what a key signs: catalogs and bundles. KEYFILE is a public key of minisign (NAME.pub, or its second line itself) or\n" +
			"of cosign (cosign.pub). Take it from a place that you believe, and compare its ID with the maker's.",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.publicKey(args[0])
			if err != nil {
				return err
			}
			if called == "" && args[0] != "-" && !strings.HasPrefix(args[0], "RW") {
				called = strings.TrimSuffix(filepath.Base(args[0]), ".pub")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			k, err := c.TrustCatalogKey(cmd.Context(), api.CatalogKeyTrust{PublicKey: text, Name: called})
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{k.ID}, json: k, text: func() error {
				a.notef("%s is trusted", k.ID)
				return nil
			}})
		},
	}
	cmd.Flags().StringVar(&called, "name", "", "what you call it (default the file's name)")
	return cmd
}

func (a *app) catalogUntrust() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "untrust KEY...", Short: "Believe keys no more", Args: words("KEY", 1, -1), ValidArgsFunction: a.completeAt(-1, a.catalogKeyNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return c.UntrustCatalogKey(cmd.Context(), ref, force) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "though catalogs are signed with it: nothing of them is used then")
	return cmd
}

func (a *app) catalogKeys() *cobra.Command {
	return &cobra.Command{
		Use: "keys", Short: "List the keys that are trusted", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			keys, err := c.CatalogKeys(cmd.Context())
			if err != nil {
				return err
			}
			if len(keys) == 0 && a.output != "json" {
				a.notef("no keys are trusted; trust one with: palisade catalog trust KEYFILE")
				return nil
			}
			t := newTable("KEY", "NAME", "SIGNS", "TRUSTED")
			r := result{json: notNull(keys), table: t}
			for _, k := range keys {
				t.add(k.ID, orDash(k.Name), cmp.Or(strings.Join(k.Catalogs, ", "), "-"), a.ago(k.AddedAt))
				r.quiet = append(r.quiet, k.ID)
			}
			return a.show(r)
		},
	}
}

func (a *app) catalogKeygen() *cobra.Command {
	var open bool
	cmd := &cobra.Command{
		Use: "keygen FILE", Short: "Make a key to sign catalogs and bundles with: FILE, and FILE.pub for others", Args: words("FILE", 1, 1),
		Long: "Make a key of minisign's kind to sign catalogs and bundles with. FILE is secret and locked with a password; FILE.pub is for\n" +
			"everybody. The program minisign reads and writes the same files.",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := a.newPassword(cmd.Context(), open)
			if err != nil {
				return err
			}
			made, err := signature.GenerateKey()
			if err != nil {
				return err
			}
			secret, err := made.Marshal(password)
			if err != nil {
				return fmt.Errorf("locking the key: %w", err)
			}
			if err := newFile(args[0], secret, 0o600); err != nil {
				return err
			}
			if err := newFile(args[0]+".pub", []byte(made.Key().String()), 0o644); err != nil {
				return errors.Join(err, os.Remove(args[0]))
			}
			return a.show(result{quiet: []string{made.Key().ID()}, json: map[string]string{"id": made.Key().ID(), "file": args[0], "public_file": args[0] + ".pub"}, text: func() error {
				a.notef("%s is in %s: keep it; give everybody %s.pub", made.Key().ID(), args[0], args[0])
				return nil
			}})
		},
	}
	cmd.Flags().BoolVar(&open, "no-password", false, "whoever reads FILE can sign with it: for machines")
	return cmd
}

// newPassword asks twice for the password of a new key.
func (a *app) newPassword(ctx context.Context, open bool) (string, error) {
	if open {
		return "", nil
	}
	if !isTerminal(a.Stdin) {
		return "", &usageError{message: "there is no terminal to ask for the new key's password", hint: "run it on a terminal, or say --no-password"}
	}
	first, err := a.readPassword(ctx, "password of the new key: ")
	if err != nil {
		return "", err
	}
	again, err := a.readPassword(ctx, "the same again: ")
	switch {
	case err != nil:
		return "", err
	case first == "":
		return "", &usageError{message: "no password was given", hint: "where there is to be none: --no-password"}
	case first != again:
		return "", errors.New("the passwords differ")
	}
	return first, nil
}

// newFile writes a file that is not there yet.
func newFile(name string, src []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return &usageError{message: name + " is there already", hint: "a key that is lost cannot be made again: choose another name"}
	} else if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	_, err = f.Write(src)
	return errors.Join(err, f.Sync(), f.Close())
}

func (a *app) catalogSign() *cobra.Command {
	var key string
	making := index.Making{}
	cmd := &cobra.Command{
		Use: "sign DIR", Short: "Write and sign the index of a directory of recipes, for those who make catalogs", Args: words("DIR", 1, 1),
		Long: "Write DIR/index.yaml, which says to the byte what the catalog holds, and its signature. The serial in it grows with every\n" +
			"change. Commit and push it, or copy the directory to a server: recipes first, index.yaml last. It works without an appliance.",
		Example: "  palisade catalog keygen team.key\n  palisade catalog sign . --key team.key && git add -A && git commit -m catalog && git push",
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return &usageError{message: "catalog sign needs --key", hint: "make one: palisade catalog keygen FILE"}
			}
			signer, err := a.bundleSigner(cmd.Context(), key)
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(args[0])
			if err != nil {
				return &usageError{message: err.Error()}
			}
			defer root.Close()
			making.Signer, making.Now = *signer, a.now()
			made, problems, err := index.Sign(root, making)
			for _, p := range problems {
				a.notef("%s", oneLine(p.String()))
			}
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{fmt.Sprint(made.Serial)}, json: map[string]any{"serial": made.Serial, "recipes": len(made.Recipes), "key": signer.Key().ID()}, text: func() error {
				a.notef("%s, serial %d, signed by %s", plural(len(made.Recipes), "recipe"), made.Serial, signer.Key().ID())
				return nil
			}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "secret key of minisign or cosign")
	f.StringVar(&making.Title, "title", "", "what the catalog calls itself (default as before)")
	f.BoolVar(&making.Archive, "archive", false, "pack all files into one archive beside the index, for catalogs on a web server")
	f.Int64Var(&making.Serial, "serial", 0, "at least this serial, where index.yaml was lost")
	return cmd
}
