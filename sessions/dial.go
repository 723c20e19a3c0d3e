package sessions

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Kinds of errors of a Dialer.
var (
	// ErrSharedNetwork: the instance has no network of its own. Its loopback is the box's.
	ErrSharedNetwork = errors.New("shares the box's network")
	// ErrRefused: nobody listens on that port, or does not take the connection in time.
	ErrRefused = errors.New("nobody listens there")
)

// Dialer is a Runtime that reaches the ports of its instances from inside.
type Dialer interface {
	// Dial connects to a port of a running instance at its own loopback, so that what listens on localhost alone is
	// reached, and nothing outside of the instance is. ErrSharedNetwork where it has no network of its own; ErrNoInstance
	// where it does not run. Nobody listening is the kernel's ECONNREFUSED.
	Dial(ctx context.Context, id string, port int) (net.Conn, error)
}

// dialPatience bounds one connection: the other end is on this box, and answers at once or is stuck.
const dialPatience = 10 * time.Second

// Dial connects to a port of a running session, of whichever type, as a program inside of it would at 127.0.0.1. A session
// that shares the box's network is reached at the ports alone that its owner has declared: any other may be somebody
// else's. ErrInvalid, ErrNotFound, ErrForbidden (it does not run, or may not be reached), ErrRefused.
func (m *Manager) Dial(ctx context.Context, project, ref string, port int) (net.Conn, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port %d: %w: a number from 1 to 65535", port, ErrInvalid)
	}
	if s.Status != StatusRunning {
		return nil, NotRunning(s)
	}
	dialer, ok := m.Runtime.(Dialer)
	if !ok {
		return nil, fmt.Errorf("port %d of session %s: %w", port, s.Name, ErrNotSupported)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialPatience, fmt.Errorf("%w: no answer within %s", ErrRefused, dialPatience))
	defer cancel()
	conn, err := dialer.Dial(ctx, s.ID, port)
	shared := errors.Is(err, ErrSharedNetwork)
	if shared {
		if !slices.Contains(s.declaredPorts(), port) {
			return nil, &undeclaredError{session: s.Name, port: port}
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	switch {
	case errors.Is(err, ErrNoInstance):
		if now, gone := m.Session(project, s.ID); gone == nil {
			s = now
		}
		return nil, NotRunning(s)
	case errors.Is(err, syscall.ECONNREFUSED) && shared:
		return nil, fmt.Errorf("port %d of session %s, which %w: %w", port, s.Name, ErrSharedNetwork, ErrRefused)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("port %d of session %s: %w", port, s.Name, ErrRefused)
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("port %d of session %s: %w", port, s.Name, err)
	}
	return conn, nil
}

// declaredPorts are those that its owner, or its engine's variant, has said are the session's.
func (s Session) declaredPorts() []int {
	ports := slices.Clone(s.Task.Ports)
	for _, p := range s.Launch.Processes {
		if p.Port > 0 {
			ports = append(ports, p.Port)
		}
	}
	return ports
}

// undeclaredError refuses a port that may be anybody's.
type undeclaredError struct {
	session string
	port    int
}

func (e *undeclaredError) Error() string {
	return fmt.Sprintf("port %d of session %s: it shares the box's network, and has not declared that port", e.port, e.session)
}

func (e *undeclaredError) Unwrap() error { return ErrForbidden }

// Hint says what to do.
func (e *undeclaredError) Hint() string {
	return fmt.Sprintf("make the session with --preopen %d, or run the appliance as root: then sessions have networks of their own", e.port)
}
