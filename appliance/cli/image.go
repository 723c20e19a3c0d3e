package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "image", Aliases: []string{"images"}, Short: "Container images: pull, import, export, list and remove"})
	cmd.AddCommand(a.imageList(), a.imagePull(), a.imageImport(), a.imageExport(), a.imageRemove(), a.imagePrune())
	return cmd
}

func (a *app) imageNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Images(ctx)
	return namesOf(items, err, func(i api.Image) string { return i.Name + "\t" + bytesize.Format(i.Size) })
}

func (a *app) imageList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the images that the box keeps", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			images, err := c.Images(cmd.Context())
			if err != nil {
				return err
			}
			if len(images) == 0 && a.output != "json" {
				a.notef("no images; bring one with: palisade image pull IMAGE, or: palisade image import FILE")
				return nil
			}
			return a.showImages(images)
		},
	}
}

func (a *app) showImages(images []api.Image) error {
	t := newTable("NAME", "SIZE", "SINCE", "PLATFORM", "DIGEST", "USED BY")
	r := result{json: notNull(images), table: t}
	for _, i := range images {
		t.add(i.Name, bytesize.Format(i.Size), a.ago(i.CreatedAt), strings.Join(i.Platforms, " "), shortDigest(i.Digest), orDash(strings.Join(i.UsedBy, ", ")))
		r.quiet = append(r.quiet, i.Name)
	}
	return a.show(r)
}

// shortDigest is enough of a digest to tell two apart.
func shortDigest(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

func (a *app) imagePull() *cobra.Command {
	return &cobra.Command{
		Use: "pull IMAGE...", Short: "Bring images from their registries, though older ones of their names may be there", Args: words("IMAGE", 1, -1),
		Long: "Bring images from their registries, though older ones of their names may be there. Services that run\n" +
			"keep the one that they were started with until they are started again.",
		Example: "  palisade image pull ghcr.io/ggml-org/llama.cpp:server\n  palisade registry login nvcr.io -u '$oauthtoken' < ngc-key && palisade image pull nvcr.io/nim/meta/llama3:latest",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			pulled, failed := []api.Image{}, false
			for _, ref := range args {
				img, err := a.pull(cmd.Context(), c, ref)
				if err != nil && cmd.Context().Err() != nil {
					return &hinted{context.Cause(cmd.Context()), "a pull ends with the command that asked for it; what has come of " + ref + " is not kept"}
				}
				if err != nil {
					a.report(err)
					failed = true
					continue
				}
				pulled = append(pulled, img)
			}
			if len(pulled) > 0 || a.output == "json" {
				if err := a.showPulled(pulled); err != nil {
					return err
				}
			}
			if failed {
				return errQuietFailure
			}
			return nil
		},
	}
}

func (a *app) pull(ctx context.Context, c *api.Client, ref string) (api.Image, error) {
	b := a.newMeter()
	defer b.clear()
	return c.PullImage(ctx, ref, func(p api.PullProgress) { b.set(ref+": "+p.Message, p.Done, p.Total) })
}

// showPulled prints what is here now.
func (a *app) showPulled(images []api.Image) error {
	r := result{json: notNull(images), text: func() error {
		for _, i := range images {
			fmt.Fprintf(a.out, "%s  %s  %s\n", i.Name, shortDigest(i.Digest), bytesize.Format(i.Size))
		}
		return nil
	}}
	for _, i := range images {
		r.quiet = append(r.quiet, i.Name)
	}
	return a.show(r)
}

func (a *app) imageImport() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Take in an archive of images; - reads it from standard input", Args: words("FILE", 1, 1),
		Long: "Take in an archive of images: what docker save or podman save writes, or an OCI layout in a tar file;\n" +
			"plain, gzip or zstd. - reads it from standard input.",
		Example: "  docker save my-engine:1 | palisade image import -",
		RunE: func(cmd *cobra.Command, args []string) error {
			from, bytes, err := a.openArchive(args[0])
			if err != nil {
				return err
			}
			defer from.Close()
			c, err := a.client()
			if err != nil {
				return err
			}
			b := a.newMeter()
			defer b.clear()
			images, err := c.ImportImages(cmd.Context(), from, bytes, func(done, total int64) {
				message := "sending " + args[0]
				if done == total {
					message = "unpacking"
				}
				b.set(message, done, total)
			})
			b.clear()
			if err != nil {
				return err
			}
			return a.showPulled(images)
		},
	}
}

// openArchive opens a file, or standard input, of which the size is not known: -1.
func (a *app) openArchive(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		if isTerminal(a.Stdin) {
			return nil, 0, &usageError{message: "standard input is a terminal", hint: "for example: docker save IMAGE | palisade image import -"}
		}
		return io.NopCloser(a.Stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, &usageError{message: fmt.Sprintf("%v", err)}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &usageError{
			message: name + " is a directory",
			hint:    "an OCI layout is imported as an archive: tar -C " + name + " -c . | palisade image import -",
		}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}

func (a *app) imageExport() *cobra.Command {
	return &cobra.Command{
		Use: "export IMAGE FILE", Short: "Write an image as an archive, which docker load takes too; - writes to standard output", Args: words("IMAGE FILE", 2, 2),
		ValidArgsFunction: a.completeAt(0, a.imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, name := args[0], args[1]
			if name == "-" && isTerminal(a.Stdout) {
				return &usageError{message: "an archive does not go to a terminal", hint: "palisade image export " + ref + " - > FILE"}
			}
			if err := canBeFile(name); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			b := a.newMeter()
			defer b.clear()
			tell := func(done, total int64) { b.set("writing "+name, done, total) }
			if name == "-" {
				_, err := c.ExportImage(cmd.Context(), ref, a.out, tell)
				return err
			}
			n, err := exportFile(cmd.Context(), c, ref, name, tell)
			b.clear()
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{name}, json: map[string]any{"file": name, "bytes": n}, text: func() error {
				_, err := fmt.Fprintf(a.out, "%s  %s\n", name, bytesize.Format(n))
				return err
			}})
		},
	}
}

// canBeFile says before gigabytes are sent that a name cannot become a file.
func canBeFile(name string) error {
	if name == "-" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return &usageError{message: name + " is a directory", hint: "name the file: " + filepath.Join(name, "image.tar")}
	}
	if _, err := os.Stat(filepath.Dir(name)); err != nil {
		return &usageError{message: fmt.Sprintf("%s: there is no such directory", filepath.Dir(name))}
	}
	return nil
}

func exportFile(ctx context.Context, c *api.Client, ref, name string, tell api.Progress) (n int64, err error) {
	err = wholeFile(name, 0o644, func(f *os.File) (err error) {
		n, err = c.ExportImage(ctx, ref, f, tell)
		return err
	})
	return n, err
}

func (a *app) imageRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm IMAGE...", Aliases: []string{"remove", "delete"}, Short: "Remove images that nothing uses", Args: words("IMAGE", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.imageNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(ref string) error { return c.RemoveImage(cmd.Context(), ref) })
		},
	}
}

func (a *app) imagePrune() *cobra.Command {
	var olderThan time.Duration
	var yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove every image that no service and no session uses", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if olderThan < 0 {
				return &usageError{message: fmt.Sprintf("--older-than %v: must be 0 or more", olderThan)}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if !yes && isTerminal(a.Stdin) && !a.confirm("remove every image that nothing uses?") {
				return fmt.Errorf("nothing was removed")
			}
			pruned, err := c.PruneImages(cmd.Context(), api.ImagePrune{OlderThan: olderThan.Seconds()})
			if err != nil {
				return err
			}
			if a.output != "json" {
				freed := int64(0)
				for _, i := range pruned.Removed {
					freed += i.Size
				}
				a.notef("%s removed, %s", plural(len(pruned.Removed), "image"), bytesize.Format(freed))
			}
			r := result{json: notNull(pruned.Removed), text: func() error {
				for _, i := range pruned.Removed {
					fmt.Fprintln(a.out, i.Name)
				}
				return nil
			}}
			for _, i := range pruned.Removed {
				r.quiet = append(r.quiet, i.Name)
			}
			return a.show(r)
		},
	}
	cmd.Flags().DurationVar(&olderThan, "older-than", 0, "only those pulled or imported longer ago: 72h")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
