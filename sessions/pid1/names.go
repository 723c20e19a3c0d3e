package pid1

import (
	"cmp"
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

// Hosts is the /etc/hosts of a session: its name resolves to its address.
func Hosts(host, address string) string {
	return "127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + address + " " + host + "\n"
}
