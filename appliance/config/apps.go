package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// Apps is where programs of sessions are reached by browsers.
type Apps struct {
	Listen string `yaml:"listen"` // host:port of their own, and so an origin; "": they are on Config.Listen
	// URL is the address by which clients reach Listen, where that differs (a proxy, a NAT), or, without Listen, where they
	// reach apps by another name than Config.Advertise.
	URL string `yaml:"url"`
}

func (c Config) checkApps() (ps catalog.Problems) {
	if at := c.Apps.Listen; at != "" {
		const hint = "write 127.0.0.1:8081 for this box alone, or :8081 for every network"
		host, port, err := net.SplitHostPort(at)
		switch {
		case err != nil:
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is not an address of the form host:port", at), hint))
		case !portNumber(port):
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is not a port", port), "a number from 0 to 65535; 0 takes a free one"))
		case host != "" && !hostName(host):
			ps = append(ps, problem("apps.listen", fmt.Sprintf("%q is neither a host name nor an address", host), hint))
		case port != "0" && (at == c.Listen || at == c.SSH.Listen):
			ps = append(ps, problem("apps.listen", "is the address of listen, or of ssh.listen, too", "another port makes another origin; left out, apps are on listen"))
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
	}
	return ps
}
