package cni

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	gocni "github.com/containerd/go-cni"
	"github.com/vishvananda/netlink"

	"github.com/palisade-run/palisade/sessions/network"
)

// conflist is what is read of one here: which programs it needs.
type conflist struct {
	Name    string `json:"name"`
	Plugins []struct {
		Type string `json:"type"`
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	} `json:"plugins"`
}

func parseConflist(raw []byte) (conflist, error) {
	var c conflist
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("it is not JSON of a conflist: %w", err)
	}
	if c.Name == "" || len(c.Plugins) == 0 {
		return c, errors.New("it has no name, or no list of plugins")
	}
	for i, p := range c.Plugins {
		if p.Type == "" || p.Type != filepath.Base(p.Type) {
			return c, fmt.Errorf("plugins[%d].type: %q is no name of a plugin", i, p.Type)
		}
		if p.IPAM.Type != "" && p.IPAM.Type != filepath.Base(p.IPAM.Type) {
			return c, fmt.Errorf("plugins[%d].ipam.type: %q is no name of a plugin", i, p.IPAM.Type)
		}
	}
	return c, nil
}

// plugins are the programs that it needs.
func (c conflist) plugins() []string {
	var out []string
	for _, p := range c.Plugins {
		for _, name := range []string{p.Type, p.IPAM.Type} {
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// bridgeOf names the default bridge after the directory, which tells one appliance on the box from another.
func bridgeOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "plc-" + hex.EncodeToString(sum[:])[:10]
}

// defaultConflist is a bridge with addresses from a range. Nothing is masqueraded, and there is no way beyond the box.
func defaultConflist(dir string, cidr netip.Prefix) []byte {
	type m = map[string]any
	raw, err := json.Marshal(m{
		"cniVersion": "0.4.0", "name": bridgeOf(dir),
		"plugins": []m{{
			"type": "bridge", "bridge": bridgeOf(dir), "isGateway": true, "ipMasq": false, "hairpinMode": false,
			"ipam": m{"type": "host-local", "dataDir": filepath.Join(dir, "addresses"), "ranges": [][]m{{{"subnet": cidr.String()}}}},
		}},
	})
	if err != nil {
		return nil // strings and booleans always can be written
	}
	return raw
}

// checkRange refuses a range that the box has a route into already, unless it is the bridge's own.
func (n *Network) checkRange() error {
	routes, err := network.Whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	own := -1
	if link, err := netlink.LinkByName(bridgeOf(n.cfg.Dir)); err == nil {
		own = link.Attrs().Index
	}
	for _, r := range routes {
		if r.Dst == nil || r.LinkIndex == own {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		ip, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if taken := netip.PrefixFrom(ip, ones); ok && ones > 0 && taken.Overlaps(n.cfg.CIDR) {
			return &Error{fmt.Errorf("the range %s overlaps %s, to which this box has a route", n.cfg.CIDR, taken), "choose another"}
		}
	}
	return nil
}

// isolate keeps the session's port of the bridge from others.
func isolate(result *gocni.Result) error {
	for name, i := range result.Interfaces {
		link, err := netlink.LinkByName(name)
		if i.Sandbox != "" || err != nil || link.Type() != "veth" {
			continue
		}
		if err := netlink.LinkSetIsolated(link, true); err != nil {
			return fmt.Errorf("isolating %s from other sessions: %w", name, err)
		}
		return nil
	}
	return errors.New("the bridge plugin does not say which link is the session's")
}
