package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
)

// systemData is where the appliance of the whole box keeps its data.
const systemData = "/var/lib/palisade"

// defaultData is where an appliance of this user keeps its data; "" where the user has no place.
func (a *app) defaultData() string { return config.Default().Data }

// dataDir is the data directory that flags and environment name, "" where they name none.
func (a *app) dataDir() string {
	if a.data != "" {
		return a.data
	}
	return a.env("PALISADE_DATA")
}

// hostName is what to speak to: --host, --data, PALISADE_HOST, PALISADE_DATA, then this user's own
// appliance, then the box's where only that one is there.
func (a *app) hostName() (string, error) {
	socket := func(data string) (string, error) {
		abs, err := filepath.Abs(data)
		if err != nil {
			return "", fmt.Errorf("finding the data directory: %w", err)
		}
		return "unix://" + filepath.Join(abs, "palisade.sock"), nil
	}
	switch {
	case a.host != "":
		return a.host, nil
	case a.data != "":
		return socket(a.data)
	case a.env("PALISADE_HOST") != "":
		return a.env("PALISADE_HOST"), nil
	case a.env("PALISADE_DATA") != "":
		return socket(a.env("PALISADE_DATA"))
	}
	own := a.defaultData()
	if own == "" {
		own = systemData
	}
	if _, err := os.Lstat(filepath.Join(own, "palisade.sock")); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(systemData, "palisade.sock")); err == nil || errors.Is(err, os.ErrPermission) {
			return socket(systemData)
		}
	}
	return socket(own)
}

// client makes a client; it does not connect yet.
func (a *app) client() (*api.Client, error) {
	host, err := a.hostName()
	if err != nil {
		return nil, err
	}
	c, err := api.NewClient(api.Options{
		Host: host, Key: a.env("PALISADE_KEY"), Project: a.project, UserAgent: "palisade/" + a.Version.Version,
	})
	if err != nil {
		return nil, &usageError{message: err.Error()}
	}
	if a.env("PALISADE_KEY") != "" && strings.HasPrefix(host, "http://") && !loopback(host) {
		a.notef("palisade: warning: the API key goes to %s unencrypted; use https", host)
	}
	return c, nil
}

func loopback(host string) bool {
	name := strings.TrimPrefix(host, "http://")
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// hinter is an error that knows what to do about it.
type hinter interface {
	error
	Hint() string
}

// hinted is an error of a command with what to do about it: it goes before what the error beneath advises.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }
func (h *hinted) Hint() string  { return h.hint }

// hintFor says what to do about an error; "" where nothing is known.
func (a *app) hintFor(err error) string {
	if h, ok := errors.AsType[*hinted](err); ok && h.hint != "" { // by the command, which knows more than the error beneath
		return h.hint
	}
	if p, ok := errors.AsType[*api.Problem](err); ok {
		if p.Kind() == api.KindUnauthorized && a.env("PALISADE_KEY") == "" {
			return "set PALISADE_KEY to an API key; on the appliance's own box one is made with: palisade key create NAME"
		}
		return p.Hint
	}
	if c, ok := errors.AsType[*api.ConnectError](err); ok {
		return a.connectHint(c)
	}
	if h, ok := errors.AsType[hinter](err); ok {
		return h.Hint()
	}
	return ""
}

func (a *app) connectHint(e *api.ConnectError) string {
	socket, local := strings.CutPrefix(e.Host, "unix://")
	switch {
	case local && (errors.Is(e, syscall.ENOENT) || errors.Is(e, syscall.ECONNREFUSED)):
		start := "palisade serve"
		if data := filepath.Dir(socket); data != a.defaultData() {
			start += " --data " + data
		}
		return "no daemon runs there; start it with: " + start + "\n" +
			"or, for one that runs elsewhere, set --data, or PALISADE_HOST and PALISADE_KEY"
	case local && (errors.Is(e, syscall.EACCES) || errors.Is(e, syscall.EPERM)):
		return "this user may not use that socket: try with sudo, or set PALISADE_HOST and PALISADE_KEY\n" +
			"(an API key is made, by someone who may, with: palisade key create NAME)"
	case errors.Is(e, syscall.ECONNREFUSED):
		return "nothing listens there: check the port in PALISADE_HOST, and that the daemon runs"
	case strings.Contains(e.Error(), "server gave HTTP response to HTTPS client"):
		return "the daemon speaks plain HTTP there: use http:// in PALISADE_HOST"
	}
	if _, ok := errors.AsType[*net.DNSError](e); ok {
		return "check the host name in PALISADE_HOST"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e); ok {
		return "the certificate is signed by nobody this machine trusts: name its authority's file in SSL_CERT_FILE"
	}
	if _, ok := errors.AsType[x509.HostnameError](e); ok {
		return "use the host name that the certificate is for"
	}
	return ""
}
