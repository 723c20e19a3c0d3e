package cli

import (
	"bufio"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) folderCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "folder", Aliases: []string{"folders"}, Short: "Model folders and data: make, import, fill, share, list and remove"})
	cmd.AddCommand(
		a.folderCreate(), a.folderImport(), a.folderList(), a.folderInfo(), a.folderEntries(), a.folderCat(), a.folderCopy(), a.folderMakeDirectory(),
		a.folderMove(), a.folderRemove(), a.folderShare(), a.folderUnshare(), a.folderQuota(), a.folderRename(), a.folderClone(),
		a.folderTrash(), a.folderRestore(), a.folderPurge(),
	)
	return cmd
}

func (a *app) folderCreate() *cobra.Command {
	var usage, quota string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an empty folder", Args: words("NAME", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bytes, err := parseQuota(quota)
			if err != nil {
				return err
			}
			return a.makeFolder(cmd, api.FolderCreate{Name: args[0], Usage: usage, Quota: bytes})
		},
	}
	cmd.Flags().StringVar(&quota, "quota", "none", "what it may hold: 200g")
	addUsageFlag(cmd, &usage)
	return cmd
}

func (a *app) folderImport() *cobra.Command {
	var usage, name string
	cmd := &cobra.Command{
		Use: "import PATH", Short: "Take a directory of the appliance's box as a folder, where it is", Args: words("PATH", 1, 1),
		Long: "Take a directory of the appliance's box as a folder, where it is. Nothing is copied, and removing the\n" +
			"folder leaves the directory alone.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("finding %s: %w", args[0], err)
			}
			return a.makeFolder(cmd, api.FolderCreate{Name: name, Usage: usage, ImportPath: path})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the folder (default: the directory's)")
	addUsageFlag(cmd, &usage)
	return cmd
}

func addUsageFlag(cmd *cobra.Command, usage *string) {
	cmd.Flags().StringVar(usage, "usage", "model", "what it is for: model, general or data")
	_ = cmd.RegisterFlagCompletionFunc("usage", fixedWords("model", "general", "data"))
}

func (a *app) makeFolder(cmd *cobra.Command, in api.FolderCreate) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	f, err := c.CreateFolder(cmd.Context(), in)
	if err != nil {
		return err
	}
	return a.show(result{quiet: []string{f.Name}, json: f, text: func() error {
		a.fields(
			[2]string{"name", f.Name}, [2]string{"id", f.ID}, [2]string{"project", f.Project},
			[2]string{"usage", f.Usage}, [2]string{"path", f.Path},
		)
		if !f.Imported {
			a.notef("fill it with: palisade folder cp LOCAL_PATH %s:", f.Name)
		}
		return nil
	}})
}

func (a *app) folderList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List folders", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			folders, err := c.Folders(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("NAME", "ID", "USAGE", "YOURS", "IMPORTED", "CREATED", "PATH")
			r := result{json: notNull(folders), table: t}
			for _, f := range folders {
				imported := "no"
				if f.Imported {
					imported = "yes"
				}
				t.add(f.Ref, f.ID, f.Usage, f.Permission, imported, a.ago(f.CreatedAt), f.Path)
				r.quiet = append(r.quiet, f.Ref)
			}
			if len(folders) == 0 && a.output != "json" {
				a.notef("no folders; make one with: palisade folder create NAME, or: palisade folder import PATH")
				return nil
			}
			return a.show(r)
		},
	}
}

func (a *app) folderEntries() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use: "ls FOLDER[:PATH]", Short: "List what is in a folder", Args: words("FOLDER[:PATH]", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.folderNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, path, _ := strings.Cut(args[0], ":")
			c, err := a.client()
			if err != nil {
				return err
			}
			entries, err := c.Entries(cmd.Context(), ref, path, recursive)
			if err != nil {
				return err
			}
			t := newTable("SIZE", "MODIFIED", "PATH")
			r := result{json: notNull(entries), table: t}
			for _, e := range entries {
				bytes, name := bytesize.Format(e.Size), oneLine(e.Path)
				if e.Type == "directory" {
					bytes, name = "-", name+"/"
				}
				if e.Link {
					name += " (link)"
				}
				t.add(bytes, a.ago(e.ModTime), name)
				r.quiet = append(r.quiet, e.Path)
			}
			return a.show(r)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "what is in directories too")
	return cmd
}

func (a *app) folderRemove() *cobra.Command {
	var yes, recursive bool
	cmd := &cobra.Command{
		Use: "rm FOLDER[:PATH]...", Aliases: []string{"remove", "delete"}, Short: "Put folders into the trash, or delete files and directories of one",
		Args: words("FOLDER[:PATH]", 1, -1), ValidArgsFunction: a.completeAt(-1, a.folderNames),
		Long: "Put folders with all that is in them into the trash, from where palisade folder restore takes them back for a\n" +
			"week; of an imported one, the directory stays where it is. With :PATH, only that file, or with -r that\n" +
			"directory, is deleted, for good.",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, word := range args {
				if ref, path, inside := strings.Cut(word, ":"); inside && strings.Trim(path, "/") == "" {
					return &usageError{message: fmt.Sprintf("%q names no path in the folder", word), hint: "to remove the folder itself: palisade folder rm " + ref}
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if !yes && isTerminal(a.Stdin) && !a.confirm("remove "+strings.Join(args, ", ")+" with all that is in it?") {
				return fmt.Errorf("nothing was removed")
			}
			return a.eachOf(args, func(word string) error {
				if ref, path, inside := strings.Cut(word, ":"); inside {
					t := &transfer{app: a, client: c}
					if e := t.entry(cmd.Context(), copyPlace{ref, path}); e.Type == "directory" && !e.Link && !recursive {
						return &hinted{fmt.Errorf("%s is a directory", word), "with all that is in it: palisade folder rm -r " + word}
					}
					return c.RemoveEntry(cmd.Context(), ref, path)
				}
				return c.RemoveFolder(cmd.Context(), word)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "directories too, with all that is in them")
	return cmd
}

// confirm asks a person; anything but yes is no.
func (a *app) confirm(question string) bool {
	fmt.Fprintf(a.Stderr, "%s [y/N] ", question)
	line, _ := bufio.NewReader(a.Stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
