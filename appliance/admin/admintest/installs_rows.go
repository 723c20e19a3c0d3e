package admintest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/install"
)

// installRows is an install.Store.
type installRows struct {
	mu       sync.Mutex
	installs map[string]install.Install
	models   map[string]install.Model
}

// Installs implements install.Store.
func (r *installRows) Installs(context.Context) ([]install.Install, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.installs), func(a, b install.Install) int { return a.CreatedAt.Compare(b.CreatedAt) }), nil
}

// SaveInstall implements install.Store.
func (r *installRows) SaveInstall(_ context.Context, in install.Install) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.installs[in.ID] = in
	return nil
}

// DeleteInstall implements install.Store.
func (r *installRows) DeleteInstall(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.installs, id)
	return nil
}

// Models implements install.Store.
func (r *installRows) Models(context.Context) ([]install.Model, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.models), func(a, b install.Model) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	}), nil
}

// SaveModel implements install.Store.
func (r *installRows) SaveModel(_ context.Context, m install.Model) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.models[m.ID] = m
	return nil
}

// DeleteModel implements install.Store.
func (r *installRows) DeleteModel(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.models, id)
	return nil
}

// Places are where files come from: a few places that hold them in memory, by what stands behind a ref's scheme.
type Places struct {
	mu      sync.Mutex
	files   map[string]map[string]string
	changes map[string]int
}

func newPlaces() *Places {
	return &Places{changes: map[string]int{}, files: map[string]map[string]string{
		"a/small":     {"model.safetensors": "the weights of small", "config.json": "{}"},
		"a/slow":      {Slow: "it takes forever"},
		"a/words":     {"words.txt": "neither weights nor anything"},
		"/srv/q4":     {"q4.gguf": "weights that a box has"},
		"/srv/nobody": nil,
	}}
}

// Put puts a file into a place, which has changed then.
func (p *Places) Put(where, name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files[where] == nil {
		p.files[where] = map[string]string{}
	}
	p.files[where][name] = text
	p.changes[where]++
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// kept are the secrets of a vault as installs see them.
type kept struct{ named vault.Named }

// Has implements install.Secrets.
func (k kept) Has(ctx context.Context, name string) (bool, error) {
	_, err := k.named.Get(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
