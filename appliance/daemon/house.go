package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/ssh"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions/terminal"
	"github.com/palisade-run/palisade/training/idle"
)

// house is what of the appliance stays in this process when a successor could not take over and it begins again: the
// lock, the open sockets, the gate behind them, and those who still answer requests of before.
type house struct {
	lock      *dataLock
	doors     []*doorway
	listen    string // as it was set
	activated bool   // the sockets are systemd's
	gateway   string // http://127.0.0.1:8080
	front     *front
	gate      *router.Gate
	elders    elders
	before    *forerunner // nil: this process was not started by another daemon
	crossed   bool        // requests have been let in once
	restarts  chan restart
	unit      serviceManager
	lastLines *lastLines  // of the log
	busy      atomic.Bool // a restart is under way
	lines     *admin.Lines
	book      *idle.Book // who uses sessions
	terminals *terminal.Keeper
	remaining sync.WaitGroup // earlier lives of this process, until they have answered all

	// In a cluster, or on the way to one.
	seat     *seat                 // nil: this box is one alone
	left     *seat                 // what a successor has taken over; nil: nothing
	seats    chan struct{}         // of size 1: take or leave a seat, as the files say
	leaves   atomic.Bool           // the seat is to be left for good
	waits    atomic.Bool           // somebody has to approve of this box
	unseated atomic.Pointer[error] // why a seat could not be taken
	apart    atomic.Bool           // this box was let in, and cannot take its seat yet: it goes on alone meanwhile
	joining  sync.Mutex            // what asks to be let in changes one at a time
	asks     sync.Once             // one goroutine asks to be let in, whenever there is something to ask

	shells      *ssh.Server  // nil: there is no SSH port
	appServer   *http.Server // of apps on a port of their own; nil: there is none
	appURL      string       // http://127.0.0.1:8081
	appListen   string       // where it was to be
	shellListen string       // where it was to be
	shellFault  error        // why it is not there, where nobody asked for one

	accepting sync.WaitGroup
	failed    chan error
	once      sync.Once
	stopped   chan struct{} // closed when stop has given all requests their time
	stopErr   error
}

// doorway is one listener.
type doorway struct {
	net.Listener             // TCP or unix
	secure       *tls.Config // nil: plain
	shell        bool        // people come in by SSH
	apps         bool        // nothing is served but apps of sessions
	open         bool        // connections are accepted
}

func (d *doorway) local() bool { _, is := d.Listener.(*net.UnixListener); return is }

// name is what the socket is called on its way to a successor.
func (d *doorway) name() string {
	if d.shell {
		return shellDoor
	}
	if d.apps {
		return appsDoor
	}
	return d.Addr().Network()
}

// file is the same socket once more, for another process or for later. It is not the listener's own File, which makes the
// socket one that blocks as soon as anybody looks at its descriptor: for this process too, which could not close it then.
func (d *doorway) file() (file *os.File, err error) {
	l, ok := d.Listener.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("the listener on %s cannot be handed over", d.Addr())
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("handing over the listener on %s: %w", d.Addr(), err)
	}
	failed := raw.Control(func(fd uintptr) {
		var again int
		if again, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(again), d.name())
		}
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("handing over the listener on %s: %w", d.Addr(), err)
	}
	return file, nil
}

// enter opens port and socket, or takes them over. Nothing is accepted yet.
func (d *daemon) enter(ctx context.Context, left *inheritance) error {
	h := d.house
	h.listen = d.Config.Listen
	shell, err := left.take(shellDoor)
	if err != nil {
		return err
	}
	apps, err := left.take(appsDoor)
	if err != nil {
		return err
	}
	ports, sockets, err := left.open()
	if err != nil {
		return err
	}
	switch {
	case h.before != nil && h.before.hello.Activated:
		h.activated = true
	case h.before != nil && h.before.hello.Listen != h.listen && len(ports) > 0:
		d.Log.Info("the port is another one now", "listen", h.listen, "before", h.before.hello.Listen)
		for _, l := range ports {
			_ = l.Close()
		}
		ports = nil
	case h.before == nil:
		h.activated = len(ports) > 0
	}
	if h.activated && len(ports) > 0 { // what secures it goes by where it is, not by what was set
		d.Config.Listen = ports[0].Addr().String()
	}
	secure, scheme, err := d.tls()
	if err != nil {
		return err
	}
	if len(ports) == 0 {
		l, err := listenTCP(ctx, d.Config.Listen)
		if err != nil {
			return err
		}
		ports = append(ports, l)
	}
	if !has(sockets, filepath.Join(d.Config.Data, SocketName)) && (h.before == nil || len(sockets) == 0) {
		l, err := listenSocket(ctx, d.Config.Data)
		if err != nil {
			return errors.Join(err, ports[0].Close())
		}
		sockets = append(sockets, l)
	}
	for _, l := range ports {
		h.doors = append(h.doors, &doorway{Listener: l, secure: secure})
	}
	for _, l := range sockets {
		h.doors = append(h.doors, &doorway{Listener: l})
	}
	if h.gateway = d.Config.Advertise; h.gateway == "" {
		h.gateway = scheme + "://" + reachable(ports[0].Addr())
	}
	h.front = &front{}
	if err := errors.Join(d.enterShells(ctx, shell), d.enterApps(ctx, apps)); err != nil {
		h.shut()
		return err
	}
	h.gate = router.NewGate(d.Config.Router, newServer(h.front, d.Log), d.Log.With("room", "router"))
	h.failed = make(chan error, len(h.doors)+1)
	return nil
}

// has tells whether one of the sockets has that name in the file system.
func has(sockets []net.Listener, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, l := range sockets {
		if at, err := os.Stat(l.Addr().String()); err == nil && os.SameFile(at, there) {
			return true
		}
	}
	return false
}

// accept opens the doors that are not open.
func (h *house) accept() {
	for _, d := range h.doors {
		if d.open {
			continue
		}
		d.open = true
		l := d.Listener
		if d.secure != nil {
			l = tls.NewListener(l, d.secure)
		}
		h.accepting.Go(func() {
			serve := h.gate.Serve
			if d.shell {
				serve = h.shells.Serve
			}
			if d.apps {
				serve = h.appServer.Serve
			}
			err := serve(l)
			if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) { // the latter: lean
				h.failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
			}
		})
	}
}

// lean shuts the doors of the admin API and of SSH and keeps them: who comes waits in the kernel, for this process or for the next.
func (h *house) lean() error {
	for _, d := range h.doors {
		if !d.local() && !d.shell || !d.open {
			continue
		}
		file, err := d.file()
		if err != nil {
			return err
		}
		again, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		err = d.Close()
		d.Listener, d.open = again, false
		if err != nil {
			return err
		}
	}
	return nil
}

// files are the sockets, for a successor. The caller closes them.
func (h *house) files() (files []*os.File, err error) {
	for _, d := range h.doors {
		file, err := d.file()
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// shut takes no new connections; those that are there go on.
func (h *house) shut() {
	for _, d := range h.doors {
		_ = d.Close()
	}
}

// stop finishes the requests under way, here and where they began before. It may be called again.
func (h *house) stop() error {
	h.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		go h.noRestart()
		h.shut()
		_ = h.lock.sign(stopping) // for who is started meanwhile; it is refused otherwise, and may try again
		var before sync.WaitGroup
		before.Go(func() { _ = h.before.stop(ctx) }) // one that takes longer ends by itself
		if h.appServer != nil {
			before.Go(func() { h.endApps(ctx) })
		}
		if err := h.gate.Shutdown(ctx); err != nil {
			h.stopErr = h.gate.Close()
		}
		before.Wait()
		close(h.stopped)
	})
	return errors.Join(h.stopErr, h.close())
}

// errStopped ends commands that people run.
var errStopped = errors.New("the appliance was stopped, and the command was ended with it; the session goes on")

// hangUpPatience is how long clients of commands in sessions may take to be told that they end.
const hangUpPatience = 2 * time.Second

// hangUp ends the commands that people run in sessions, and the terminals that are held for them, with a sentence.
func (h *house) hangUp(why error) {
	ctx, cancel := context.WithTimeout(context.Background(), hangUpPatience)
	defer cancel()
	h.lines.End(ctx, why)
	h.terminals.End(ctx, why)
	if h.shells != nil {
		h.shells.End(ctx, why)
	}
}

// close ends what is open at once: requests are over, or were never let in.
func (h *house) close() error {
	var err error
	h.shut()
	if h.gate != nil {
		h.once.Do(func() { err = h.gate.Close() })
	}
	if h.appServer != nil {
		_ = h.appServer.Close() // what is open is over
	}
	h.accepting.Wait()
	return err
}

// tls decides how the port is secured: as the settings say, else plain on loopback and with a
// self-made certificate elsewhere.
func (d *daemon) tls() (*tls.Config, string, error) {
	c := d.Config
	switch c.Security() {
	case config.Given:
		secure, err := certificateFiles(c.TLS.Cert, c.TLS.Key)
		return secure, "https", err
	case config.Plain:
		return nil, "http", nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("listen address %q: %w", c.Listen, err)
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	secure, err := selfMade(filepath.Join(c.Data, "tls"), certificateHosts(host, name, c.Router.Domain), time.Now)
	return secure, "https", err
}

// reachable is addr as somebody on this box can use it: a listener on all addresses answers on loopback.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
