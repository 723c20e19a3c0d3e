package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) folderTrash() *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use: "trash", Short: "List folders that were removed and can be restored", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			folders, err := c.Trash(cmd.Context())
			if err != nil {
				return err
			}
			if purge {
				return a.emptyTrash(cmd, c, folders, yes)
			}
			t := newTable("NAME", "ID", "USAGE", "REMOVED", "BY", "KEPT UNTIL")
			r := result{json: notNull(folders), table: t}
			for _, f := range folders {
				t.add(f.Name, f.ID, f.Usage, a.agoPtr(f.TrashedAt), f.TrashedBy, f.KeptUntil.Local().Format("2006-01-02 15:04"))
				r.quiet = append(r.quiet, f.ID)
			}
			if len(folders) == 0 && a.output != "json" {
				a.notef("the trash is empty")
				return nil
			}
			return a.show(r)
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "delete all that is in it for good")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) emptyTrash(cmd *cobra.Command, c *api.Client, folders []api.Folder, yes bool) error {
	if len(folders) > 0 && !yes && isTerminal(a.Stdin) && !a.confirm(fmt.Sprintf("delete %s for good?", plural(len(folders), "folder"))) {
		return fmt.Errorf("nothing was deleted")
	}
	ids := make([]string, len(folders))
	for i, f := range folders {
		ids[i] = f.ID
	}
	return a.eachOf(ids, func(id string) error { return c.PurgeFolder(cmd.Context(), id) })
}

func (a *app) folderRestore() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "restore FOLDER", Short: "Take a folder out of the trash", Args: words("FOLDER", 1, 1),
		Long: "Take a folder out of the trash, by its name or id. Of several with one name it is the one that was removed last.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			f, err := c.RestoreFolder(cmd.Context(), args[0], api.FolderRestore{Name: name})
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{f.Name}, json: f, text: func() error {
				a.fields([2]string{"name", f.Name}, [2]string{"id", f.ID}, [2]string{"path", f.Path})
				return nil
			}})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "another name, where the one that it had is taken")
	return cmd
}

func (a *app) folderPurge() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "purge FOLDER...", Short: "Delete folders in the trash for good; of an imported one the directory stays", Args: words("FOLDER", 1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && isTerminal(a.Stdin) && !a.confirm("delete for good?") {
				return fmt.Errorf("nothing was deleted")
			}
			return a.inFolders(args, func(c *api.Client, ref string) error { return c.PurgeFolder(cmd.Context(), ref) })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
