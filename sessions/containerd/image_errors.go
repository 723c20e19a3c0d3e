package containerd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/palisade-run/palisade/sessions"
)

// statusOf is the HTTP status with which a registry refused, 0 where it did not.
func statusOf(err error) int {
	if status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok {
		return status.StatusCode
	}
	return 0
}

// passing reports whether the same pull may work a moment later.
func passing(err error) bool {
	if noSpace(err) || errors.Is(err, sessions.ErrImagePlatform) {
		return false
	}
	if status := statusOf(err); status != 0 {
		return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusRequestedRangeNotSatisfiable
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok || errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// noSpace reports whether containerd's disk is full. Its errors come as text.
func noSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error()) ||
		strings.Contains(err.Error(), syscall.EDQUOT.Error()))
}

// diskFull is an error that says so, whatever containerd's own says.
func diskFull() error {
	return &Error{
		Err:  fmt.Errorf("the disk on which containerd keeps images is full: %w", syscall.ENOSPC),
		What: "free some space: palisade image prune removes images that nothing uses. What had come was removed",
	}
}

// afar marks what is wrong elsewhere, and may be right later, without a word more.
type afar struct{ error }

func (a afar) Unwrap() []error { return []error{a.error, sessions.ErrUnavailable} }

// far is an Error of a registry's, or of the way to it.
func far(hint, format string, args ...any) error {
	return &Error{Err: afar{fmt.Errorf(format, args...)}, What: hint}
}

// explain says in people's words why a pull failed. The order matters: what the pull itself has found comes
// first, then the disk, then what the registry said, then the way to it.
func (f *fetching) explain(err error) error {
	if _, said := errors.AsType[*Error](err); said || errors.Is(err, errNobodyWaits) || errors.Is(err, context.Canceled) {
		return err
	}
	if noSpace(err) {
		return diskFull()
	}
	if errdefs.IsUnavailable(err) || strings.Contains(err.Error(), "failed to send write") { // to containerd, whose words these are
		return away(err)
	}
	host, login, loggedIn := "the registry", "", false
	if f.registry != nil {
		host, login, loggedIn = f.registry.host, "palisade registry login "+f.registry.host, f.registry.loggedIn
	}
	f.mu.Lock()
	resolved := f.resolved
	f.mu.Unlock()
	status := statusOf(err)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || errors.Is(err, docker.ErrInvalidAuthorization):
		if loggedIn {
			return &Error{fmt.Errorf("%w: %s refuses the log-in that is kept for it, or has nothing of that name for it", sessions.ErrImageDenied, host), login}
		}
		return &Error{fmt.Errorf("%w: %s has nothing of that name without a log-in", sessions.ErrImageDenied, host), login}
	case status == http.StatusTooManyRequests:
		return far("wait some hours, or log in for more: "+login, "%s allows no more pulls for now", host)
	case status == http.StatusNotFound || errdefs.IsNotFound(err):
		if resolved {
			return far("push it there again", "%s lacks a part of the image: %w", host, err)
		}
		return &Error{fmt.Errorf("%w: %s knows nothing of that name and tag", sessions.ErrNoImage, host), "check the name and the tag"}
	case status != 0:
		return far("try again later; the fault is with the registry", "%s failed: %w", host, err)
	}
	return f.unreachable(host, err)
}

// unreachable is explain for the way to the registry.
func (f *fetching) unreachable(host string, err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return far("put its authority's certificate into "+hostDirs[0]+"/"+host+"/ca.crt", "%s shows a certificate that this box does not trust: %w", host, err)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return far("check the registry's name, and that this box can look up names", "registry %s cannot be found: %w", host, dns)
	}
	if errors.Is(err, http.ErrSchemeMismatch) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return far("give it a certificate, or list it in the settings as one that may be spoken to without",
			"%s speaks plain HTTP, over which anybody on the way may change an image: %w", host, err)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return far("check the name and the network; an image may also be brought in from a file: palisade image import",
			"registry %s cannot be reached: %w", host, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return far("try again later", "%s broke off, %d times: %w", host, fetchAttempts, err)
	}
	return err
}

// quiet makes containerd's client say nothing on stderr: what goes wrong comes as an error, too.
func quiet(ctx context.Context) context.Context {
	return log.WithLogger(ctx, &log.Entry{Logger: blank(log.L.Logger)})
}

// blank is a zero value of a type that must not be named here. Of a logger, that is one that keeps silent.
func blank[T any](*T) *T { return new(T) }
