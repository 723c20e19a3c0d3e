package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// Apps is where programs of sessions are reached by browsers.
type Apps struct {
	Listen string `yaml:"listen"` // host:port of their own, and so an origin, or off; "" is the port next to Config.Listen's
	// URL is the address by which browsers reach them, where that differs (a proxy, a NAT). Where Listen is off, apps are on
	// Config.Listen for who calls it by this name, and nowhere without one: never on the origin of the API.
	URL string `yaml:"url"`
}

// AppsOff is the Listen of no port of their own.
const AppsOff = "off"

// AppsListen is where apps are to be served; "" nowhere of their own. wanted tells whether somebody said so: what nobody
// asked for may be on another port.
func (c Config) AppsListen() (addr string, wanted bool) {
	switch c.Apps.Listen {
	case AppsOff:
		return "", true
	case "":
	default:
		return c.Apps.Listen, true
	}
	host, text, err := net.SplitHostPort(c.Listen)
	port, notNumber := strconv.Atoi(text)
	switch {
	case err != nil || notNumber != nil:
		return "", false
	case port == 65535:
		port--
	case port != 0: // as much any free port as Listen's
		port++
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), false
}

func (c Config) checkApps() (ps catalog.Problems) {
	if at := c.Apps.Listen; at != "" && at != AppsOff {
		const hint = "write 127.0.0.1:8081 for this box alone, :8081 for every network, or off"
		host, port, err := net.SplitHostPort(at)
		switch {
		case err != nil:
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is not an address of the form host:port", at), hint))
		case !portNumber(port):
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is not a port", port), "a number from 0 to 65535; 0 takes a free one"))
		case host != "" && !hostName(host):
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is neither a host name nor an address", host), hint))
		case port != "0" && (at == c.Listen || at == c.SSH.Listen):
			ps = append(ps, problem("apps.listen", "is the address of listen, or of ssh.listen, too", "another port makes another origin; left out, it is the next one to that of listen"))
		}
	}
	if c.Apps.URL == "" {
		return ps
	}
	u, err := url.Parse(c.Apps.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		ps = append(ps, problem("apps.url", "must be a URL that begins with http:// or https:// and names a host", "like https://apps.example.com"))
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(c.Apps.URL, "?#"):
		ps = append(ps, problem("apps.url", fmt.Sprintf("%q has more than scheme, host and port", u.Redacted()), "write "+u.Scheme+"://"+u.Host))
	case c.ownOrigin(u):
		ps = append(ps, problem("apps.url", "is the address of the appliance itself: a page of any session would act with the power of who is logged in",
			"give apps a name, or a port, of their own"))
	case c.Apps.Listen == AppsOff && net.ParseIP(u.Hostname()) != nil:
		ps = append(ps, problem("apps.url", "is an address, and with apps.listen off apps are told apart by their name alone", "like https://apps.example.com"))
	}
	return ps
}

// ownOrigin tells whether a URL is where browsers find the console.
func (c Config) ownOrigin(u *url.URL) bool {
	own, err := url.Parse(c.URL())
	return err == nil && strings.EqualFold(own.Hostname(), u.Hostname()) && portOf(own) == portOf(u)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
