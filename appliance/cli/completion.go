package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print a script that completes commands and names in a shell",
		Example: "  source <(palisade completion bash)\n  palisade completion zsh > \"${fpath[1]}/_palisade\"\n" +
			"  palisade completion fish > ~/.config/fish/completions/palisade.fish",
		Args: words("SHELL", 1, 1), ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			hint := didYouMean(args[0], shells)
			if hint == "" {
				hint = "bash, zsh and fish are known"
			}
			return &usageError{message: fmt.Sprintf("no completion for %q", args[0]), hint: hint}
		},
	}
}

func fixedWords(known ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp)
}

// completionPatience is how long a person waits at the tab key.
const completionPatience = 2 * time.Second

// completeAt completes the word at a position, every one with -1, with names that the daemon knows. A daemon that
// does not answer completes nothing, and says nothing.
func (a *app) completeAt(position int, names func(context.Context, *api.Client) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if position >= 0 && len(args) != position {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.quiet = true
		c, err := a.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completionPatience)
		defer cancel()
		return names(ctx, c), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf returns each item's name with what tells it from others, as shells show it.
func namesOf[T any](items []T, err error, name func(T) string) []string {
	if err != nil {
		return nil
	}
	var out []string
	for _, item := range items {
		out = append(out, name(item))
	}
	return out
}

func (a *app) serviceNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Services(ctx, api.ServiceFilter{})
	return namesOf(items, err, func(s api.Service) string { return s.Name + "\t" + s.Status })
}

func (a *app) folderNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Folders(ctx)
	return namesOf(items, err, func(f api.Folder) string { return f.Name + "\t" + f.Usage })
}

func (a *app) sessionNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Sessions(ctx, api.SessionFilter{All: true})
	return namesOf(items, err, func(s api.Session) string { return s.ID + "\t" + s.Name + " " + s.Status })
}

func (a *app) variantNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Runtimes(ctx)
	return namesOf(items, err, func(r api.Runtime) string { return r.Name + "\t" + r.Description })
}

func (a *app) keyNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Keys(ctx)
	return namesOf(items, err, func(k api.Key) string { return k.Name + "\t" + k.ID })
}
