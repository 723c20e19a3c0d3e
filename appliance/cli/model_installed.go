package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) modelNames(ctx context.Context, c *api.Client) (names []string) {
	all, err := c.Models(ctx)
	if err != nil {
		return nil
	}
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names
}

func (a *app) modelList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List installed models", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.Models(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("MODEL", "STATUS", "REVISION", "VARIANT", "SIZE", "SERVICE", "LICENCE", "UPDATED")
			r := result{json: notNull(all), table: t}
			for _, m := range all {
				status := m.Status
				if m.Pinned {
					status += ", pinned"
				}
				t.add(m.Name, status, revisionWords(m), orDash(m.Variant), bytesize.Format(m.Bytes), orDash(m.Service), orDash(m.License), a.ago(m.UpdatedAt))
				r.quiet = append(r.quiet, m.Name)
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("no models are installed; there are some to choose from: palisade catalog list")
				return nil
			}
			return a.show(r)
		},
	}
}

// revisionWords are the current revision of all that there are: 2 of 3.
func revisionWords(m api.Model) string {
	if m.Current == 0 {
		return "-"
	}
	if len(m.Revisions) > 1 {
		return fmt.Sprintf("%d of %d", m.Current, m.Revisions[len(m.Revisions)-1].Number)
	}
	return strconv.Itoa(m.Current)
}

func (a *app) modelShow() *cobra.Command {
	var readme, files bool
	cmd := &cobra.Command{
		Use: "show MODEL", Aliases: []string{"info"}, Short: "Show an installed model: its card, revisions, files, and who uses it", Args: words("MODEL", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.modelNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if readme {
				body, err := c.ModelReadme(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				defer body.Close()
				text, err := io.ReadAll(body)
				if err != nil {
					return fmt.Errorf("reading the README: %w", err)
				}
				fmt.Fprintln(a.out, printable(string(text)))
				return nil
			}
			m, err := c.Model(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showModel(m, files)
		},
	}
	cmd.Flags().BoolVar(&readme, "readme", false, "print its README")
	cmd.Flags().BoolVar(&files, "files", false, "list the files of its current revision")
	return cmd
}

func (a *app) showModel(m api.Model, files bool) error {
	return a.show(result{quiet: []string{m.Name}, json: m, text: func() error {
		pinned := ""
		if m.Pinned {
			pinned = "yes: it is not updated"
		}
		licence := m.License
		if m.LicenseURL != "" {
			licence += "  " + m.LicenseURL
		}
		parameters := ""
		if m.Parameters > 0 {
			parameters = strconv.FormatInt(m.Parameters, 10)
		}
		a.fields([2]string{"model", m.Name}, [2]string{"title", m.Title}, [2]string{"about", m.Description}, [2]string{"status", m.Status}, [2]string{"pinned", pinned},
			[2]string{"task", m.Task}, [2]string{"parameters", parameters}, [2]string{"licence", licence}, [2]string{"homepage", m.Homepage},
			[2]string{"installed by", m.Source}, [2]string{"size", bytesize.Format(m.Bytes)}, [2]string{"service", m.Service}, [2]string{"used by", strings.Join(m.UsedBy, ", ")},
			[2]string{"installed", a.ago(m.CreatedAt) + " by " + m.CreatedBy})
		fmt.Fprintln(a.out)
		t := newTable("REVISION", "VARIANT", "RUNTIME", "SIZE", "FOLDER", "OF", "MADE", "USED BY")
		var current *api.ModelRevision
		for i, r := range m.Revisions {
			mark := strconv.Itoa(r.Number)
			switch {
			case r.Current:
				mark += " *"
				current = &m.Revisions[i]
			case !r.Good:
				mark += " (never came up)"
			}
			t.add(mark, r.Variant, r.Runtime, bytesize.Format(r.Bytes), orDash(r.Folder), orDash(clip(r.Pin, 12)), a.ago(r.CreatedAt), orDash(strings.Join(r.UsedBy, ", ")))
		}
		t.write(a.out)
		if !files || current == nil {
			return nil
		}
		fmt.Fprintln(a.out)
		ft := newTable("FILE", "SIZE", "SHA256")
		for _, f := range current.Files {
			ft.add(f.Name, bytesize.Format(f.Bytes), f.SHA256)
		}
		ft.write(a.out)
		return nil
	}})
}

func (a *app) modelUpdate() *cobra.Command {
	var in api.ModelUpdate
	var detach, all bool
	cmd := &cobra.Command{
		Use: "update [MODEL...]", Short: "Bring models to what there is now, and roll it out", Args: words("MODEL", 0, -1),
		Long: "Bring models to what there is now: the newest of their recipes and files. The service rolls over without a gap; a new\n" +
			"revision that does not come up, or does not answer as the recipe says, is gone back from. Pinned models stay.",
		ValidArgsFunction: a.completeAt(-1, a.modelNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) != all {
				return &usageError{message: "name the models that are to be updated, or say --all"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if all {
				if args, err = a.updatable(cmd.Context(), c); err != nil {
					return err
				}
			}
			failed := false
			for _, name := range args {
				made, err := a.beginUpdate(cmd.Context(), c, name, in)
				if err == nil {
					err = a.followInstall(cmd.Context(), c, made, detach)
				}
				if err != nil && (len(args) == 1 || cmd.Context().Err() != nil) {
					return err
				}
				if err != nil {
					a.report(err)
					failed = true
				}
			}
			if failed {
				return errQuietFailure
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "all models that are not pinned")
	f.StringVar(&in.Source, "source", "", "another recipe or place of its files")
	f.StringVar(&in.Variant, "variant", "", "another variant of the recipe")
	f.IntVar(&in.Context, "context", 0, "tokens of a conversation")
	f.IntVar(&in.Concurrency, "concurrency", 0, "conversations at once that there is memory for")
	f.BoolVar(&in.AcceptLicense, "accept-license", false, "the licence was read, and is accepted")
	f.BoolVar(&in.NoCalibrate, "no-calibrate", false, "do not measure how fast it is")
	f.BoolVar(&in.Force, "force", false, "try it though it does not fit")
	f.BoolVarP(&detach, "detach", "d", false, "do not wait for it")
	return cmd
}

// beginUpdate is beginInstall for a model that is there: its licence may be another one now.
func (a *app) beginUpdate(ctx context.Context, c *api.Client, name string, in api.ModelUpdate) (api.Install, error) {
	made, err := c.UpdateModel(ctx, name, in)
	if again, err := a.accepts(err); !again {
		return made, err
	}
	in.AcceptLicense = true
	return c.UpdateModel(ctx, name, in)
}

// updatable are the models that are not pinned.
func (a *app) updatable(ctx context.Context, c *api.Client) (names []string, err error) {
	all, err := c.Models(ctx)
	for _, m := range all {
		if m.Pinned {
			a.notef("%s is pinned, and stays as it is", m.Name)
			continue
		}
		names = append(names, m.Name)
	}
	return names, err
}

func (a *app) modelRollback() *cobra.Command {
	var in api.ModelRollback
	var detach bool
	cmd := &cobra.Command{
		Use: "rollback MODEL", Short: "Go back to an earlier revision of a model", Args: words("MODEL", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.modelNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			made, err := c.RollBackModel(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return a.followInstall(cmd.Context(), c, made, detach)
		},
	}
	cmd.Flags().IntVar(&in.Revision, "revision", 0, "to which (default: the good one before)")
	cmd.Flags().BoolVarP(&detach, "detach", "d", false, "do not wait for it")
	return cmd
}

// modelPin is pin, or unpin.
func (a *app) modelPin(pinned bool) *cobra.Command {
	use, short, done := "pin MODEL...", "Have models stay as they are: update leaves them alone", "is pinned"
	if !pinned {
		use, short, done = "unpin MODEL...", "Have pinned models be updated again", "is no longer pinned"
	}
	return &cobra.Command{
		Use: use, Short: short, Args: words("MODEL", 1, -1), ValidArgsFunction: a.completeAt(-1, a.modelNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			for _, name := range args {
				m, err := c.PinModel(cmd.Context(), name, pinned)
				if err != nil {
					return err
				}
				a.notef("%s %s, at revision %d", m.Name, done, m.Current)
			}
			return nil
		},
	}
}

func (a *app) modelRemove() *cobra.Command {
	var force, yes bool
	cmd := &cobra.Command{
		Use: "rm MODEL...", Aliases: []string{"remove", "delete"}, Short: "Remove models with all their revisions", Args: words("MODEL", 1, -1),
		Long: "Remove models with all their revisions. What is used is refused; --force removes the services that use it, too.\n" +
			"Bytes that another model has stay.",
		ValidArgsFunction: a.completeAt(-1, a.modelNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if force && !yes && isTerminal(a.Stdin) && !a.confirm("remove "+strings.Join(args, ", ")+" and the services that use it?") {
				return errors.New("nothing was removed")
			}
			for _, name := range args {
				gone, err := c.RemoveModel(cmd.Context(), name, force)
				if err != nil {
					return err
				}
				a.notef("%s is removed; %s of the disk are free again", name, bytesize.Format(gone.Freed))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove the services that use it, too")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) modelInstalls() *cobra.Command {
	return &cobra.Command{
		Use: "installs", Short: "List installs, updates and roll-backs, newest first", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.Installs(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("MODEL", "KIND", "STATUS", "STEP", "BEGUN", "BY", "HOW")
			r := result{json: notNull(all), table: t}
			for _, in := range all {
				t.add(in.Model, in.Kind, in.Status, orDash(in.Step), a.ago(in.CreatedAt), in.CreatedBy, orDash(installWords(in)))
				r.quiet = append(r.quiet, in.ID)
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("nothing was installed yet: palisade catalog list")
				return nil
			}
			return a.show(r)
		},
	}
}

func (a *app) modelCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel MODEL", Short: "End an install, and remove what of it is nobody's", Args: words("MODEL", 1, 1),
		ValidArgsFunction: a.completeAt(0, func(ctx context.Context, c *api.Client) (names []string) {
			all, err := c.Installs(ctx)
			if err != nil {
				return nil
			}
			for _, in := range all {
				if in.Status == "RUNNING" || in.Status == "FAILED" {
					names = append(names, in.Model)
				}
			}
			return names
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in, err := c.CancelInstall(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.notef("the %s of %s was %s", in.Kind, in.Model, in.Error)
			return nil
		},
	}
}
