package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/palisade-run/palisade/sessions/network"
)

// Config of a Runtime.
type Config struct {
	Address       string  // containerd's socket
	Root          string  // own directory: records, logs, what sessions see of it
	Namespace     string  // containerd's; default "palisade"
	Snapshotter   string  // default "overlayfs"; "native" where containerd has none
	Init          []byte  // the static executable of sessions/pid1/palisade-init
	Network       Network // nil: sessions share the box's network, at 127.0.0.1
	LogFiles      int     // of one session; default 4
	LogSize       int64   // bytes of each; default 8 MiB
	UserNamespace bool    // a session's root is nobody on the box
	// Credentials returns what to log in to the registry host with, "" and "" for nothing. It may be nil.
	Credentials func(ctx context.Context, host string) (user, secret string, err error)
	PlainHTTP   []string // registries, HOST or HOST:PORT, that may be spoken to without TLS; those on loopback always may
	Log         *slog.Logger
}

// Network gives each session a network of its own. *network.Network is one.
type Network interface {
	Create(id string) (network.Attachment, error)
	Remove(id string) error
	List() ([]network.Attachment, error)
}

// Runtime runs sessions as containers.
type Runtime struct {
	client *client.Client
	cfg    Config
	log    *slog.Logger
	pulls  pulls
}

// New connects to containerd, and settles what a daemon that was cut short left behind. Sessions that run
// go on running.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	root, err := filepath.Abs(cfg.Root)
	if err != nil || cfg.Root == "" {
		return nil, fmt.Errorf("opening the containerd runtime: %w", cmp.Or(err, errors.New("a directory of its own is wanted")))
	}
	cfg.Root = root
	cfg.Namespace = cmp.Or(cfg.Namespace, "palisade")
	cfg.LogFiles, cfg.LogSize = cmp.Or(cfg.LogFiles, 4), cmp.Or(cfg.LogSize, 8<<20)
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("opening the containerd runtime: %w", err)
	}
	c, err := client.New(cfg.Address, client.WithDefaultNamespace(cfg.Namespace), client.WithDefaultRuntime("io.containerd.runc.v2"))
	if err != nil {
		return nil, fmt.Errorf("opening the containerd runtime: %w", down(err))
	}
	r := &Runtime{client: c, cfg: cfg, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))}
	if err := r.settleImages(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the containerd runtime: %w", err), c.Close())
	}
	return r, nil
}

// Close lets go of the connection. Sessions go on running.
func (r *Runtime) Close() error { return r.client.Close() }

// in is ctx in our namespace of containerd: functions of its client that send nothing look for it there.
func (r *Runtime) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, r.cfg.Namespace)
}
