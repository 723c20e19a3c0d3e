package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

const (
	minSessionLog = 64 << 10         // less cuts a line of a stack trace away that says why
	minSilence    = 10 * time.Minute // answers may take that long to begin
	widestRange   = 22               // bits of the smallest pool from which a range can be taken
	narrowestCIDR = 30               // bits: the bridge, one session, and the two that are no address
)

// Validate reports all that is wrong with the settings, by field. It looks at nothing but c.
func (c Config) Validate() catalog.Problems {
	var ps catalog.Problems
	ps = append(ps, c.checkPlaces()...)
	ps = append(ps, c.checkAddresses()...)
	ps = append(ps, c.checkTLS()...)
	ps = append(ps, c.checkSSH()...)
	ps = append(ps, c.checkApps()...)
	ps = append(ps, checkDatabase(c.Database)...)
	ps = append(ps, oneOf("runtime", c.Runtime, RuntimeAuto, RuntimeProcess, RuntimeContainerd)...)
	ps = append(ps, oneOf("log.format", c.Log.Format, FormatText, FormatJSON)...)
	if c.Log.Level < slog.LevelDebug || c.Log.Level > slog.LevelError {
		ps = append(ps, problem("log.level", fmt.Sprintf("%v is out of range", c.Log.Level), "one of debug, info, warn, error"))
	}
	ps = append(ps, c.Network.check()...)
	if c.Limits.SessionLog < minSessionLog {
		ps = append(ps, problem("limits.session_log", fmt.Sprintf("%d bytes are too few to see why a session failed", c.Limits.SessionLog), "at least 64k"))
	}
	ps = append(ps, c.Limits.checkProjects()...)
	ps = append(ps, c.checkPool()...)
	ps = append(ps, c.checkRouter()...)
	ps = append(ps, c.checkSeeing()...)
	ps = append(ps, c.Autoscaler.check()...)
	ps = append(ps, c.Redis.check()...)
	ps = append(ps, c.Cluster.check()...)
	ps = append(ps, c.Backup.check()...)
	ps = append(ps, c.Restart.check()...)
	ps = append(ps, c.Folders.check()...)
	ps = append(ps, c.Usage.Prices.check()...)
	ps = append(ps, c.Catalog.check()...)
	ps = append(ps, c.Fetch.check()...)
	ps = append(ps, c.Sessions.check()...)
	ps = append(ps, checkPeople(c.People)...)
	return append(ps, checkService(c.Service)...)
}

func problem(field, message, hint string) catalog.Problem {
	return catalog.Problem{Severity: catalog.SeverityError, Field: field, Message: message, Hint: hint}
}

func warning(field, message, hint string) catalog.Problem {
	return catalog.Problem{Severity: catalog.SeverityWarning, Field: field, Message: message, Hint: hint}
}

func oneOf(field, value string, allowed ...string) catalog.Problems {
	if slices.Contains(allowed, value) {
		return nil
	}
	return catalog.Problems{problem(field, fmt.Sprintf("%q is not known", value), "one of "+strings.Join(allowed, ", "))}
}

func (c Config) checkPlaces() (ps catalog.Problems) {
	switch {
	case c.Data == "":
		return catalog.Problems{problem("data", "there is no place to keep data: neither XDG_DATA_HOME nor HOME is set", "give one with --data")}
	case strings.ContainsRune(c.Data, 0):
		return catalog.Problems{problem("data", "a path cannot hold a NUL byte", "")}
	case filepath.Clean(c.Data) == "/":
		return catalog.Problems{problem("data", "the root directory is not a place for data", "use /var/lib/palisade")}
	}
	return nil
}

func (c Config) checkAddresses() (ps catalog.Problems) {
	const listenHint = "write 127.0.0.1:8080 for this box alone, or :8080 for every network"
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		ps = append(ps, problem("listen", fmt.Sprintf("%q is not an address of the form host:port", c.Listen), listenHint))
	case !portNumber(port):
		ps = append(ps, problem("listen", fmt.Sprintf("%q is not a port", port), "a number from 0 to 65535; 0 takes a free one"))
	case host != "" && !hostName(host):
		ps = append(ps, problem("listen", fmt.Sprintf("%q is neither a host name nor an address", host), listenHint))
	}
	if c.Advertise == "" {
		return ps
	}
	u, err := url.Parse(c.Advertise)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		ps = append(ps, problem("advertise", "must be a URL that begins with http:// or https:// and names a host", "like https://models.example.com"))
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(c.Advertise, "?#"):
		ps = append(ps, problem("advertise", fmt.Sprintf("%q has more than scheme, host and port", u.Redacted()), "write "+u.Scheme+"://"+u.Host))
	}
	return ps
}

func portNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

var (
	labels    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	onlyDigit = regexp.MustCompile(`^[0-9.]+$`)
)

// domainName reports whether s can stand in the DNS and is no IPv4 address, not even a broken one.
func domainName(s string) bool {
	return len(s) <= 253 && labels.MatchString(s) && !onlyDigit.MatchString(s)
}

func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return domainName(strings.ToLower(s))
}

func (c Config) checkTLS() (ps catalog.Problems) {
	ps = append(ps, oneOf("tls.mode", c.TLS.Mode, TLSAuto, TLSOff, TLSFiles)...)
	both := "a certificate and its key go together: set tls.cert and tls.key"
	if c.TLS.Cert == "" && (c.TLS.Key != "" || c.TLS.Mode == TLSFiles) {
		ps = append(ps, problem("tls.cert", "is missing", both))
	}
	if c.TLS.Key == "" && (c.TLS.Cert != "" || c.TLS.Mode == TLSFiles) {
		ps = append(ps, problem("tls.key", "is missing", both))
	}
	if c.TLS.Mode != TLSOff {
		return ps
	}
	if c.TLS.Cert != "" || c.TLS.Key != "" {
		ps = append(ps, warning("tls.mode", "is off: the certificate is not used", "set tls.mode: files"))
	}
	if !loopback(c.Listen) && !strings.HasPrefix(c.Advertise, "https:") {
		ps = append(ps, warning("tls.mode", "is off: tokens cross the network in the clear",
			"set tls.mode: auto, or put a proxy with TLS before it and set advertise: https://..."))
	}
	return ps
}

// checkDatabase looks at the kind alone: the store knows the rest. It never repeats the value, which may
// hold a password.
func checkDatabase(dsn string) catalog.Problems {
	const hint = "write sqlite:/path/to/palisade.db or postgres://USER:PASSWORD@HOST:5432/DATABASE"
	scheme, rest, ok := strings.Cut(dsn, ":")
	switch {
	case dsn == "":
		return nil
	case scheme == "sqlite" && ok:
		if strings.Trim(rest, "/") == "" || strings.Contains(rest, ":memory:") {
			return catalog.Problems{problem("database", "names no file", hint)}
		}
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(rest, "//"):
		if _, err := url.Parse(dsn); err != nil {
			return catalog.Problems{problem("database", "this URL cannot be read", hint+"; special characters in the password are written like %2F")}
		}
	default:
		return catalog.Problems{problem("database", "is neither a SQLite nor a PostgreSQL database", hint)}
	}
	return nil
}

var interfaceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$`)

func (n Network) check() (ps catalog.Problems) {
	if n.Bridge != "" && !interfaceName.MatchString(n.Bridge) {
		ps = append(ps, problem("network.bridge", fmt.Sprintf("%q cannot be the name of a bridge", n.Bridge), "at most 15 letters, digits, '-', '_' and '.'"))
	}
	if n.Pool.IsValid() && (!n.Pool.Addr().Is4() || n.Pool.Bits() > widestRange) {
		ps = append(ps, problem("network.pool", fmt.Sprintf("%s is no IPv4 range of at least /%d", n.Pool, widestRange), "like 10.200.0.0/16"))
	}
	if n.CIDR.IsValid() && (!n.CIDR.Addr().Is4() || n.CIDR.Bits() > narrowestCIDR) {
		ps = append(ps, problem("network.cidr", fmt.Sprintf("%s is no IPv4 range of at least /%d", n.CIDR, narrowestCIDR), "like 10.200.4.0/22"))
	}
	for _, f := range []struct {
		field string
		r     netip.Prefix
	}{{"network.pool", n.Pool}, {"network.cidr", n.CIDR}} {
		if f.r.IsValid() && f.r.Addr().Is4() && !f.r.Addr().IsPrivate() && !carrierNAT.Contains(f.r.Addr()) {
			ps = append(ps, warning(f.field, fmt.Sprintf("%s is not a private range: whoever has these addresses cannot be reached any more", f.r),
				"take a part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"))
		}
	}
	return ps
}

var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func (c Config) checkRouter() (ps catalog.Problems) {
	r := c.Router
	if r.Domain != "" && !domainName(strings.ToLower(strings.Trim(r.Domain, "."))) {
		ps = append(ps, problem("router.domain", fmt.Sprintf("%q is not a domain name", r.Domain), "like models.example.com: no scheme, no port, no *"))
	}
	for _, f := range []struct {
		field string
		value int64
	}{{"router.buffer_limit", r.BufferLimit}, {"router.buffer_total", r.BufferTotal}} {
		if f.value < 0 {
			ps = append(ps, problem(f.field, "cannot be without a limit: bodies are held in memory", "like 64m"))
		}
	}
	if r.BodyLimit < -1 {
		ps = append(ps, problem("router.body_limit", "cannot be negative", "-1 for no limit"))
	}
	if r.BufferLimit > 0 && r.BufferTotal > 0 && r.BufferLimit > r.BufferTotal {
		ps = append(ps, problem("router.buffer_limit", "one body may take more than all together (router.buffer_total)", "make it smaller"))
	}
	for _, f := range []struct {
		field string
		value time.Duration
	}{{"router.connect_timeout", r.ConnectTimeout}, {"router.silence", r.Silence}, {"router.body_silence", r.BodySilence}} {
		if f.value < 0 {
			ps = append(ps, problem(f.field, "cannot be negative", "like 30s"))
		}
	}
	if r.Silence > 0 && r.Silence < minSilence {
		ps = append(ps, problem("router.silence", fmt.Sprintf("%v is too short: an answer may take 10 minutes to begin", r.Silence), "at least 10m"))
	}
	return ps
}

func checkService(p sessions.Policy) (ps catalog.Problems) {
	ps = append(ps, oneOf("service.on_unhealthy", p.OnUnhealthy, sessions.OnUnhealthyReplace, sessions.OnUnhealthyHold)...)
	if p.UnhealthyTTL < 0 {
		ps = append(ps, problem("service.unhealthy_ttl", "cannot be negative", "like 60s; 0s replaces at once"))
	}
	if p.TerminationGrace < 0 {
		ps = append(ps, problem("service.termination_grace", "cannot be negative", "like 30s; 0s kills at once"))
	}
	if p.StartTimeout <= 0 {
		ps = append(ps, problem("service.start_timeout", "must be more than 0", "like 30m: large models load slowly"))
	}
	if p.MaxSurge < 0 {
		ps = append(ps, problem("service.max_surge", "cannot be negative", ""))
	}
	if p.MaxUnavailable < 0 {
		ps = append(ps, problem("service.max_unavailable", "cannot be negative", ""))
	}
	if p.MaxSurge == 0 && p.MaxUnavailable == 0 {
		ps = append(ps, problem("service.max_surge", "and max_unavailable are both 0: an update could never begin", "set max_surge: 1"))
	}
	if len(ps) == 0 && p.Check() != nil { // the room knows a rule that is not told apart above
		ps = append(ps, problem("service", p.Check().Error(), ""))
	}
	return ps
}
