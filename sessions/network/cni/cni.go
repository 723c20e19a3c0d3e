// Package cni gives sessions their networks by CNI plugins, for operators whose boxes must use their own: a conflist of
// theirs, or a bridge with addresses from a range. It keeps the same promises as sessions/network, which is the default
// because it takes a fifth of the time (docs/decisions/0013). It knows ids and addresses, nothing of what runs in a
// session.
//
// Below Config.Dir there is, for every session, a file that its network namespace is mounted on (ns/ID) and a record
// (records/ID), which is written before a plugin is asked for anything: so what was half made is found at the next
// Open, and what plugins have handed out is given back. After a restart of the box all records are old, and their
// addresses are released.
//
// With the default conflist sessions' bridge ports are isolated from each other, and sessions can begin no connection to
// the box. What an operator's own conflist lets sessions reach is the operator's decision.
package cni

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	gocni "github.com/containerd/go-cni"

	"github.com/palisade-run/palisade/sessions/network"
)

// Config of a Network.
type Config struct {
	Dir        string       // its own, absolute; made if missing
	Conflist   string       // the operator's file; "" is a bridge with addresses from CIDR
	PluginDirs []string     // where plugins are; none: /opt/cni/bin and where Debian has them
	CIDR       netip.Prefix // of the default conflist; zero is 10.199.0.0/22
	Log        *slog.Logger
}

// Error is an error that says what to do about it.
type Error struct {
	Err  error
	What string // the hint
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.What }

// inside is the name of a session's interface, as it sees it.
const inside = "eth0"

// askIn bounds one call of the plugins: they are programs, and may ask a server.
const askIn = 30 * time.Second

// Network makes and removes sessions' networks. Its methods are safe for concurrent use.
type Network struct {
	cfg    Config
	log    *slog.Logger
	cni    gocni.CNI
	list   conflist
	boot   string
	isOurs bool // the default conflist

	guarded error

	mu   sync.Mutex
	busy map[string]bool // ids that are being made or removed
}

// Open reads the conflist, checks that its plugins are there and gives back what sessions that are gone have left.
func Open(cfg Config) (*Network, error) {
	n := &Network{cfg: cfg, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), busy: map[string]bool{}, isOurs: cfg.Conflist == ""}
	if err := n.open(); err != nil {
		return nil, fmt.Errorf("opening the sessions' network by CNI: %w", err)
	}
	return n, nil
}

func (n *Network) open() error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root to make network namespaces")
	}
	dir, err := filepath.Abs(n.cfg.Dir)
	if err != nil {
		return err
	}
	n.cfg.Dir = dir
	if len(n.cfg.PluginDirs) == 0 {
		n.cfg.PluginDirs = []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}
	}
	if n.boot, err = bootID(); err != nil {
		return err
	}
	for _, d := range []string{"ns", "records"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o711); err != nil {
			return err
		}
	}
	raw, err := n.conflist()
	if err != nil {
		return err
	}
	if n.list, err = parseConflist(raw); err != nil {
		return &Error{fmt.Errorf("%s: %w", cmp.Or(n.cfg.Conflist, "the default conflist"), err), "its form is described at https://www.cni.dev/docs/spec"}
	}
	if err := n.findPlugins(); err != nil {
		return err
	}
	n.cni, err = gocni.New(gocni.WithMinNetworkCount(1), gocni.WithInterfacePrefix("eth"), gocni.WithPluginDir(n.cfg.PluginDirs), gocni.WithConfListBytes(raw))
	if err != nil {
		return err
	}
	n.guard()
	return n.sweep()
}

// guard closes the box to sessions, where the bridge is ours.
func (n *Network) guard() {
	if !n.isOurs {
		n.guarded = errors.New("what sessions reach is for the conflist to say")
		return
	}
	if n.guarded = network.Guard(bridgeOf(n.cfg.Dir)); n.guarded != nil {
		n.log.Warn("sessions can reach what listens on this box", "bridge", bridgeOf(n.cfg.Dir), "err", n.guarded)
	}
}

// Guarded returns nil when sessions cannot begin a connection to the box, else why they may.
func (n *Network) Guarded() error { return n.guarded }

// conflist returns the operator's, or the default one.
func (n *Network) conflist() ([]byte, error) {
	if n.cfg.Conflist != "" {
		raw, err := os.ReadFile(n.cfg.Conflist)
		if err != nil {
			return nil, &Error{fmt.Errorf("reading the conflist: %w", err), "name a file like /etc/cni/net.d/10-mynet.conflist"}
		}
		return raw, nil
	}
	if !n.cfg.CIDR.IsValid() {
		n.cfg.CIDR = netip.MustParsePrefix("10.199.0.0/22")
	}
	n.cfg.CIDR = n.cfg.CIDR.Masked()
	if !n.cfg.CIDR.Addr().Is4() || n.cfg.CIDR.Bits() > 30 {
		return nil, &Error{fmt.Errorf("%s: an IPv4 range of at least 4 addresses is wanted", n.cfg.CIDR), "for example 10.199.0.0/22"}
	}
	if err := n.checkRange(); err != nil {
		return nil, err
	}
	return defaultConflist(n.cfg.Dir, n.cfg.CIDR), nil
}

// findPlugins says which plugins are missing, before a session needs them.
func (n *Network) findPlugins() error {
	for _, name := range n.list.plugins() {
		found := slices.ContainsFunc(n.cfg.PluginDirs, func(dir string) bool {
			info, err := os.Stat(filepath.Join(dir, name))
			return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
		})
		if !found {
			return &Error{
				fmt.Errorf("CNI plugin %s, which %s names, is not in %s", name, cmp.Or(n.cfg.Conflist, "the default conflist"), strings.Join(n.cfg.PluginDirs, " nor in ")),
				"on Debian and Ubuntu: apt-get install containernetworking-plugins; or put the plugin's program there",
			}
		}
	}
	return nil
}

// sweep removes what no session can have any more: what was half made, and all that is of another boot.
func (n *Network) sweep() error {
	all, err := n.records()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Boot == n.boot && r.Addr.IsValid() {
			continue
		}
		n.log.Info("giving back a network that no session has any more", "id", r.ID, "address", r.Addr)
		if err := n.remove(r.ID); err != nil { // an address less is better than no appliance
			n.log.Warn("a network is not given back; the next start tries again", "id", r.ID, "err", err)
		}
	}
	return nil
}

var validID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_.-]{0,127}$`)

// claim makes calls for one id wait for nobody else's, and refuses a second one for the same.
func (n *Network) claim(id string) (release func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy[id] {
		return nil, fmt.Errorf("session %s: another call for it is under way", id)
	}
	n.busy[id] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.busy, id)
	}, nil
}

// Create makes the network of session id. network.ErrFull when no address is left. On an error nothing is left.
func (n *Network) Create(id string) (network.Attachment, error) {
	if !validID.MatchString(id) {
		return network.Attachment{}, fmt.Errorf("making a network for session %q: not a name that a file can have", id)
	}
	release, err := n.claim(id)
	if err != nil {
		return network.Attachment{}, fmt.Errorf("making a network: %w", err)
	}
	defer release()
	if r, err := n.read(id); err == nil {
		return network.Attachment{}, fmt.Errorf("making a network for session %s: it has one, %s", id, r.Addr)
	}
	a, err := n.create(id)
	if err != nil {
		if rmErr := n.remove(id); rmErr != nil {
			n.log.Warn("a network that was half made is left until the next start", "id", id, "err", rmErr)
		}
		return network.Attachment{}, fmt.Errorf("making a network for session %s: %w", id, explain(err))
	}
	return a, nil
}

// create does it in an order that the next Open can undo: record, namespace, plugins, record.
func (n *Network) create(id string) (network.Attachment, error) {
	r := record{ID: id, Boot: n.boot}
	if err := n.write(r); err != nil {
		return network.Attachment{}, err
	}
	path := n.path(id)
	if err := newNamespace(path); err != nil {
		return network.Attachment{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askIn)
	defer cancel()
	result, err := n.cni.Setup(ctx, id, path)
	if err != nil {
		return network.Attachment{}, err
	}
	if r.Addr, err = addressOf(result); err != nil {
		return network.Attachment{}, err
	}
	if n.isOurs {
		if err := isolate(result); err != nil {
			return network.Attachment{}, err
		}
	}
	if err := n.write(r); err != nil {
		return network.Attachment{}, err
	}
	return network.Attachment{ID: id, Path: path, Addr: r.Addr}, nil
}

// addressOf is where the box reaches the session.
func addressOf(result *gocni.Result) (netip.Addr, error) {
	if own, ok := result.Interfaces[inside]; ok {
		for _, ip := range own.IPConfigs {
			if addr, ok := netip.AddrFromSlice(ip.IP); ok {
				return addr.Unmap(), nil
			}
		}
	}
	return netip.Addr{}, &Error{errors.New("the CNI plugins gave the session no address"), "the conflist needs a plugin with ipam"}
}

// explain makes an error of the plugins, which comes as text, one that people understand.
func explain(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "no IP addresses available"):
		return &Error{fmt.Errorf("%w: %w", network.ErrFull, err), "end sessions, or take a larger range"}
	case strings.Contains(text, "failed to find plugin"):
		return &Error{err, "the plugin was there when the appliance started: put it back"}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{fmt.Errorf("the CNI plugins did not answer in %v", askIn), "look at what the plugins of the conflist ask"}
	}
	return err
}

// Remove undoes Create. It is idempotent. Connections of the session end.
func (n *Network) Remove(id string) error {
	if !validID.MatchString(id) {
		return nil
	}
	release, err := n.claim(id)
	if err != nil {
		return fmt.Errorf("removing a network: %w", err)
	}
	defer release()
	if err := n.remove(id); err != nil {
		return fmt.Errorf("removing the network of session %s: %w", id, err)
	}
	return nil
}

// remove gives back what the plugins have given, then the namespace, then forgets it.
func (n *Network) remove(id string) error {
	if _, err := n.read(id); errors.Is(err, os.ErrNotExist) {
		return removeNamespace(n.path(id)) // there should be none
	}
	path := n.path(id)
	if !isNamespace(path) {
		path = "" // what is on the box's side is given back all the same
	}
	ctx, cancel := context.WithTimeout(context.Background(), askIn)
	defer cancel()
	// The session's own side goes in any case. The record stays until the plugins have given back what they gave.
	if err := errors.Join(n.cni.Remove(ctx, id, path), removeNamespace(n.path(id))); err != nil {
		return explain(err)
	}
	return n.forget(id)
}

// List returns what is attached, by address.
func (n *Network) List() ([]network.Attachment, error) {
	all, err := n.records()
	if err != nil {
		return nil, fmt.Errorf("listing the sessions' networks: %w", err)
	}
	list := []network.Attachment{}
	for _, r := range all {
		if r.Addr.IsValid() {
			list = append(list, network.Attachment{ID: r.ID, Path: n.path(r.ID), Addr: r.Addr})
		}
	}
	slices.SortFunc(list, func(a, b network.Attachment) int { return a.Addr.Compare(b.Addr) })
	return list, nil
}

// Destroy removes every session's network. A bridge that a plugin has made stays: others may use it.
func (n *Network) Destroy() error {
	all, err := n.records()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range all {
		errs = append(errs, n.Remove(r.ID))
	}
	if n.isOurs {
		network.Unguard(bridgeOf(n.cfg.Dir))
	}
	return errors.Join(errs...)
}

func (n *Network) path(id string) string { return filepath.Join(n.cfg.Dir, "ns", id) }
