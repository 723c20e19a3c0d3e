package cli

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// folderPath reads FOLDER:PATH, of which the path must be there.
func folderPath(word string) (ref, path string, err error) {
	ref, path, inside := strings.Cut(word, ":")
	if !inside || ref == "" || strings.Trim(path, "/") == "" {
		return "", "", &usageError{message: fmt.Sprintf("%q names no path in a folder", word), hint: "write FOLDER:PATH, as in data:runs/7"}
	}
	return ref, path, nil
}

func (a *app) folderInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info FOLDER", Aliases: []string{"show", "describe"}, Short: "Show a folder: what it holds, what it may, and who else uses it", Args: words("FOLDER", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			f, err := c.Folder(ctx, args[0])
			if err != nil {
				return err
			}
			use, err := c.FolderUse(ctx, f.ID)
			if err != nil {
				return err
			}
			shares, err := c.FolderShares(ctx, f.ID)
			if err != nil {
				return err
			}
			all := map[string]any{"folder": f, "use": use, "shares": notNull(shares)}
			return a.show(result{quiet: []string{f.ID}, json: all, text: func() error {
				a.fields(append([][2]string{
					{"name", f.Name}, {"id", f.ID}, {"project", f.Project}, {"usage", f.Usage}, {"yours", permissionWords(f.Permission)},
					{"path", f.Path}, {"made", a.ago(f.CreatedAt) + " by " + f.CreatedBy},
				}, useWords(use)...)...)
				if len(shares) == 0 {
					return nil
				}
				fmt.Fprintln(a.out)
				t := newTable("SHARED WITH", "PERMISSION", "BY", "SINCE")
				for _, s := range shares {
					t.add(sharedWith(s), s.Permission, s.CreatedBy, a.ago(s.CreatedAt))
				}
				t.write(a.out)
				return nil
			}})
		},
	}
}

func permissionWords(p string) string {
	words := map[string]string{"ro": "ro (read)", "rw": "rw (read and write)", "wd": "wd (read, write and delete)"}
	if w := words[p]; w != "" {
		return w
	}
	return p
}

func sharedWith(s api.FolderShare) string {
	if s.Person != "" {
		return "person " + s.Person
	}
	return "project " + s.ToProject
}

func useWords(u api.FolderUse) [][2]string {
	holds := fmt.Sprintf("%s in %s", bytesize.Format(u.Bytes), plural(int(u.Files), "file"))
	if u.Incomplete {
		holds = "at least " + holds
	}
	quota, project, arriving := "", "", ""
	if u.Quota > 0 {
		quota = fmt.Sprintf("%s, %.0f%% used", bytesize.Format(u.Quota), 100*float64(u.Bytes)/float64(u.Quota))
	}
	if u.ProjectQuota > 0 {
		project = fmt.Sprintf("%s, %.0f%% used", bytesize.Format(u.ProjectQuota), 100*float64(u.ProjectHeld)/float64(u.ProjectQuota))
	}
	if u.Arriving > 0 {
		arriving = plural(u.Arriving, "file") + ", not finished"
	}
	return [][2]string{{"holds", holds}, {"quota", quota}, {"project's quota", project}, {"arriving", arriving}, {"over its quota", u.Over}}
}

func (a *app) folderShare() *cobra.Command {
	var person, project, permission string
	cmd := &cobra.Command{
		Use: "share FOLDER", Short: "Let a person, or all of a project, use a folder", Args: words("FOLDER", 1, 1),
		Example:           "  palisade folder share data --with-project vision --permission ro\n  palisade folder share data --with ada --permission wd",
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (person == "") == (project == "") {
				return &usageError{message: "a folder is shared with a person or with a project", hint: "--with PERSON, or --with-project PROJECT"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.ShareFolder(cmd.Context(), args[0], api.FolderShare{Person: person, ToProject: project, Permission: permission})
			if err != nil {
				return inFlags(err, map[string]string{"permission": "--permission", "to_project": "--with-project", "person": "--with"})
			}
			return a.show(result{quiet: []string{sharedWith(s)}, json: s, text: func() error {
				fmt.Fprintf(a.out, "%s is shared with %s: %s\n", args[0], sharedWith(s), permissionWords(s.Permission))
				return nil
			}})
		},
	}
	addShareFlags(cmd, &person, &project)
	cmd.Flags().StringVar(&permission, "permission", "ro", "ro (read), rw (and write) or wd (and delete)")
	_ = cmd.RegisterFlagCompletionFunc("permission", fixedWords("ro", "rw", "wd"))
	return cmd
}

func addShareFlags(cmd *cobra.Command, person, project *string) {
	cmd.Flags().StringVar(person, "with", "", "a person: the name of an API key, or of a user of the box")
	cmd.Flags().StringVar(project, "with-project", "", "all who work in a project")
}

func (a *app) folderUnshare() *cobra.Command {
	var person, project string
	cmd := &cobra.Command{
		Use: "unshare FOLDER", Short: "Share a folder no longer; sessions that have it keep it until they end", Args: words("FOLDER", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (person == "") == (project == "") {
				return &usageError{message: "with whom no longer?", hint: "--with PERSON, or --with-project PROJECT"}
			}
			return a.inFolders(args, func(c *api.Client, ref string) error {
				return c.UnshareFolder(cmd.Context(), ref, person, project)
			})
		},
	}
	addShareFlags(cmd, &person, &project)
	return cmd
}

// inFolders does something with each folder that is named.
func (a *app) inFolders(refs []string, do func(c *api.Client, ref string) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return a.eachOf(refs, func(ref string) error { return do(c, ref) })
}

func (a *app) folderMakeDirectory() *cobra.Command {
	return &cobra.Command{
		Use: "mkdir FOLDER:PATH...", Short: "Make directories in a folder, with those above them", Args: words("FOLDER:PATH", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inFolders(args, func(c *api.Client, word string) error {
				ref, dir, err := folderPath(word)
				if err != nil {
					return err
				}
				return c.MakeDirectory(cmd.Context(), ref, dir)
			})
		},
	}
}

func (a *app) folderMove() *cobra.Command {
	return &cobra.Command{
		Use: "mv FOLDER:PATH NEW", Short: "Rename or move a file or directory in its folder", Args: words("FOLDER:PATH NEW", 2, 2),
		Long: "Rename or move a file or directory in its folder. NEW is a path in the same folder (FOLDER: may stand before\n" +
			"it); as with mv, a directory that is there gets it into it. Nothing that is there is replaced.",
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, from, err := folderPath(args[0])
			if err != nil {
				return err
			}
			to := args[1]
			if other, rest, named := strings.Cut(to, ":"); named {
				if other != ref {
					return &usageError{message: "a file is moved inside one folder only", hint: "copy it out and in, with palisade folder cp, and remove it"}
				}
				to = rest
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			t := &transfer{app: a, client: c}
			if strings.Trim(to, "/") == "" || strings.HasSuffix(to, "/") || t.entry(cmd.Context(), copyPlace{ref, to}).Type == "directory" {
				to = path.Join(to, path.Base(from))
			}
			if err := c.MoveEntry(cmd.Context(), ref, api.EntryMove{From: from, To: to}); err != nil {
				return err
			}
			return a.show(result{quiet: []string{to}, json: map[string]string{"path": to}, text: func() error {
				fmt.Fprintf(a.out, "%s:%s\n", ref, oneLine(to))
				return nil
			}})
		},
	}
}

func (a *app) folderCat() *cobra.Command {
	return &cobra.Command{
		Use: "cat FOLDER:PATH...", Short: "Print files of a folder", Args: words("FOLDER:PATH", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			for _, word := range args {
				ref, file, err := folderPath(word)
				if err != nil {
					return err
				}
				// What is printed cannot be taken back: it comes in order.
				if _, err := c.Download(cmd.Context(), ref, api.Download{Path: file, To: &inOrder{w: a.out}}, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// inOrder writes what comes in order, and once: what is fetched again was written before.
type inOrder struct {
	w  io.Writer
	at int64
}

func (o *inOrder) WriteAt(p []byte, at int64) (int, error) {
	skip := min(max(0, o.at-at), int64(len(p)))
	n, err := o.w.Write(p[skip:])
	o.at += int64(n)
	return int(skip) + n, err
}

func (a *app) folderClone() *cobra.Command {
	var usage string
	cmd := &cobra.Command{
		Use: "clone FOLDER NAME", Short: "Make a folder with all that is in another", Args: words("FOLDER NAME", 2, 2),
		Long: "Make a folder with all that is in another. It is there when it is whole. Where the disk can (XFS, btrfs), both\n" +
			"share what is the same and it takes no room.",
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			show := a.newMeter()
			made, err := c.CloneFolder(cmd.Context(), args[0], api.FolderClone{Name: args[1], Usage: usage}, func(p api.FolderCloning) {
				text := plural(int(p.OfFiles), "file")
				if show.show.live {
					text = fmt.Sprintf("%d of %s", p.Files, text)
				}
				show.set(text, p.Bytes, p.OfBytes)
			})
			show.clear()
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{made.Folder.Name}, json: made, text: func() error {
				text := fmt.Sprintf("%s: %s, %s", made.Folder.Name, plural(int(made.Files), "file"), bytesize.Format(made.Bytes))
				if made.Shared > 0 {
					text += fmt.Sprintf(", %s of it shared with %s", bytesize.Format(made.Shared), args[0])
				}
				if made.LeftOut > 0 {
					text += fmt.Sprintf("; %d pipes, sockets or devices left out", made.LeftOut)
				}
				fmt.Fprintln(a.out, text)
				return nil
			}})
		},
	}
	cmd.Flags().StringVar(&usage, "usage", "", "what it is for: model, general or data (default: as the other)")
	_ = cmd.RegisterFlagCompletionFunc("usage", fixedWords("model", "general", "data"))
	return cmd
}

func (a *app) folderRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename FOLDER NAME", Short: "Give a folder another name", Args: words("FOLDER NAME", 2, 2), ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeFolder(cmd, args[0], api.FolderUpdate{Name: &args[1]})
		},
	}
}

func (a *app) folderQuota() *cobra.Command {
	return &cobra.Command{
		Use: "quota FOLDER SIZE", Short: "Bound what a folder may hold; none is no bound", Args: words("FOLDER SIZE", 2, 2),
		Long: "Bound what a folder may hold. An upload that would go over is refused. What sessions write is counted now and\n" +
			"then: over it, nothing more is uploaded, and no new session may write in the folder.",
		Example:           "  palisade folder quota data 200g\n  palisade folder quota data none",
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := parseQuota(args[1])
			if err != nil {
				return err
			}
			return a.changeFolder(cmd, args[0], api.FolderUpdate{Quota: &bytes})
		},
	}
}

func (a *app) changeFolder(cmd *cobra.Command, ref string, in api.FolderUpdate) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	f, err := c.UpdateFolder(cmd.Context(), ref, in)
	if err != nil {
		return err
	}
	return a.show(result{quiet: []string{f.Name}, json: f, text: func() error {
		quota := "none"
		if f.Quota > 0 {
			quota = bytesize.Format(f.Quota)
		}
		a.fields([2]string{"name", f.Name}, [2]string{"id", f.ID}, [2]string{"quota", quota})
		return nil
	}})
}

// parseQuota reads bytes: 200g, 1.5t, 1048576; 0 or none for no bound.
func parseQuota(text string) (int64, error) {
	if text == "none" || text == "0" {
		return 0, nil
	}
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), "b"), "i")
	shift := 0
	if i := strings.IndexByte("kmgtp", lastByte(number)); i >= 0 {
		number, shift = number[:len(number)-1], 10*(i+1)
	}
	var v float64
	if _, err := fmt.Sscanf(number+"\n", "%g\n", &v); err != nil || !(v > 0) || v*float64(int64(1)<<shift) >= 1<<62 {
		return 0, &usageError{message: fmt.Sprintf("%q is no amount of bytes", text), hint: "for example 200g, or none"}
	}
	return int64(v * float64(int64(1)<<shift)), nil
}
