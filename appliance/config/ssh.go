package config

import (
	"fmt"
	"net"

	"github.com/palisade-run/palisade/catalog"
)

// SSH is the port at which people come into their sessions by SSH.
type SSH struct {
	Listen string `yaml:"listen"` // host:port, or off; "" is port 2222 of Config.Listen's host, where it is free
}

// SSHOff is the Listen of no port at all.
const SSHOff = "off"

// sshPort is the port where nothing is said.
const sshPort = "2222"

// SSHListen is where SSH is to be served; "" nowhere. wanted tells whether somebody said so: what nobody asked for may
// fail.
func (c Config) SSHListen() (addr string, wanted bool) {
	switch c.SSH.Listen {
	case SSHOff:
		return "", true
	case "":
	default:
		return c.SSH.Listen, true
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", false
	}
	if port == "0" { // as much any free port as Listen's
		return net.JoinHostPort(host, "0"), false
	}
	return net.JoinHostPort(host, sshPort), false
}

func (c Config) checkSSH() catalog.Problems {
	if c.SSH.Listen == "" || c.SSH.Listen == SSHOff {
		return nil
	}
	const hint = "write 127.0.0.1:2222 for this box alone, :2222 for every network, or off"
	host, port, err := net.SplitHostPort(c.SSH.Listen)
	switch {
	case err != nil:
		return catalog.Problems{problem("ssh.listen", fmt.Sprintf("%q is not an address of the form host:port", c.SSH.Listen), hint)}
	case !portNumber(port):
		return catalog.Problems{problem("ssh.listen", fmt.Sprintf("%q is not a port", port), "a number from 0 to 65535; 0 takes a free one")}
	case host != "" && !hostName(host):
		return catalog.Problems{problem("ssh.listen", fmt.Sprintf("%q is neither a host name nor an address", host), hint)}
	case c.SSH.Listen == c.Listen && port != "0":
		return catalog.Problems{problem("ssh.listen", "is the address of listen, too", hint)}
	}
	return nil
}
