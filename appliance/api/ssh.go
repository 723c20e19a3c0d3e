package api

import (
	"context"
	"net/http"
	"time"
)

// SSH says where people come into their sessions: ssh SESSION@HOST -p PORT.
type SSH struct {
	Listen      string `json:"listen,omitempty"`      // host:port that is listened on; left out: none
	Reason      string `json:"reason,omitempty"`      // why none is
	HostKey     string `json:"host_key,omitempty"`    // as in known_hosts: ssh-ed25519 AAAA...
	Fingerprint string `json:"fingerprint,omitempty"` // of the host key: SHA256:...
}

// SSHKey is a public key that opens sessions to a person, until it is removed.
type SSHKey struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Owner       string     `json:"owner"`             // who added it
	Project     string     `json:"project,omitempty"` // whose sessions it opens; left out: those of all
	Fingerprint string     `json:"fingerprint"`       // SHA256:...
	Key         string     `json:"key"`               // ssh-ed25519 AAAA...
	CreatedAt   time.Time  `json:"created_at"`
	LastUsed    *time.Time `json:"last_used,omitempty"` // accurate to a minute
}

// SSHKeyCreate adds a public key.
type SSHKeyCreate struct {
	Key         string `json:"key"`                    // a line as in a .pub file
	Name        string `json:"name,omitempty"`         // left out: the line's comment
	AllProjects bool   `json:"all_projects,omitempty"` // it opens the sessions of all projects, and not of the request's alone
}

// SSH asks where people come in by SSH.
func (c *Client) SSH(ctx context.Context) (SSH, error) {
	var out SSH
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/ssh"}, &out)
}

// SSHKeys lists the keys that open sessions, of all projects.
func (c *Client) SSHKeys(ctx context.Context) ([]SSHKey, error) {
	return list[SSHKey](ctx, c, "/ssh-keys", nil)
}

// AddSSHKey adds a public key.
func (c *Client) AddSSHKey(ctx context.Context, in SSHKeyCreate) (SSHKey, error) {
	var out SSHKey
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/ssh-keys", in: in}, &out)
}

// RemoveSSHKey ends a key by its id, fingerprint or name, at once: also who is connected with it.
func (c *Client) RemoveSSHKey(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/ssh-keys/" + seg(ref)}, nil)
}
