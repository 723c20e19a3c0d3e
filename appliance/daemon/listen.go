package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// SocketName is the unix socket in the data directory over which the box's own command line speaks.
const SocketName = "palisade.sock"

// listenTCP opens the appliance's port.
func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, hinted{fmt.Errorf("listening on %s: the port is taken by another program", addr), "choose another one with --listen HOST:PORT, or find who has it with `ss -ltnp`"}
	case errors.Is(err, syscall.EACCES):
		return nil, hinted{fmt.Errorf("listening on %s: %w", addr, err), "ports below 1024 need root; choose another one with --listen HOST:PORT"}
	case err != nil:
		return nil, hinted{fmt.Errorf("listening on %s: %w", addr, err), "give an address of this box with --listen HOST:PORT"}
	}
	return l, nil
}

// listenSocket opens the unix socket in dir. The data directory's lock is held, so a socket that is
// there is left over from a daemon that was killed. Whoever reaches the socket may do everything, and a data
// directory that was there before may be open to others: so it is made in a directory that nobody else
// enters, closed, and only then put in its place. A path to a socket may have 107 bytes at most and a data
// directory may be deeper, so it is bound through a descriptor.
func listenSocket(ctx context.Context, dir string) (net.Listener, error) {
	path, private := filepath.Join(dir, SocketName), filepath.Join(dir, SocketName+".new")
	if err := errors.Join(os.RemoveAll(private), os.Mkdir(private, 0o700)); err != nil {
		return nil, fmt.Errorf("making a place for the socket: %w", err)
	}
	defer os.RemoveAll(private)
	d, err := os.Open(private)
	if err != nil {
		return nil, fmt.Errorf("making a place for the socket: %w", err)
	}
	defer d.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), SocketName))
	if err != nil {
		return nil, fmt.Errorf("opening the socket %s: %w", path, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // by then its name leads nowhere; the next daemon takes its place
	}
	made := filepath.Join(private, SocketName)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("putting the socket %s in its place: %w", path, err)
	}
	return l, nil
}
