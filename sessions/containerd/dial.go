package containerd

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

var _ sessions.Dialer = (*Runtime)(nil)

// Dial implements sessions.Dialer. It does not need containerd.
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	t, err := r.running(id)
	if err != nil {
		return nil, fmt.Errorf("port %d of %s: %w", port, id, err)
	}
	conn, err := network.Dial(ctx, fmt.Sprintf("/proc/%d/ns/net", t.PID), port)
	// Looked at afterwards: until here the number was that of no other process.
	if !t.alive() {
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
