package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/variants"
)

func (a *app) runtimesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "runtimes", Short: "List the runtime variants: the kinds of engine that a service can name", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.runtimeList(cmd.Context())
			if err != nil {
				return err
			}
			t := newTable("NAME", "PORT", "HEALTH", "COMMAND", "DESCRIPTION")
			r := result{json: notNull(list), table: t}
			for _, v := range list {
				port := "-"
				if v.Port != 0 {
					port = fmt.Sprint(v.Port)
				}
				t.add(v.Name, port, orDash(v.Health), clip(orDash(strings.Join(v.Command, " ")), 60), v.Description)
				r.quiet = append(r.quiet, v.Name)
			}
			return a.show(r)
		},
	}
}

// runtimeList asks the daemon; without one it lists what every appliance has.
func (a *app) runtimeList(ctx context.Context) ([]api.Runtime, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	list, err := c.Runtimes(ctx)
	if _, ok := errors.AsType[*api.ConnectError](err); !ok || a.host != "" || a.env("PALISADE_HOST") != "" {
		return list, err
	}
	a.notef("no daemon answers: these are the variants that every appliance has")
	table, _ := variants.Load("")
	for _, v := range table.All() {
		r := api.Runtime{Name: v.Name, Port: v.Port, Command: v.Command, Description: v.Title}
		if v.Health != nil {
			r.Health = v.Health.Path
		}
		list = append(list, r)
	}
	return list, nil
}

// clip keeps a cell of a table short.
func clip(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-3]) + "..."
	}
	return s
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look at the box and say what is wrong with it; works without a daemon too", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.diagnose(cmd.Context())
			if err != nil {
				return err
			}
			verdict := "healthy"
			if !d.Healthy {
				verdict = "not healthy"
			}
			err = a.show(result{quiet: []string{verdict}, json: d, text: func() error { a.printDoctor(d); return nil }})
			if err == nil && !d.Healthy {
				return errQuietFailure
			}
			return err
		},
	}
}

func (a *app) printDoctor(d api.Doctor) {
	for _, c := range d.Checks {
		fmt.Fprintf(a.out, "%-8s %s: %s\n", c.Status, c.Name, oneLine(c.Detail))
		if c.Hint != "" {
			fmt.Fprintf(a.out, "         %s\n", oneLine(c.Hint))
		}
	}
}

// diagnose asks the daemon; where none answers on this box, it looks for the reasons itself.
func (a *app) diagnose(ctx context.Context) (api.Doctor, error) {
	c, err := a.client()
	if err != nil {
		return api.Doctor{}, err
	}
	d, err := c.Doctor(ctx)
	connect, unreachable := errors.AsType[*api.ConnectError](err)
	starting := errors.Is(err, api.KindError(api.KindUnavailable)) // it waits for something of the box, and cannot say more
	if err != nil && !unreachable && !starting {
		return d, err
	}
	if err == nil {
		version, err := c.Version(ctx)
		if err != nil {
			return d, err
		}
		up := api.Check{Name: "daemon", Status: api.CheckOK, Detail: fmt.Sprintf("version %s answers at %s, up for %s", version.Version, c.Host(), span(max(0, a.now().Sub(version.StartedAt))))}
		if version.Version != a.Version.Version {
			up.Status, up.Hint = api.CheckWarning, "this command line is version "+a.Version.Version+": restart the daemon after an update"
		}
		d.Checks = append([]api.Check{up}, d.Checks...)
		return d, nil
	}
	hint := a.hintFor(err)
	if unreachable {
		hint, _, _ = strings.Cut(a.connectHint(connect), "\n")
	}
	d = api.Doctor{Checks: []api.Check{{Name: "daemon", Status: api.CheckFailed, Detail: err.Error(), Hint: hint}}}
	if socket, local := strings.CutPrefix(c.Host(), "unix://"); local {
		d.Checks = append(d.Checks, a.localChecks(filepath.Dir(socket))...)
	}
	return d, nil
}

// localChecks look at what a daemon on this box would need.
func (a *app) localChecks(data string) []api.Check {
	var out []api.Check
	add := func(name, status, detail, hint string) {
		out = append(out, api.Check{Name: name, Status: status, Detail: detail, Hint: hint})
	}
	if os.Geteuid() == 0 {
		add("user", api.CheckOK, "root: sessions get networks, namespaces and limits of their own", "")
	} else {
		add("user", api.CheckWarning, fmt.Sprintf("uid %d is not root", os.Geteuid()), "without root, sessions share this box's network: two cannot listen on one port")
	}
	dir, err := os.Stat(data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		add("data", api.CheckOK, data+" is not there yet; the first start makes it", "")
	case err != nil:
		add("data", api.CheckFailed, err.Error(), "let this user read it, or name another with --data")
	case !dir.IsDir():
		add("data", api.CheckFailed, data+" is not a directory", "name a directory with --data")
	default:
		add("data", api.CheckOK, data, "")
	}
	for dir := data; ; dir = filepath.Dir(dir) {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err == nil {
			left := int64(fs.Bavail) * fs.Bsize
			status, hint := api.CheckOK, ""
			if left < 1<<30 {
				status, hint = api.CheckWarning, "models need room: free some space, or use another disk with --data"
			}
			add("disk", status, bytesize.Format(left)+" left for "+data, hint)
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	add("runtime", api.CheckOK, "processes of this box (image host) can be run", "")
	images := []string{"containerd", "containerd-shim-runc-v2", "runc"}
	missing := slices.DeleteFunc(images, func(program string) bool { _, err := exec.LookPath(program); return err == nil })
	switch {
	case os.Geteuid() != 0:
		add("images", api.CheckOK, "container images are not run: that takes root", "")
	case len(missing) > 0:
		add("images", api.CheckOK, "container images are not run: "+strings.Join(missing, ", ")+" is not in PATH", "to run them, install containerd and runc: apt-get install containerd")
	default:
		add("images", api.CheckOK, "container images can be run", "by this box's containerd where it answers, or by one that is started for it: palisade serve --containerd private")
	}
	return out
}

// versions are those of this program and of the daemon; Server is null where none answers.
type versions struct {
	Client build        `json:"client"`
	Server *api.Version `json:"server"`
}

// build is the part of api.Version that a program without a daemon has.
type build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit,omitempty"`
	GoVersion string `json:"go_version"`
}

func versionLine(v api.Version) string {
	return fmt.Sprintf("palisade %s (%s)", v.Version, v.GoVersion)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program, and of the daemon where one answers", Args: words("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := versions{Client: build{a.Version.Version, a.Version.Commit, a.Version.GoVersion}}
			if c, err := a.client(); err == nil {
				if v, err := c.Version(cmd.Context()); err == nil {
					out.Server = &v
				}
			}
			return a.show(result{quiet: []string{a.Version.Version}, json: out, text: func() error {
				fmt.Fprintln(a.out, versionLine(a.Version))
				if out.Server != nil && out.Server.Version != a.Version.Version {
					fmt.Fprintf(a.out, "daemon   %s (%s)\n", out.Server.Version, out.Server.GoVersion)
				}
				return nil
			}})
		},
	}
}
