package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) projectCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "project", Aliases: []string{"projects"}, Short: "Projects: what people make together, and who may what in them"})
	member := asGroup(&cobra.Command{Use: "member", Short: "Give people a part in a project, and end it"})
	member.AddCommand(a.memberAdd(), a.memberRemove())
	cmd.AddCommand(a.projectList(), a.projectCreate(), a.projectShow(), a.projectUpdate(), a.projectRemove(), a.projectMembers(), a.projectLimits(), member)
	return cmd
}

func (a *app) projectNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Projects(ctx)
	return namesOf(items, err, func(p api.Project) string { return p.Name })
}

func (a *app) projectList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List your projects; for an administrator all", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.Projects(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("NAME", "TITLE", "YOU", "MEMBERS", "OWNERS")
			r := result{json: notNull(all), table: t}
			for _, p := range all {
				t.add(p.Name, orDash(p.Title), p.Role, strconv.Itoa(p.Members), orDash(strings.Join(p.Owners, ", ")))
				r.quiet = append(r.quiet, p.Name)
			}
			return a.show(r)
		},
	}
}

func (a *app) showProject(p api.Project) error {
	return a.show(result{quiet: []string{p.Name}, json: p, text: func() error {
		a.fields([][2]string{
			{"name", p.Name}, {"title", orDash(p.Title)}, {"you", p.Role}, {"members", strconv.Itoa(p.Members)}, {"owners", orDash(strings.Join(p.Owners, ", "))},
			{"created", a.agoPtr(p.CreatedAt) + by(p.CreatedBy)},
		}...)
		return nil
	}})
}

func by(name string) string {
	if name == "" {
		return ""
	}
	return " by " + name
}

func (a *app) projectCreate() *cobra.Command {
	var in api.ProjectCreate
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a project", Args: words("NAME", 1, 1),
		Example: "  palisade project create vision --title \"Eyes of the robots\" --owner ada\n  palisade project member add vision bob",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			in.Name = args[0]
			made, err := c.CreateProject(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{made.Name}, json: made, text: func() error {
				a.notef("project %s is there", made.Name)
				if len(made.Owners) == 0 {
					a.notef("  next: palisade project member add %s NAME --role owner", made.Name)
				}
				return nil
			}})
		},
	}
	cmd.Flags().StringVar(&in.Title, "title", "", "what people read")
	cmd.Flags().StringVar(&in.Owner, "owner", "", "a user who owns it")
	return cmd
}

func (a *app) projectShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Aliases: []string{"info"}, Short: "Show a project", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showProject(p)
		},
	}
}

func (a *app) projectUpdate() *cobra.Command {
	var title string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a project's title", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("title") {
				return &usageError{message: "nothing is to be changed", hint: "--title TEXT"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.UpdateProject(cmd.Context(), args[0], api.ProjectUpdate{Title: &title})
			if err != nil {
				return err
			}
			return a.showProject(p)
		},
	}
	cmd.Flags().StringVar(&title, "title", "", "what people read")
	return cmd
}

func (a *app) projectRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Remove projects that have nothing any more; what they did is remembered", Args: words("NAME", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveProject(cmd.Context(), name) })
		},
	}
}

func (a *app) projectMembers() *cobra.Command {
	return &cobra.Command{
		Use: "members NAME", Short: "List who has a part in a project", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.ProjectMembers(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			t := newTable("USER", "ROLE", "NAME", "ADDED", "BY")
			r := result{json: notNull(all), table: t}
			for _, m := range all {
				name := m.DisplayName
				if m.Disabled {
					name = strings.TrimSpace(name + " (disabled)")
				}
				t.add(m.User, m.Role, orDash(name), a.ago(m.AddedAt), m.AddedBy)
				r.quiet = append(r.quiet, m.User)
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("nobody has a part in it but administrators; next: palisade project member add %s NAME", args[0])
				return nil
			}
			return a.show(r)
		},
	}
}

func (a *app) memberAdd() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add PROJECT USER...", Short: "Give users a role in a project, or another one", Args: words("PROJECT USER", 2, -1),
		Long: "Give users a role in a project, or another one. A viewer sees what is there; a member makes, changes and ends it, and enters\n" +
			"sessions of their own; an owner enters everybody's, sees what was asked and answered, and says who has which part.",
		Example:           "  palisade project member add vision ada --role owner",
		ValidArgsFunction: a.completeAt(0, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args[1:], func(user string) error {
				m, err := c.SetProjectMember(cmd.Context(), args[0], user, api.ProjectMemberSet{Role: role})
				if err == nil {
					a.notef("%s is %s of project %s", m.User, m.Role, args[0])
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "member", "viewer, member or owner")
	_ = cmd.RegisterFlagCompletionFunc("role", fixedWords("viewer", "member", "owner"))
	return cmd
}

func (a *app) memberRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm PROJECT USER...", Aliases: []string{"remove"}, Short: "End users' part in a project, at once", Args: words("PROJECT USER", 2, -1),
		ValidArgsFunction: a.completeAt(0, a.projectNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args[1:], func(user string) error { return c.RemoveProjectMember(cmd.Context(), args[0], user) })
		},
	}
}
