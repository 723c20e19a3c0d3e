package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// appOptions are the flags of palisade app.
type appOptions struct {
	bind string
	port int
	open bool
	link bool
}

func (a *app) appCommand() *cobra.Command {
	var o appOptions
	cmd := &cobra.Command{
		Use: "app SESSION [NAME]", Short: "Open an app of a session on a port of this box, or list those that it has", Args: words("SESSION [NAME]", 1, 2),
		Long: "Open an app of a session on a port of this box, until Ctrl-C: the terminal, Jupyter, VS Code, TensorBoard, whatever the\n" +
			"image or --preopen names. An app that does not run is started. Without NAME, list what there is; --port opens any port.\n" +
			"With --url nothing is opened here: a link is printed that lets a browser in once, at the appliance's own address.",
		Example: "  palisade app work\n" +
			"  palisade app work jupyter --open\n" +
			"  palisade app work tensorboard -b 127.0.0.1:6006\n" +
			"  palisade app work terminal --url",
		ValidArgsFunction: a.completeAt(0, a.sessionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			switch {
			case o.link && (o.port != 0 || o.bind != ""):
				return &usageError{message: "--url goes with an app's NAME alone", hint: "a port is opened on this box: palisade app " + args[0] + " --port N; one that is to have a link is named with --preopen when the session is made"}
			case name != "" && o.port != 0:
				return &usageError{message: "a NAME and --port at once", hint: "--port opens a port that no app is named for"}
			case o.port != 0:
				return a.openPort(cmd.Context(), c, args[0], o)
			case name == "" && (o.bind != "" || o.open || o.link):
				return &usageError{message: "no app is named", hint: "those that the session has: palisade app " + args[0]}
			case name == "":
				return a.listApps(cmd.Context(), c, args[0])
			case o.link:
				return a.linkApp(cmd.Context(), c, args[0], name, o.open)
			}
			return a.openApp(cmd.Context(), c, args[0], name, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.bind, "bind", "b", "", "address to open it on here, HOST:PORT, HOST or PORT (default: 127.0.0.1 and the app's own port, or a free one)")
	f.IntVar(&o.port, "port", 0, "a port of the session in place of an app's NAME")
	f.BoolVar(&o.open, "open", false, "show it in the browser of this box")
	f.BoolVar(&o.link, "url", false, "print a link to the appliance's own address instead; it lets a browser in once, for 12 hours")
	return cmd
}

func (a *app) listApps(ctx context.Context, c *api.Client, ref string) error {
	list, err := c.Apps(ctx, ref)
	if err != nil {
		return err
	}
	t := newTable("NAME", "STATUS", "PORT", "PROTOCOL", "TITLE", "URL")
	r := result{json: notNull(list), table: t}
	for _, app := range list {
		port := "-"
		if app.Port != 0 {
			port = strconv.Itoa(app.Port)
		}
		t.add(app.Name, app.Status, port, app.Protocol, app.Title, orDash(app.URL))
		r.quiet = append(r.quiet, app.Name)
	}
	if err := a.show(r); err != nil || a.output == "json" {
		return err
	}
	a.notef("palisade: to open one here: palisade app %s NAME; for a browser elsewhere: palisade app %s NAME --url", ref, ref)
	return nil
}

// linkApp prints a link that lets a browser in.
func (a *app) linkApp(ctx context.Context, c *api.Client, ref, name string, open bool) error {
	link, err := c.AppLink(ctx, ref, name)
	if err != nil {
		return err
	}
	if open {
		a.browse(link.URL)
	}
	return a.show(result{quiet: []string{link.URL}, json: link, text: func() error {
		fmt.Fprintln(a.out, link.URL)
		a.notef("palisade: it is good once, until %s", link.ExpiresAt.Local().Format("15:04:05"))
		return nil
	}})
}

// openApp serves an app on a port of this box. It is connected with once before, so that one that does not start says so
// here and not in a browser.
func (a *app) openApp(ctx context.Context, c *api.Client, ref, name string, o appOptions) error {
	list, err := c.Apps(ctx, ref)
	if err != nil {
		return err
	}
	at := api.App{Name: name, Protocol: "http", Strip: true} // one that is not listed is refused below, with the reason
	for _, app := range list {
		if app.Name == name || slices.Contains(app.Aliases, name) {
			at = app
		}
	}
	if at.Source == "built-in" { // the appliance answers itself: there is nothing to bring here
		return a.linkApp(ctx, c, ref, at.Name, o.open)
	}
	if at.Status == "ready" || at.Status == "starting" {
		a.notef("palisade: starting %s in session %s", at.Name, ref)
	}
	first, err := c.AppTunnel(ctx, ref, at.Name)
	if err != nil {
		return err
	}
	_ = first.Close()
	return a.tunnel(ctx, o, at, func(ctx context.Context) (*api.Tunnel, error) { return c.AppTunnel(ctx, ref, at.Name) })
}

func (a *app) openPort(ctx context.Context, c *api.Client, ref string, o appOptions) error {
	return a.tunnel(ctx, o, api.App{Name: "port " + strconv.Itoa(o.port), Port: o.port, Protocol: "http", Strip: true},
		func(ctx context.Context) (*api.Tunnel, error) { return c.PortTunnel(ctx, ref, o.port) })
}

// tunnel passes every connection to a port of this box on, until ctx ends.
func (a *app) tunnel(ctx context.Context, o appOptions, at api.App, dial func(context.Context) (*api.Tunnel, error)) error {
	l, err := listenHere(ctx, o.bind, at.Port)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	address := l.Addr().String()
	if at.Protocol == "http" {
		address = "http://" + address + "/"
		if !at.Strip {
			address = strings.TrimSuffix(address, "/") + at.Path
		}
	}
	if err := a.show(result{quiet: []string{address}, json: map[string]string{"app": at.Name, "address": address}, text: func() error {
		fmt.Fprintln(a.out, address)
		return nil
	}}); err != nil {
		return err
	}
	a.notef("palisade: %s is open here until Ctrl-C", at.Name)
	if o.open {
		a.browse(address)
	}
	return a.serveTunnels(ctx, l, dial)
}

func (a *app) serveTunnels(ctx context.Context, l net.Listener, dial func(context.Context) (*api.Tunnel, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return fmt.Errorf("waiting for connections: %w", err)
		}
		all.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			t, err := dial(ctx)
			if err != nil {
				if ctx.Err() == nil {
					a.report(err)
				}
				return
			}
			defer context.AfterFunc(ctx, func() { t.Close() })()
			t.Pipe(conn)
		})
	}
}

// listenHere opens the address that was asked for. Where none was, the app's own port is taken if it is free.
func listenHere(ctx context.Context, bind string, port int) (net.Listener, error) {
	var listener net.ListenConfig
	host, number, err := bindAddress(bind)
	if err != nil {
		return nil, err
	}
	if number == "" && port >= 1024 {
		if l, err := listener.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	l, err := listener.Listen(ctx, "tcp", net.JoinHostPort(host, cmp.Or(number, "0")))
	if err != nil {
		if inner, ok := errors.AsType[*net.OpError](err); ok {
			err = inner.Err
		}
		return nil, &hinted{
			err:  fmt.Errorf("opening %s here: %w", net.JoinHostPort(host, number), err),
			hint: "choose another address with -b HOST:PORT, or leave -b out: a free port is taken",
		}
	}
	return l, nil
}

// bindAddress reads HOST:PORT, HOST or PORT.
func bindAddress(bind string) (host, port string, err error) {
	const loopback = "127.0.0.1"
	if bind == "" {
		return loopback, "", nil
	}
	if _, err := strconv.ParseUint(bind, 10, 16); err == nil {
		return loopback, bind, nil
	}
	host, port, err = net.SplitHostPort(bind)
	if err != nil {
		if strings.Contains(bind, ":") && net.ParseIP(strings.Trim(bind, "[]")) == nil {
			return "", "", &usageError{message: "-b " + bind + ": no address", hint: "such as -b 127.0.0.1:8888, -b 8888 or -b 0.0.0.0"}
		}
		return strings.Trim(bind, "[]"), "", nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", &usageError{message: "-b " + bind + ": no port", hint: "such as -b 127.0.0.1:8888"}
	}
	return cmp.Or(host, loopback), port, nil
}

// browse shows an address in the browser of this box, where there is one.
func (a *app) browse(address string) {
	for _, program := range []string{"xdg-open", "open"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		if err := exec.Command(path, address).Start(); err == nil { //nolint:noctx // it outlives this program
			return
		}
	}
	a.notef("palisade: no browser is known here (xdg-open): open the address yourself")
}
