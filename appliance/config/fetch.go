package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// Fetch says what of the network may be asked on behalf of others than the owner: of recipes of catalogs, of what redirects and
// registries lead to, of webhooks.
type Fetch struct {
	// AllowPrivate are addresses, ranges and names of hosts of this box and its networks that are meant for that, too.
	AllowPrivate []string `yaml:"allow_private"`
}

func (f Fetch) check() (ps catalog.Problems) {
	for i, text := range f.AllowPrivate {
		field := fmt.Sprintf("fetch.allow_private[%d]", i)
		bare := strings.Trim(text, "[]")
		_, err := netip.ParseAddr(bare)
		p, prefixErr := netip.ParsePrefix(text)
		switch {
		case err == nil:
		case prefixErr == nil && p.Bits() == 0:
			ps = append(ps, warning(field, "is every address there is: recipes and redirects may name the box itself", "name the mirrors that are meant"))
		case prefixErr == nil:
		case !domainName(strings.ToLower(text)):
			ps = append(ps, problem(field, fmt.Sprintf("%q is neither an address, nor a range, nor the name of a host", text), "like 10.1.2.3, 10.1.0.0/16 or mirror.lan, without a port"))
		}
	}
	return ps
}
