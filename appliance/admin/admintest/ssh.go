package admintest

import (
	"context"
	"slices"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
)

// where is an SSH port that nobody listens on.
func where() api.SSH {
	return api.SSH{
		Listen:      "0.0.0.0:2222",
		HostKey:     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJjLzFCKgS7v5bgO2kb5zlbNi3Kj0fTTwzRtMfkpfh8p",
		Fingerprint: "SHA256:0Wn0kBfYl8d9sVn2bqZr4lcMTe2qk7dRyc4pV1rLrF8",
	}
}

// sshRows keeps keys in memory.
type sshRows struct {
	mu   sync.Mutex
	keys []authorized.Key
}

// SSHKeys implements authorized.Store.
func (r *sshRows) SSHKeys(context.Context) ([]authorized.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys), nil
}

// SaveSSHKey implements authorized.Store.
func (r *sshRows) SaveSSHKey(ctx context.Context, k authorized.Key) error {
	if err := r.DeleteSSHKey(ctx, k.ID); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, k)
	return nil
}

// DeleteSSHKey implements authorized.Store.
func (r *sshRows) DeleteSSHKey(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = slices.DeleteFunc(r.keys, func(k authorized.Key) bool { return k.ID == id })
	return nil
}
