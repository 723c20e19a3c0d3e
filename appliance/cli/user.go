package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) userCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "user", Aliases: []string{"users"}, Short: "Who may log in to the console"})
	cmd.AddCommand(a.userCreate(), a.userList(), a.userShow(), a.userUpdate(), a.userSwitch("disable", "Log users out at once, and in no more", true),
		a.userSwitch("enable", "Let users log in again", false), a.userReset(), a.userLink(), a.userUnlink(), a.userRemove(), a.userSessions(), a.userEndSessions(), a.userLimits())
	return cmd
}

func (a *app) userNames(ctx context.Context, c *api.Client) []string {
	items, err := c.Users(ctx)
	return namesOf(items, err, func(u api.User) string { return u.Name })
}

func (a *app) userCreate() *cobra.Command {
	var in api.UserCreate
	var ask bool
	cmd := &cobra.Command{
		Use: "create NAME", Aliases: []string{"add"}, Short: "Make a user; the password that is drawn is printed this once", Args: words("NAME", 1, 1),
		Long: "Make a user. A password is drawn, printed this once, and has to be changed at the first log-in. --password asks for one\n" +
			"instead, or reads it from standard input. The name is never given to anybody else, even when the user was removed.",
		Example: "  palisade user create ada --title \"Ada Lovelace\" --email ada@example.org\n  palisade user create ada --admin",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			if cmd.Flags().Changed("project") {
				return &usageError{message: "a user is made for the whole appliance, and gets into projects afterwards", hint: "palisade user create " + in.Name + ", then palisade project member add " + a.project + " " + in.Name}
			}
			if ask {
				password, err := a.askSecret(cmd.Context(), "password of "+in.Name)
				if err != nil {
					return err
				}
				in.Password = password
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			made, err := c.CreateUser(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showPassword(made, "made")
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.DisplayName, "title", "", "the user's name as people write it")
	f.StringVar(&in.Email, "email", "", "address of mail")
	f.BoolVar(&in.Admin, "admin", false, "may do everything, everywhere")
	f.BoolVar(&ask, "password", false, "ask for the password, or read it from standard input, instead of drawing one")
	f.BoolVar(&in.KeepPassword, "keep-password", false, "it need not be changed at the first log-in; with --password")
	f.StringVar(&in.Issuer, "issuer", "", "the user logs in by this provider of OpenID Connect, and has no password here")
	f.StringVar(&in.Subject, "subject", "", "who the user is at that provider")
	return cmd
}

// showPassword prints a password that was drawn alone on stdout, so that it can be handed on.
func (a *app) showPassword(made api.UserMade, what string) error {
	if made.Password == "" {
		return a.show(result{quiet: []string{made.User.Name}, json: made, text: func() error {
			a.notef("user %s is %s", made.User.Name, what)
			return nil
		}})
	}
	if a.output != "json" {
		a.notef("user %s is %s; the password is shown this once, and has to be changed at the first log-in", made.User.Name, what)
	}
	return a.showValue(made.Password, made)
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			users, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			if len(users) == 0 && a.output != "json" {
				a.notef("there is no user yet; make one: palisade user create NAME --admin")
				return nil
			}
			t := newTable("NAME", "TITLE", "EMAIL", "ADMIN", "LOGS IN BY", "STATE", "LAST LOG-IN")
			r := result{json: notNull(users), table: t}
			for _, u := range users {
				t.add(u.Name, orDash(u.DisplayName), orDash(u.Email), adminOrDash(&u), logsInBy(&u), userState(&u), a.agoPtr(u.LastLogIn))
				r.quiet = append(r.quiet, u.Name)
			}
			return a.show(r)
		},
	}
}

func adminOrDash(u *api.User) string {
	if u.Admin {
		return "yes"
	}
	return "-"
}

// logsInBy says what proves a user.
func logsInBy(u *api.User) string {
	switch {
	case u.Source != "local":
		return u.Source
	case u.TOTP:
		return "password, code"
	}
	return "password"
}

func userState(u *api.User) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.Sessions > 0:
		return "logged in"
	case u.MustChange:
		return "password to be changed"
	}
	return "-"
}

func (a *app) userShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a user", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{u.Name}, json: u, text: func() error {
				a.fields([][2]string{
					{"name", u.Name}, {"title", u.DisplayName}, {"email", u.Email}, {"admin", adminOrDash(&u)}, {"logs in by", logsInBy(&u)},
					{"issuer", u.Issuer}, {"subject", u.Subject}, {"state", userState(&u)}, {"browsers", strconv.Itoa(u.Sessions)},
					{"made", a.ago(u.CreatedAt) + " by " + u.CreatedBy}, {"last log-in", a.agoPtr(u.LastLogIn)},
				}...)
				return nil
			}})
		},
	}
}

func (a *app) userUpdate() *cobra.Command {
	var title, email, issuer, subject string
	var admin, noTOTP bool
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a user", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.userNames),
		Example: "  palisade user update ada --admin\n  palisade user update ada --admin=false\n  palisade user update ada --no-totp",
		RunE: func(cmd *cobra.Command, args []string) error {
			var in api.UserUpdate
			for name, field := range map[string]struct {
				to   **string
				text *string
			}{"title": {&in.DisplayName, &title}, "email": {&in.Email, &email}, "issuer": {&in.Issuer, &issuer}, "subject": {&in.Subject, &subject}} {
				if cmd.Flags().Changed(name) {
					*field.to = field.text
				}
			}
			if cmd.Flags().Changed("admin") {
				in.Admin = &admin
			}
			if noTOTP {
				in.TOTP = new(false)
			}
			if in == (api.UserUpdate{}) {
				return &usageError{message: "nothing is to be changed", line: cmd.UseLine(), hint: "palisade user update --help"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.UpdateUser(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return a.showUser(u, "changed")
		},
	}
	f := cmd.Flags()
	f.StringVar(&title, "title", "", "the user's name as people write it")
	f.StringVar(&email, "email", "", "address of mail")
	f.BoolVar(&admin, "admin", false, "may do everything, everywhere; --admin=false: no more")
	f.BoolVar(&noTOTP, "no-totp", false, "turn the second factor off, for who has lost it")
	f.StringVar(&issuer, "issuer", "", "the user logs in by this provider of OpenID Connect from now on; both \"\": by a password again")
	f.StringVar(&subject, "subject", "", "who the user is at that provider")
	return cmd
}

func (a *app) showUser(u api.User, what string) error {
	return a.show(result{quiet: []string{u.Name}, json: u, text: func() error {
		a.notef("user %s is %s", u.Name, what)
		return nil
	}})
}

// userSwitch disables or enables users.
func (a *app) userSwitch(word, short string, off bool) *cobra.Command {
	return &cobra.Command{
		Use: word + " NAME...", Short: short, Args: words("NAME", 1, -1), ValidArgsFunction: a.completeAt(-1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error {
				_, err := c.UpdateUser(cmd.Context(), name, api.UserUpdate{Disabled: &off})
				return err
			})
		},
	}
}

func (a *app) userReset() *cobra.Command {
	var in api.UserReset
	cmd := &cobra.Command{
		Use: "reset NAME", Short: "Draw a new password for a user who has lost it; all their log-ins end", Args: words("NAME", 1, 1),
		ValidArgsFunction: a.completeAt(0, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			made, err := c.ResetUser(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return a.showPassword(made, "logged out everywhere")
		},
	}
	cmd.Flags().BoolVar(&in.TOTP, "totp", false, "turn the second factor off, too")
	return cmd
}

func (a *app) userRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Remove users for good; what they made stays, under names that nobody gets again", Args: words("NAME", 1, -1),
		ValidArgsFunction: a.completeAt(-1, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(name string) error { return c.RemoveUser(cmd.Context(), name) })
		},
	}
}

func (a *app) userSessions() *cobra.Command {
	return &cobra.Command{
		Use: "sessions NAME", Short: "List the browsers in which a user is logged in", Args: words("NAME", 1, 1), ValidArgsFunction: a.completeAt(0, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.UserSessions(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(all) == 0 && a.output != "json" {
				a.notef("%s is not logged in", args[0])
				return nil
			}
			t := newTable("ID", "SINCE", "LAST SEEN", "ENDS", "FROM", "BROWSER")
			r := result{json: notNull(all), table: t}
			for _, s := range all {
				t.add(s.ID, a.ago(s.CreatedAt), a.ago(s.LastSeen), a.ago(s.EndsAt), s.Address, s.Agent)
				r.quiet = append(r.quiet, s.ID)
			}
			return a.show(r)
		},
	}
}

func (a *app) userEndSessions() *cobra.Command {
	return &cobra.Command{
		Use: "end-sessions NAME [ID...]", Aliases: []string{"logout"}, Short: "Log a user out, everywhere or of the browsers that are named", Args: words("NAME", 1, -1),
		ValidArgsFunction: a.completeAt(0, a.userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if ids := args[1:]; len(ids) > 0 {
				return a.eachOf(ids, func(id string) error { return c.EndUserSession(cmd.Context(), args[0], id) })
			}
			if err := c.EndUserSessions(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.show(result{quiet: args, json: args, text: func() error {
				a.notef("%s is logged out everywhere", args[0])
				return nil
			}})
		},
	}
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who this command line is to the appliance, and what it may", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{me.Name}, json: me, text: func() error {
				fmt.Fprintln(a.out, me.Name)
				may := ""
				if me.Admin {
					may = "everything, everywhere"
				}
				via := map[string]string{"socket": "as a user of this box", "key": "by an API key"}[me.Via]
				if !me.Admin {
					parts := make([]string, len(me.Projects))
					for i, p := range me.Projects {
						parts[i] = p.Role + " in " + p.Name
					}
					may = cmp.Or(strings.Join(parts, ", "), "nothing yet: in no project")
				}
				a.fields([][2]string{{"comes", via}, {"scope", me.Scope}, {"title", me.DisplayName}, {"email", me.Email}, {"may", may}}...)
				return nil
			}})
		},
	}
}
