package containerd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// How long a registry may keep silent.
const (
	connectIn = 20 * time.Second
	silentFor = 60 * time.Second
	helperIn  = 30 * time.Second // docker's credential helpers are programs, which may ask a person
)

// hostDirs is where operators say how registries are reached: mirrors and certificates, in containerd's and docker's
// own forms.
var hostDirs = [...]string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}

// registry is the way to one image's registry.
type registry struct {
	host     string // docker.io
	loggedIn bool   // there was something to log in with
	resolver remotes.Resolver
}

// registryOf makes the way to host. A plain-HTTP registry is spoken to on loopback, and where the settings name it;
// TLS is tried first there, too.
// Mirrors are asked before it.
func (r *Runtime) registryOf(ctx context.Context, host string, mirrors []Mirror) (*registry, error) {
	user, secret, err := r.credentials(ctx, host)
	if err != nil {
		return nil, err
	}
	options := config.HostOptions{
		HostDir:      hostDir,
		UpdateClient: func(c *http.Client) error { return r.patient(c, host) },
		Credentials: func(asked string) (string, string, error) {
			// A registry may send us to another host for a token or a layer: that one is not told the secret.
			if !sameRegistry(asked, host) {
				return "", "", nil
			}
			return user, secret, nil
		},
	}
	if slices.Contains(r.cfg.PlainHTTP, host) {
		options.DefaultScheme, options.DefaultTLS = "http", &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &registry{
		host: host, loggedIn: secret != "",
		resolver: docker.NewResolver(docker.ResolverOptions{Hosts: mirrored(mirrors, config.ConfigureHosts(ctx, options))}),
	}, nil
}

func sameRegistry(asked, host string) bool {
	return asked == host || host == "docker.io" && asked == "registry-1.docker.io"
}

func hostDir(host string) (string, error) {
	for _, dir := range hostDirs {
		found, err := config.HostDirFromRoot(dir)(host)
		if err == nil || !errdefs.IsNotFound(err) {
			return found, err
		}
	}
	return "", nil
}

// credentials for host: those of this appliance, else docker's own.
func (r *Runtime) credentials(ctx context.Context, host string) (user, secret string, err error) {
	if r.cfg.Credentials != nil {
		user, secret, err = r.cfg.Credentials(ctx, host)
		if err != nil {
			return "", "", fmt.Errorf("looking for the log-in of registry %s: %w", host, err)
		}
		if secret != "" {
			return user, secret, nil
		}
	}
	user, secret, err = dockerCredentials(ctx, host)
	if err != nil {
		return "", "", &Error{
			Err:  fmt.Errorf("docker's settings name a log-in for registry %s that cannot be had: %w", host, err),
			What: "palisade registry login " + host + " makes one of the appliance's own",
		}
	}
	return user, secret, nil
}

// dockerCredentials reads ~/.docker/config.json, and asks the credential helpers that it names.
func dockerCredentials(ctx context.Context, host string) (user, secret string, err error) {
	if host == "docker.io" {
		host = name.DefaultRegistry
	}
	where, err := name.NewRegistry(host, name.WeakValidation)
	if err != nil {
		return "", "", nil // docker has no log-in for what it cannot name
	}
	type answer struct {
		found *authn.AuthConfig
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		auth, err := authn.Resolve(ctx, authn.DefaultKeychain, where)
		if err != nil {
			got <- answer{err: err}
			return
		}
		found, err := authn.Authorization(ctx, auth)
		got <- answer{found, err}
	}()
	waiting, cancel := context.WithTimeoutCause(ctx, helperIn, fmt.Errorf("its credential helper did not answer in %v", helperIn))
	defer cancel()
	select {
	case a := <-got:
		if a.err != nil {
			return "", "", a.err
		}
		if a.found.IdentityToken != "" {
			return "", a.found.IdentityToken, nil
		}
		return a.found.Username, a.found.Password, nil
	case <-waiting.Done():
		return "", "", context.Cause(waiting)
	}
}

// patient gives a registry's client its bounds: one that goes silent is given up, one that is slow is not.
func (r *Runtime) patient(c *http.Client, host string) error {
	transport, ok := c.Transport.(*http.Transport)
	if !ok {
		return errors.New("a registry's transport is not what it was")
	}
	dialer := &net.Dialer{Timeout: connectIn, KeepAlive: 30 * time.Second}
	transport.ResponseHeaderTimeout, transport.DialContext = silentFor, dialer.DialContext
	if r.cfg.Reach != nil {
		r.cfg.Reach(transport, host)
	}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &idleConn{conn}, nil
	}
	return nil
}

// idleConn ends when nothing comes for long.
type idleConn struct{ net.Conn }

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silentFor)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
