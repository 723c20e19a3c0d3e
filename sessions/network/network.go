package network

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
)

// Config of a Network.
type Config struct {
	// Dir holds one file for each session, its network namespace's name. Made if missing. It also
	// tells one appliance on the box from another: the bridge's name is derived from it.
	Dir string
	// Bridge is its name, at most 15 characters; "" derives one from Dir.
	Bridge string
	// CIDR is the range of addresses, IPv4; zero takes a free /22 of Pool.
	CIDR netip.Prefix
	// Pool is where a range is taken from; zero is 10.200.0.0/13.
	Pool netip.Prefix
	// DefaultRoute gives sessions a route to the world by the bridge. Whether the box then forwards
	// and masquerades is the box's own matter.
	DefaultRoute bool
	Log          *slog.Logger
}

// Attachment is one session's place in the network.
type Attachment struct {
	ID   string
	Path string // of its network namespace; may be gone while the session lives on, see List
	Addr netip.Addr
	// Group is the range of the group that it is one of; zero for one that is in none. List leaves it out.
	Group netip.Prefix
}

// Network makes and removes sessions' networks. Its methods are safe for concurrent use.
type Network struct {
	cfg    Config
	cidr   netip.Prefix
	host   *netlink.Handle
	bridge netlink.Link
	log    *slog.Logger

	mu      sync.Mutex
	used    map[netip.Addr]string // by which id
	last    netip.Addr            // given out last
	guarded error
}

const (
	aliasPrefix = "palisade "
	defaultBits = 22 // 1021 sessions: a bridge has at most 1024 ports
)

// Open makes the bridge where it is not there yet, takes over what sessions are attached to it and
// sweeps what was half made. It needs to be root, in the network namespace where the bridge is to be.
func Open(cfg Config) (*Network, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("opening the sessions' network: it takes root to make network namespaces")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the sessions' network: %w", err)
	}
	cfg.Dir = dir
	cfg.Bridge = cmp.Or(cfg.Bridge, bridgePrefix+hash(dir, 10))
	if !cfg.Pool.IsValid() {
		cfg.Pool = netip.MustParsePrefix("10.200.0.0/13")
	}
	if cfg.CIDR.IsValid() && (!cfg.CIDR.Addr().Is4() || cfg.CIDR.Bits() > 30) || !cfg.Pool.Addr().Is4() {
		return nil, fmt.Errorf("opening the sessions' network: %s: an IPv4 range of at least 4 addresses is wanted", cfg.CIDR)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("opening the sessions' network: %w", err)
	}
	host, err := netlink.NewHandle()
	if err != nil {
		return nil, fmt.Errorf("opening the sessions' network: netlink: %w", err)
	}
	n := &Network{cfg: cfg, host: host, used: map[netip.Addr]string{}, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	if err := n.open(); err != nil {
		host.Close()
		return nil, fmt.Errorf("opening the sessions' network: %w", err)
	}
	return n, nil
}

func (n *Network) open() error {
	if err := n.ensureBridge(); err != nil {
		return err
	}
	if n.guarded = guard(n.cfg.Bridge, guarding{others: []string{groupsPrefix}}); n.guarded != nil {
		n.log.Warn("sessions can reach what listens on this box", "bridge", n.cfg.Bridge, "err", n.guarded)
	}
	list, err := n.attachments(true)
	if err != nil {
		return err
	}
	if err := n.openGroups(); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, a := range list {
		n.used[a.Addr] = a.ID
		known[a.ID] = true
		if n.cidr.Contains(a.Addr) && n.last.Compare(a.Addr) < 0 {
			n.last = a.Addr
		}
	}
	entries, err := os.ReadDir(n.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !known[e.Name()] && validID(e.Name()) {
			n.log.Info("sweeping a network namespace that was half made", "id", e.Name())
			if err := removeNamespace(n.path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bridge returns the bridge's name, CIDR the range of addresses.
func (n *Network) Bridge() string { return n.cfg.Bridge }

// CIDR returns the range of the sessions' addresses.
func (n *Network) CIDR() netip.Prefix { return n.cidr }

// Gateway returns the box's own address on the bridge.
func (n *Network) Gateway() netip.Addr { return gateway(n.cidr) }

// Guarded returns nil when sessions cannot begin a connection to the box, else why they can.
func (n *Network) Guarded() error { return n.guarded }

// Close lets go of the kernel's handle. It leaves everything as it is.
func (n *Network) Close() { n.host.Close() }

// Destroy removes every session's network, and the bridge.
func (n *Network) Destroy() error {
	list, err := n.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range list {
		errs = append(errs, n.Remove(a.ID))
	}
	Unguard(n.cfg.Bridge)
	if err := n.host.LinkDel(n.bridge); err != nil && !missing(err) {
		errs = append(errs, fmt.Errorf("removing bridge %s: %w", n.cfg.Bridge, err))
	}
	return errors.Join(errs...)
}

// Create makes the network of session id. ErrFull when no address is left. On an error nothing is left.
func (n *Network) Create(id string) (Attachment, error) {
	if !validID(id) {
		return Attachment{}, fmt.Errorf("making a network for session %q: not a name that a file can have", id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr, has := n.addrOf(id); has {
		return Attachment{}, fmt.Errorf("making a network for session %s: it has one, %s", id, addr)
	}
	addr, err := nextAddr(n.cidr, n.last, n.used)
	if err != nil {
		return Attachment{}, fmt.Errorf("making a network for session %s: %w", id, err)
	}
	a := Attachment{ID: id, Path: n.path(id), Addr: addr}
	if err := n.build(a, segment{bridge: n.bridge, cidr: n.cidr, gateway: n.Gateway(), isolated: true}); err != nil {
		if rmErr := n.remove(id); rmErr != nil {
			n.log.Warn("a network that was half made is left", "id", id, "err", rmErr)
		}
		return Attachment{}, fmt.Errorf("making a network for session %s: %w", id, err)
	}
	n.used[addr], n.last = id, addr
	return a, nil
}

// Remove undoes Create. It is idempotent. Connections of the session end.
func (n *Network) Remove(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.remove(id); err != nil {
		return fmt.Errorf("removing the network of session %s: %w", id, err)
	}
	for addr, owner := range n.used {
		if owner == id {
			delete(n.used, addr)
		}
	}
	return nil
}

// List returns what is attached, by address. An Attachment's Path may be a plain file where the
// daemon was restarted with a mount namespace of its own: the session's processes hold the namespace.
func (n *Network) List() ([]Attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attachments(false)
}

// attachments reads what the kernel has. With sweep, pairs of ours that nobody finished go.
func (n *Network) attachments(sweep bool) ([]Attachment, error) {
	links, err := Whole(n.host.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	groups := n.groups(links)
	var list []Attachment
	for _, l := range links {
		at := l.Attrs()
		if !strings.HasPrefix(at.Name, n.vethPrefix()) || l.Type() != "veth" {
			continue
		}
		id, text, _ := strings.Cut(strings.TrimPrefix(at.Alias, aliasPrefix), " ")
		addr, err := netip.ParseAddr(text)
		finished := err == nil && (at.MasterIndex == n.bridge.Attrs().Index || groups[at.MasterIndex] != "")
		switch {
		case finished:
			list = append(list, Attachment{ID: id, Path: n.path(id), Addr: addr})
		case sweep:
			n.log.Info("sweeping a link that was half made", "link", at.Name)
			if err := n.host.LinkDel(l); err != nil && !missing(err) {
				return nil, fmt.Errorf("removing %s: %w", at.Name, err)
			}
		}
	}
	slices.SortFunc(list, func(a, b Attachment) int { return a.Addr.Compare(b.Addr) })
	return list, nil
}

func (n *Network) path(id string) string { return filepath.Join(n.cfg.Dir, id) }

// A link's name has at most 15 characters: 4 tell the appliance, 8 the session.
func (n *Network) vethPrefix() string    { return "pl" + hash(n.cfg.Bridge, 4) + "." }
func (n *Network) veth(id string) string { return n.vethPrefix() + hash(id, 8) }
