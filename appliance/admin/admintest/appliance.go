// Package admintest owns an appliance without engines for tests of what speaks to the API: everything behind
// admin.New is the real thing, kept in memory and in one directory, but for the manager of services, which follows a
// script that the image's name chooses.
package admintest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions/terminal"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/apps"
	"github.com/palisade-run/palisade/training/checkpoints"
	"github.com/palisade-run/palisade/training/figures"
)

// Appliance is one that tests speak to.
type Appliance struct {
	Manager   *Manager
	Folders   *folders.Keeper
	Tokens    *router.Tokens
	Keys      *keys.Keyring
	Users     *people.Book
	Project   *people.Projects
	Limits    *people.LimitBook
	Usage     *usage.Meter
	Pool      *Pool
	Images    *Images
	Live      *record.Live
	Capture   *record.Captures
	Scaling   *Scaling
	Traces    *Traces
	Places    *Places
	Boxes     *Boxes
	Backups   *Backups
	Pipelines *Pipelines
	Handler   http.Handler
	deps      admin.Deps

	Lines     *admin.Lines
	Terminals *terminal.Keeper
	Apps      *apps.Apps
	Points    *checkpoints.Keep
	Installs  *install.Manager
}

// New makes an appliance that keeps its folders below dir.
func New(ctx context.Context, dir string, log *slog.Logger) (*Appliance, error) {
	store := &memory{}
	tokens, err := router.NewTokens(ctx, store, time.Now)
	if err != nil {
		return nil, fmt.Errorf("opening tokens: %w", err)
	}
	ring, err := keys.Open(ctx, store, time.Now)
	if err != nil {
		return nil, fmt.Errorf("opening keys: %w", err)
	}
	sshKeys, err := authorized.Open(ctx, &sshRows{}, time.Now, nil)
	if err != nil {
		return nil, err
	}
	secrets, err := vault.Open(ctx, store, filepath.Join(dir, "vault.key"), time.Now)
	if err != nil {
		return nil, err
	}
	users, err := people.Open(ctx, people.Around{
		Store: store, Secrets: secrets, Hasher: people.Argon2{Memory: 64, Time: 1, Threads: 1}, Config: people.DefaultConfig(), Now: time.Now, Log: log, Taken: ring.Own,
	})
	if err != nil {
		return nil, err
	}
	projects, err := people.OpenProjects(ctx, store, time.Now)
	if err != nil {
		return nil, err
	}
	for _, name := range Projects() {
		if _, err := projects.Create(ctx, name, "", "test"); err != nil {
			return nil, err
		}
	}
	limits, err := people.OpenLimits(ctx, store, nil, time.Now)
	if err != nil {
		return nil, err
	}
	a := &Appliance{Tokens: tokens, Keys: ring, Users: users, Project: projects, Limits: limits, Pipelines: &Pipelines{}, Pool: &Pool{ledger: accel.NewLedger()}, Images: &Images{}, Traces: &Traces{}, Places: newPlaces(), Boxes: newBoxes(), Backups: &Backups{backup.Shelf{Dir: filepath.Join(dir, "backups")}}}
	a.Usage = usage.NewMeter(&usageRows{}, time.Now, log)
	a.Live, a.Capture = record.NewLive(time.Now()), record.NewCaptures()
	a.Folders = folders.New(store, filepath.Join(dir, "folders"), func(id string) (string, bool) { return a.Manager.uses(id) })
	a.Manager = newManager(a.Folders)
	a.Scaling = newScaling(a.Manager.has)
	a.Points = checkpoints.New(filepath.Join(dir, "checkpoints"))
	a.Lines, a.Terminals = admin.NewLines(), terminal.NewKeeper()
	if a.Apps, err = newApps(a, log); err != nil {
		return nil, err
	}
	catalogs := newCatalogs(dir, log)
	if a.Installs, err = a.newInstalls(ctx, recipes{catalogs}, kept{secrets.Named()}, dir, log); err != nil {
		return nil, err
	}
	a.deps = admin.Deps{
		Services: a.Manager, Revisions: a.Manager, Sessions: a.Manager, People: training.NewDesk(a.Manager, a.Folders), Lines: a.Lines, Terminals: a.Terminals, Apps: a.Apps, Folders: a.Folders, Files: a.Folders,
		Tokens: tokens, Keys: ring, Users: users, Projects: projects, Limits: limits, LimitUse: unused{}, SSHKeys: sshKeys, SSH: where, Usage: a.Usage, Accounts: sessionRows{a.Manager}, Figures: figures.New(a.Points), Live: a.Live, Captures: a.Capture, Traces: a.Traces, Autoscaling: a.Scaling, Pipelines: a.Pipelines, Jobs: a.Pipelines, Pool: a.Pool, Queue: a.Pool, Images: a.Images, Registries: secrets.Registries(), Secrets: secrets.Named(), Audit: audit.New(store, filepath.Join(dir, "audit.head"), time.Now, log), Cluster: a.Boxes, Backups: a.Backups, Catalogs: catalogs, Recipes: recipes{catalogs}, Planning: oneCard{}, Installs: a.Installs, Models: a.Installs, ModelBytes: a.Installs, Runtimes: runtimes, Doctor: doctor, Restart: restart, Settings: settings,
		PublicURL: "http://127.0.0.1:8080",
		ByHand: func(host string) error {
			if host == "169.254.169.254" {
				return errors.New("a cloud tells a machine its secrets there")
			}
			return nil
		},
		Version: api.Version{Version: "0.0.0-test", GoVersion: "go", StartedAt: time.Now().UTC()},
		Log:     log, Now: time.Now,
	}
	a.Handler = admin.New(a.deps)
	return a, nil
}

// Rebuild makes the handler anew, of what it works with as change leaves it.
func (a *Appliance) Rebuild(change func(*admin.Deps)) {
	change(&a.deps)
	a.Handler = admin.New(a.deps)
}

// Projects are those that there are beside the default one.
func Projects() []string { return []string{"red", "blue", "vision", "research", "other"} }

// Rights say what somebody may there.
func (a *Appliance) Rights() admin.Rights {
	return admin.Rights{Keys: a.Keys, Users: a.Users, Parts: a.Project}
}

func runtimes() []api.Runtime {
	return []api.Runtime{
		{Name: "custom", Description: "what the model definition says"},
		{Name: "llama-cpp", Port: 8080, Health: "/health", Command: []string{"llama-server", "-m", "FIRST.gguf"}},
		{Name: "vllm", Port: 8000, Health: "/health", Command: []string{"vllm", "serve", "{model_path}"}},
	}
}

func settings() []api.Setting {
	return []api.Setting{
		{Name: "listen", Value: "127.0.0.1:8080", From: api.SettingDefault}, {Name: "database", Value: "postgres://palisade:***@db/palisade", From: api.SettingFile, Hidden: true},
		{Name: "router.domain", Value: "models.example", From: api.SettingFlag},
		{Name: "backup.schedule", Value: "30 3 * * *", From: api.SettingFile}, {Name: "backup.keep", Value: "7", From: api.SettingDefault}, {Name: "backup.recipients", Value: "", From: api.SettingDefault},
	}
}

func restart(_ context.Context, by string) (api.Restarted, error) {
	if by == "" {
		return api.Restarted{}, errors.New("nobody asked for it")
	}
	return api.Restarted{PID: 4711, Version: "1.5.0", Before: "0.0.0-test", Took: 0.0512, InFlight: 3}, nil
}

func doctor(context.Context) []api.Check {
	return []api.Check{
		{Name: "runtime", Status: api.CheckOK, Detail: "process"},
		{Name: "disk", Status: api.CheckWarning, Detail: "3 GiB left", Hint: "free some space"},
	}
}

// memory is a store of rows.
type memory struct {
	mu      sync.Mutex
	folders []folders.Folder
	grants  []folders.Grant
	tokens  map[string]router.Token
	keys    map[string]keys.Key
	secrets map[string]vault.Row
	records []audit.Record
	users   map[string]people.User
	logins  map[string]people.Session

	projects map[string]people.Project
	members  map[[2]string]people.Membership
	limits   map[[2]string]people.LimitRow
}

func (m *memory) Folders(context.Context) ([]folders.Folder, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]folders.Folder{}, m.folders...), nil
}

func (m *memory) SaveFolder(_ context.Context, f folders.Folder) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken(f) {
		return folders.ErrExists
	}
	m.folders = append(m.folders, f)
	return nil
}

func (m *memory) taken(f folders.Folder) bool {
	return slices.ContainsFunc(m.folders, func(o folders.Folder) bool {
		return o.ID != f.ID && o.Project == f.Project && o.Name == f.Name && o.TrashedAt.IsZero() && f.TrashedAt.IsZero()
	})
}

func (m *memory) UpdateFolder(_ context.Context, f folders.Folder) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken(f) {
		return folders.ErrExists
	}
	for i := range m.folders {
		if m.folders[i].ID == f.ID {
			m.folders[i] = f
			return nil
		}
	}
	return folders.ErrNotFound
}

func (m *memory) Grants(context.Context) ([]folders.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.grants), nil
}

func (m *memory) SaveGrant(ctx context.Context, g folders.Grant) error {
	_ = m.DeleteGrant(ctx, g.FolderID, g.Person, g.Project)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grants = append(m.grants, g)
	return nil
}

func (m *memory) DeleteGrant(_ context.Context, id, person, project string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.grants)
	m.grants = slices.DeleteFunc(m.grants, func(g folders.Grant) bool { return g.FolderID == id && g.Person == person && g.Project == project })
	if len(m.grants) == before {
		return folders.ErrNotFound
	}
	return nil
}

func (m *memory) DeleteFolder(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, f := range m.folders {
		if f.ID == id {
			m.folders = append(m.folders[:i], m.folders[i+1:]...)
			return nil
		}
	}
	return folders.ErrNotFound
}

func (m *memory) Tokens(context.Context) ([]router.Token, error) { return nil, nil }

func (m *memory) SaveToken(_ context.Context, t router.Token) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		m.tokens = map[string]router.Token{}
	}
	m.tokens[t.ID] = t
	return nil
}

func (m *memory) TouchTokens(context.Context, map[string]time.Time) error {
	return errors.New("not kept in memory")
}

func (m *memory) Keys(context.Context) ([]keys.Key, error) { return nil, nil }

func (m *memory) SaveKey(_ context.Context, k keys.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[string]keys.Key{}
	}
	m.keys[k.ID] = k
	return nil
}
