package pid1

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// HostName makes a host name of a session's name, or of its id where it has none.
func HostName(name, id string) string {
	name = strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, cmp.Or(name, id))
	return name[:min(len(name), 63)]
}

// SSHConfig is where OpenSSH of the usual kind looks for more of what it goes by, for everybody.
const SSHConfig = "/etc/ssh/ssh_config.d/50-palisade.conf"

// Hosts is the /etc/hosts of a session: its name resolves to its address.
func Hosts(host, address string) string {
	return "127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + address + " " + host + "\n"
}

// ClusterHosts is the /etc/hosts of one of several containers of a session: the names of each resolve to its address. Both
// are listed by rank.
func ClusterHosts(names [][]string, addresses []netip.Addr) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
	for rank, addr := range addresses[:min(len(addresses), len(names))] {
		b.WriteString(addr.String())
		for i, name := range names[rank] {
			if name = HostName(name, name); !slices.Contains(names[rank][:i], name) {
				b.WriteString(" " + name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
