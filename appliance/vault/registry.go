package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// registryPrefix begins the names of registries' log-ins: registry/ghcr.io.
const registryPrefix = "registry/"

// Registries are log-ins of image registries, kept in a vault.
type Registries struct{ vault *Vault }

// Registries returns the part of the vault that keeps registries' log-ins.
func (v *Vault) Registries() Registries { return Registries{v} }

// LogIn says that a log-in is kept.
type LogIn struct {
	Host      string
	User      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

type logIn struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Host is a registry's name as its log-in is kept: in small letters; docker's registry, which has several, by
// the one that images are named with.
func Host(name string) string {
	name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://"), "/"))
	switch name {
	case "index.docker.io", "registry-1.docker.io", "hub.docker.com", "index.docker.io/v1", "registry.hub.docker.com":
		return "docker.io"
	}
	return name
}

// Put keeps a log-in. An empty user means that password is an identity token.
func (r Registries) Put(ctx context.Context, host, user string, password Secret) error {
	host = Host(host)
	if host == "" || strings.ContainsAny(host, "/@?# ") {
		return fmt.Errorf("registry %q: %w: a host is wanted, as in ghcr.io or registry.example.com:5000", host, ErrInvalid)
	}
	if password == "" {
		return fmt.Errorf("registry %s: %w: the password is empty", host, ErrInvalid)
	}
	raw, err := json.Marshal(logIn{User: user, Password: password.Reveal()})
	if err != nil {
		return fmt.Errorf("registry %s: %w", host, err)
	}
	return r.vault.Put(ctx, registryPrefix+host, Secret(raw))
}

// Credentials returns what to log in to host with; "" and "" where nothing is kept.
func (r Registries) Credentials(ctx context.Context, host string) (user, secret string, err error) {
	kept, err := r.get(ctx, Host(host))
	if errors.Is(err, ErrNotFound) {
		return "", "", nil
	}
	return kept.User, kept.Password, err
}

func (r Registries) get(ctx context.Context, host string) (logIn, error) {
	var kept logIn
	raw, err := r.vault.Get(ctx, registryPrefix+host)
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal([]byte(raw.Reveal()), &kept); err != nil {
		return logIn{}, fmt.Errorf("registry %s: %w: give the log-in anew", host, ErrSealed) // its words may hold the secret
	}
	return kept, nil
}

// Delete forgets a log-in; ErrNotFound where there is none.
func (r Registries) Delete(ctx context.Context, host string) error {
	host = Host(host)
	err := r.vault.Delete(ctx, registryPrefix+host)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("a log-in for registry %s: %w", host, ErrNotFound)
	}
	return err
}

// List returns which log-ins are kept, by host. Of one that cannot be read the user is "".
func (r Registries) List(ctx context.Context) ([]LogIn, error) {
	entries, err := r.vault.List(ctx, registryPrefix)
	if err != nil {
		return nil, err
	}
	out := []LogIn{}
	for _, e := range entries {
		host := strings.TrimPrefix(e.Name, registryPrefix)
		kept, err := r.get(ctx, host)
		if err != nil && !errors.Is(err, ErrSealed) {
			return nil, err
		}
		out = append(out, LogIn{Host: host, User: kept.User, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt})
	}
	return out, nil
}
