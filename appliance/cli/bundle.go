package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bundle"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/signature"
)

func (a *app) bundleCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use: "bundle", Aliases: []string{"bundles"}, Short: "Models in one file, for boxes without a network",
		Long: "A bundle holds all that a model takes: its recipe, its files, the engine's image, the licence's name, a checksum of every\n" +
			"byte, and a signature. It is made on a box that has the model, carried over, and installed on one that has no network.",
	})
	cmd.AddCommand(a.bundleCreate(), a.bundleVerify(), a.bundleShow(), a.bundleInstall(), a.bundleList(), a.bundleRemove())
	return cmd
}

func (a *app) bundleNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Bundles(ctx)
	return namesOf(items, err, func(b api.Bundle) string { return b.Name })
}

func (a *app) bundleCreate() *cobra.Command {
	var output, key string
	var noImage bool
	cmd := &cobra.Command{
		Use: "create MODEL", Short: "Write an installed model as one file", Args: words("MODEL", 1, 1),
		Long: "Write an installed model as one file: its recipe, its files, and the engine's image where the model runs in one.\n" +
			"Every byte is verified on the way. With --key it is signed; boxes take what is signed by a key that they trust.",
		Example: "  palisade bundle create qwen3-8b -o qwen3-8b.bundle --key catalog.key\n  palisade bundle create qwen3-8b -o - | ssh box 'cat > qwen3-8b.bundle'",
		RunE: func(cmd *cobra.Command, args []string) error {
			output = cmp.Or(output, args[0]+".bundle")
			if output == "-" && isTerminal(a.Stdout) {
				return &usageError{message: "a bundle does not go to a terminal", hint: "palisade bundle create " + args[0] + " -o FILE"}
			}
			if err := canBeFile(output); err != nil {
				return err
			}
			signer, err := a.bundleSigner(cmd.Context(), key)
			if err != nil {
				return err
			}
			return a.createBundle(cmd.Context(), args[0], output, !noImage, signer)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "file that it is written to; - is standard output (default MODEL.bundle)")
	f.StringVar(&key, "key", "", "secret key of minisign or cosign that signs it")
	f.BoolVar(&noImage, "no-image", false, "leave the engine's image out")
	return cmd
}

// bundleSigner reads a secret key; nil without a name of one.
func (a *app) bundleSigner(ctx context.Context, name string) (*signature.Signer, error) {
	if name == "" {
		return nil, nil
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, &usageError{message: err.Error()}
	}
	signer, err := signature.ParseSigner(src, func() (string, error) {
		if !isTerminal(a.Stdin) {
			return "", &hinted{err: fmt.Errorf("%s is locked with a password, and there is no terminal to ask for it", name), hint: "run it on a terminal, or use a key without a password"}
		}
		return a.readPassword(ctx, "password of "+name+": ")
	})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	return &signer, nil
}

func (a *app) createBundle(ctx context.Context, model, output string, withImage bool, signer *signature.Signer) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	meter := a.newMeter()
	defer meter.clear()
	if withImage {
		meter.set("looking through "+model, 0, 0)
	}
	from, _, err := c.MakeBundle(ctx, model, withImage)
	if err != nil {
		return err
	}
	defer from.Close()
	tell := func(done, total int64) { meter.set("writing "+output, done, total) }
	if output == "-" {
		_, err := bundle.Copy(ctx, from, a.out, signer, tell)
		return cutOff(err)
	}
	head, err := writeBundle(ctx, from, output, signer, tell)
	meter.clear()
	if err != nil {
		return err
	}
	return a.show(result{quiet: []string{output}, json: head, text: func() error {
		_, err := fmt.Fprintf(a.out, "%s  %s\n", output, bytesize.Format(head.Size))
		if signer == nil {
			a.notef("it is not signed: --key FILE signs it; boxes take it with --allow-unsigned only")
		}
		return err
	}})
}

// cutOff says of a bundle that an appliance broke off that it did: why is in the appliance's log.
func cutOff(err error) error {
	if errors.Is(err, bundle.ErrRefused) || errors.Is(err, bundle.ErrNotBundle) {
		return &hinted{err: fmt.Errorf("the appliance broke off: %w", err), hint: "its log says why; palisade verify looks for files that are damaged"}
	}
	return err
}

func writeBundle(ctx context.Context, from io.Reader, name string, signer *signature.Signer, tell bundle.Progress) (head bundle.Head, err error) {
	err = wholeFile(name, 0o644, func(f *os.File) (err error) {
		head, err = bundle.Copy(ctx, from, f, signer, tell)
		return cutOff(err)
	})
	return head, err
}

func (a *app) bundleVerify() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Verify every byte of a bundle; needs no daemon", Args: words("FILE", 1, 1),
		Long: "Read a bundle to its end, and compare every byte with the checksums in it. With --key it has to be signed by that key,\n" +
			"or by one of several. The exit code is 1 where something is wrong.",
		RunE: func(cmd *cobra.Command, args []string) error {
			trusted, err := publicKeys(keys)
			if err != nil {
				return err
			}
			f, bytes, err := a.openBundle(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			meter := a.newMeter()
			defer meter.clear()
			head, err := bundle.Read(cmd.Context(), f, sized(bytes), func(done, total int64) { meter.set("verifying "+args[0], done, total) })
			meter.clear()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			by, err := signedBy(head, trusted)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.showBundle(head, by, "every byte is as it was made")
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that it has to be signed with; may be given several times")
	return cmd
}

// sized refuses at once a file that is shorter or longer than it says it is.
func sized(bytes int64) func(bundle.Head) (bundle.Taker, error) {
	return func(h bundle.Head) (bundle.Taker, error) {
		if bytes >= 0 && bytes != h.Size {
			return nil, &hinted{
				err:  fmt.Errorf("%w: it has %d bytes, and should have %d", bundle.ErrRefused, bytes, h.Size),
				hint: "it was cut off on its way, or something was added: copy it again",
			}
		}
		return nil, nil
	}
}

func publicKeys(names []string) ([]signature.Key, error) {
	var keys []signature.Key
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, &usageError{message: err.Error()}
		}
		key, err := signature.ParseKey(src)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// signedBy says who signed a bundle. Where keys are given it has to be one of them.
func signedBy(h bundle.Head, keys []signature.Key) (string, error) {
	signed, err := h.Signed(keys)
	switch {
	case err == nil:
		return signed.Key.ID(), nil
	case len(keys) > 0:
		return "", err
	case errors.Is(err, signature.ErrUnsigned):
		return "nobody", nil
	case errors.Is(err, signature.ErrUntrusted):
		return "not compared with a key: " + err.Error(), nil
	}
	return "", err
}

func (a *app) bundleShow() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Show what is in a bundle, by its table of contents; needs no daemon", Args: words("FILE", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, bytes, err := a.openBundle(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			head, err := bundle.ReadHead(cmd.Context(), f)
			if err == nil {
				_, err = sized(bytes)(head)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			by, err := signedBy(head, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.showBundle(head, by, "")
		},
	}
}

// openBundle opens a file, or standard input, of which the size is not known: -1.
func (a *app) openBundle(name string) (io.ReadCloser, int64, error) {
	if name == "-" && isTerminal(a.Stdin) {
		return nil, 0, &usageError{message: "standard input is a terminal", hint: "give the bundle's file"}
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, 0, &usageError{message: name + " is a directory", hint: "a bundle is one file: palisade bundle create MODEL -o FILE makes it"}
	}
	return a.openArchive(name)
}

// bundleShown is a bundle as JSON.
type bundleShown struct {
	bundle.Contents
	Digest   string `json:"digest"`
	Size     int64  `json:"size"`
	SignedBy string `json:"signed_by"`
}

func (a *app) showBundle(h bundle.Head, by, verdict string) error {
	return a.show(result{quiet: []string{h.Name}, json: bundleShown{h.Contents, h.Digest, h.Size, by}, text: func() error {
		license := h.License.ID
		if h.License.Accept {
			license += ", to be accepted: " + h.License.URL
		}
		image := "none is in it"
		if h.Image != nil {
			image = strings.TrimSpace(h.Image.Reference + " " + h.Image.Platform)
		}
		rows := [][2]string{
			{"model", h.Name + ", version " + h.Version}, {"title", h.Title}, {"licence", license}, {"files", fmt.Sprintf("%s, %s", plural(len(h.Files), "file"), bytesize.Format(h.Weight()))},
			{"from", orDash(h.Origin)}, {"variant", orDash(h.Variant)}, {"image", image}, {"made", h.MadeAt.Format(time.RFC3339) + " by " + orDash(h.MadeBy)},
			{"signed by", by}, {"size", bytesize.Format(h.Size)}, {"digest", h.Digest}, {"verdict", verdict},
		}
		for _, r := range rows {
			if r[1] != "" {
				fmt.Fprintf(a.out, "%-10s %s\n", r[0], oneLine(r[1]))
			}
		}
		t := newTable("FILE", "SIZE", "SHA256")
		for _, f := range h.Files {
			t.add(f.Name, bytesize.Format(f.Bytes), f.SHA256[:12])
		}
		if len(h.Files) > 0 {
			fmt.Fprintln(a.out)
			t.write(a.out)
		}
		return nil
	}})
}

func (a *app) bundleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the bundles that were brought to the appliance", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			items, err := c.Bundles(cmd.Context())
			if err != nil {
				return err
			}
			if len(items) == 0 && a.output != "json" {
				a.notef("no bundles were brought here: palisade bundle install FILE brings one")
				return nil
			}
			t := newTable("NAME", "VERSION", "SIZE", "LICENCE", "IMAGE", "SIGNED BY", "RECEIVED")
			r := result{json: notNull(items), table: t}
			for _, b := range items {
				t.add(b.Name, b.Version, bytesize.Format(b.Bytes), b.License.ID, orDash(b.Image), orDash(b.SignedBy), a.ago(b.ReceivedAt))
				r.quiet = append(r.quiet, b.Name)
			}
			return a.show(r)
		},
	}
}

func (a *app) bundleRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Forget bundles; models that were installed from them stay", Args: words("NAME", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.bundleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveBundle(cmd.Context(), name) })
		},
	}
}
