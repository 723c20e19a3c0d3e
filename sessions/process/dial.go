package process

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

var _ sessions.Dialer = (*Runtime)(nil)

// Dial implements sessions.Dialer. The way into the network is by the session's supervisor, which lives as long as the
// session does: the namespace's name goes where a daemon has a mount namespace of its own.
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	if err := r.mustRun(id); err != nil {
		return nil, fmt.Errorf("port %d of %s: %w", port, id, err)
	}
	rec, _, err := readJSON[record](r.dir(id), fileRecord)
	if err == nil && rec.Shared {
		err = sessions.ErrSharedNetwork
	}
	if err != nil {
		return nil, fmt.Errorf("port %d of %s: %w", port, id, err)
	}
	st, underWay, err := r.state(ctx, id)
	if err != nil || !underWay {
		return nil, fmt.Errorf("port %d of %s: %w", port, id, errors.Join(err, sessions.ErrNoInstance))
	}
	conn, err := network.Dial(ctx, fmt.Sprintf("/proc/%d/ns/net", st.Supervisor), port)
	// Looked at afterwards: until here the number was that of no other process.
	if !isSupervisor(st.Supervisor, r.dir(id)) {
		if err == nil {
			conn.Close()
		}
		return nil, fmt.Errorf("port %d of %s: it does not run any more: %w", port, id, sessions.ErrNoInstance)
	}
	if errors.Is(err, network.ErrShared) {
		err = sessions.ErrSharedNetwork
	}
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	return conn, nil
}
