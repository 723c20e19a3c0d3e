package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/palisade-run/palisade/appliance/api"
)

func (a *app) registryCommand() *cobra.Command {
	cmd := asGroup(&cobra.Command{Use: "registry", Aliases: []string{"registries"}, Short: "Log-ins for the registries that images come from"})
	cmd.AddCommand(a.registryLogin(), a.registryLogout(), a.registryList())
	return cmd
}

func (a *app) registryHosts(ctx context.Context, c *api.Client) []string {
	items, err := c.Registries(ctx)
	return namesOf(items, err, func(r api.Registry) string { return r.Host + "\t" + r.User })
}

func (a *app) registryLogin() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "login HOST", Short: "Keep a log-in for a registry; the password is asked for, or read from standard input", Args: words("HOST", 1, 1),
		Long: "Keep a log-in for a registry, encrypted, for every pull of this appliance. The password is asked for on a\n" +
			"terminal and read from standard input elsewhere, so that neither the list of processes nor the shell's history\n" +
			"has it. It is never shown again. Docker's own registry is docker.io.",
		Example: "  palisade registry login ghcr.io -u ann < token\n  printf %s \"$NGC_API_KEY\" | palisade registry login nvcr.io -u '$oauthtoken'",
		RunE: func(cmd *cobra.Command, args []string) error {
			user, password, err := a.askLogin(cmd.Context(), args[0], user)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			kept, err := c.LogIn(cmd.Context(), args[0], api.RegistryLogIn{User: user, Password: password})
			if err != nil {
				return err
			}
			return a.show(result{quiet: []string{kept.Host}, json: kept, text: func() error {
				a.notef("the log-in of %s for %s is kept; the next pull will show whether the registry takes it", kept.User, kept.Host)
				return nil
			}})
		},
	}
	cmd.Flags().StringVarP(&user, "username", "u", "", "the registry's name for you")
	// As docker has it; here standard input is where a password comes from anyhow.
	cmd.Flags().Bool("password-stdin", false, "")
	_ = cmd.Flags().MarkHidden("password-stdin")
	return cmd
}

// longestPassword is the most of standard input that can be a password.
const longestPassword = 32 << 10

// askLogin asks a person, or reads the password from standard input.
func (a *app) askLogin(ctx context.Context, host, user string) (string, string, error) {
	if !isTerminal(a.Stdin) {
		password, err := a.pipedPassword(host, user)
		return user, password, err
	}
	if user == "" {
		fmt.Fprintf(a.Stderr, "User name for %s: ", host)
		line, err := bufio.NewReader(a.Stdin).ReadString('\n')
		if user = strings.TrimSpace(line); err != nil || user == "" {
			return "", "", errors.New("no user name was given")
		}
	}
	password, err := a.readPassword(ctx, fmt.Sprintf("Password of %s for %s: ", user, host))
	if err == nil && password == "" {
		err = errors.New("no password was given")
	}
	return user, password, err
}

// pipedPassword reads standard input, which is no terminal.
func (a *app) pipedPassword(host, user string) (string, error) {
	if user == "" {
		return "", &usageError{message: "registry login needs --username", hint: "palisade registry login " + host + " -u USER < FILE"}
	}
	raw, err := io.ReadAll(io.LimitReader(a.Stdin, longestPassword+1))
	password := strings.TrimRight(string(raw), "\r\n")
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the password: %w", err)
	case password == "":
		return "", &usageError{message: "standard input has no password", hint: "palisade registry login " + host + " -u " + user + " < FILE"}
	case len(raw) > longestPassword || strings.ContainsAny(password, "\n\x00"):
		return "", &usageError{message: "standard input has more than one line: that is no password"}
	}
	return password, nil
}

// readPassword reads a line from the terminal, which does not show it from before it is asked for. The terminal is
// left as it was, after an interrupt too.
func (a *app) readPassword(ctx context.Context, prompt string) (string, error) {
	f, ok := a.Stdin.(*os.File)
	if !ok {
		return "", errors.New("standard input is no terminal")
	}
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("asking for the password: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("asking for the password: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, before)
		fmt.Fprintln(a.Stderr)
	}()
	fmt.Fprint(a.Stderr, prompt)
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		got <- answer{line, err}
	}()
	select {
	case in := <-got:
		if in.err != nil {
			return "", fmt.Errorf("reading the password: %w", in.err)
		}
		return string(in.line), nil
	case <-ctx.Done():
		return "", fmt.Errorf("no password was given: %w", context.Cause(ctx))
	}
}

func (a *app) registryLogout() *cobra.Command {
	return &cobra.Command{
		Use: "logout HOST...", Aliases: []string{"rm"}, Short: "Forget log-ins", Args: words("HOST", 1, -1), ValidArgsFunction: a.completeAt(-1, a.registryHosts),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.eachOf(args, func(host string) error { return c.LogOut(cmd.Context(), host) })
		},
	}
}

func (a *app) registryList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the registries for which a log-in is kept", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			registries, err := c.Registries(cmd.Context())
			if err != nil {
				return err
			}
			if len(registries) == 0 && a.output != "json" {
				a.notef("no log-ins are kept; docker's own, in ~/.docker/config.json, are used too")
				return nil
			}
			t := newTable("HOST", "USER", "CREATED", "CHANGED")
			r := result{json: notNull(registries), table: t}
			for _, reg := range registries {
				t.add(reg.Host, orDash(reg.User), a.ago(reg.CreatedAt), a.ago(reg.UpdatedAt))
				r.quiet = append(r.quiet, reg.Host)
			}
			return a.show(r)
		},
	}
}
