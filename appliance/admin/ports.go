package admin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/usage"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/apps"
)

// Deps are what the API shows, and who may see it.
type Deps struct {
	Services  Services
	Revisions Revisions
	Sessions  Sessions
	People    People
	Lines     *Lines
	Terminals Terminals
	Apps      Apps
	Folders   Folders
	Files     Files
	Tokens    Tokens
	Keys      Keys
	Users     Users
	// HostSessions: whoever is a member of a project may run plain processes of the box.
	HostSessions bool
	// Providers is nil where nobody but the appliance itself proves users.
	Providers Providers
	// Advertised is the URL by which clients are to reach the appliance, without a slash at the end; "": as they do.
	Advertised string
	Projects   Projects
	SSHKeys    SSHKeys
	Limits     Limits
	LimitUse   LimitUse
	// SSH says where people come into their sessions by SSH.
	SSH func() api.SSH
	// Usage is nil where nothing is counted.
	Usage Usage
	// Prices are nil where nothing is charged.
	Prices *usage.Prices
	// Accounts is nil where it is not counted what sessions hold.
	Accounts Accounts
	// Idle is nil where no session is ended for want of use.
	Idle Idle
	// Figures is nil where those that sessions write of themselves are not read.
	Figures Figures
	// Live and Captures are nil where requests are not watched.
	Live     Live
	Captures Captures
	// Traces is nil where what comes to services is not recorded.
	Traces Traces
	// Autoscaling is nil where nothing is scaled by itself.
	Autoscaling Autoscaling
	// Calibrations is nil where services are not measured.
	Calibrations Calibrations
	Pipelines    Pipelines
	Jobs         Jobs
	// Installs and Models are nil where no models are installed.
	Installs Installs
	Models   Models
	// Pool and Queue are nil where nothing is placed: then there are no nodes and no devices, and nobody waits.
	Pool  Pool
	Queue Queue
	// Images is nil where the runtime keeps none.
	Images Images
	// Bundles and ModelBytes are nil where no models are kept.
	Bundles    Bundles
	ModelBytes ModelBytes
	Registries Registries
	// Registry says why who does not own the box may not name a host, of a registry or of files; nil: they may name any.
	Registry func(host string) error
	// ByHand says why a host may not be named by anybody who comes over the network, its owner neither; nil: any may.
	ByHand  func(host string) error
	Secrets Secrets
	// Audit is nil where it is not kept who changed what.
	Audit    Audit
	Catalogs Catalogs
	// Recipes are nil where nothing can be installed by name.
	Recipes  Recipes
	Planning Planning
	// Backups is nil where none are made.
	Backups Backups
	// Cluster is nil where this daemon knows of no other boxes.
	Cluster Cluster
	// Runtimes returns the runtime variants, by name.
	Runtimes func() []api.Runtime
	// Doctor looks at the box.
	Doctor func(ctx context.Context) []api.Check
	// Settings are those that hold, without what is secret. Nil: they are not told.
	Settings func() []api.Setting
	// LastLines are the newest of the daemon's log. Nil: none are kept.
	LastLines func() []byte
	// Restart replaces the daemon for whom by names, and returns when the new one answers. Nil where that cannot be.
	Restart func(ctx context.Context, by string) (api.Restarted, error)
	// PublicURL is where clients reach the router: http://127.0.0.1:8080, without a slash at the end.
	PublicURL string
	// TrustForwarded: a proxy of the owner stands before, and X-Forwarded-For and X-Forwarded-Proto are its word.
	TrustForwarded bool
	Version        api.Version
	Log            *slog.Logger
	Now            func() time.Time
}

// Services are what is wanted. *sessions.Manager is one.
type Services interface {
	CreateService(ctx context.Context, req sessions.ServiceRequest) (sessions.ServiceView, error)
	// ForeseeService says what would come of a request; it fails as CreateService would.
	ForeseeService(ctx context.Context, req sessions.ServiceRequest) (sessions.ServiceForecast, error)
	UpdateService(ctx context.Context, project, ref string, up sessions.ServiceUpdate) (sessions.ServiceView, error)
	ScaleService(ctx context.Context, project, ref string, wish sessions.Scale) (sessions.ServiceView, error)
	DestroyService(ctx context.Context, project, ref, by string) error
	Services(project string) []sessions.ServiceView
	Service(project, ref string) (sessions.ServiceView, error)
}

// Revisions are what services went through, and the way back. *sessions.Manager is one.
type Revisions interface {
	Revisions(ctx context.Context, project, ref string) ([]sessions.Revision, error)
	RollBack(ctx context.Context, project, ref string, number int, by string) (sessions.ServiceView, error)
	Events(ctx context.Context, project, ref string, limit int) ([]sessions.Event, error)
	ClearErrors(ctx context.Context, project, ref, by string) error
	SetTrafficRatio(ctx context.Context, project, ref, routeID string, ratio float64) error
	// Changed is closed at the next change of any service or session.
	Changed() <-chan struct{}
}

// Sessions are what runs. *sessions.Manager is one.
type Sessions interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	// EachSession shows what is chosen, in no order, without a copy: do neither changes nor keeps it.
	EachSession(project string, f sessions.SessionFilter, do func(s *sessions.Session))
	// NewestSessions are a part of what is chosen, newest first: at most so many from the offset on; and how many there are.
	NewestSessions(project string, f sessions.SessionFilter, offset, most int) (part []sessions.Session, total int)
	Session(project, ref string) (sessions.Session, error)
	Containers(project, ref string) ([]sessions.Session, error)
	Transitions(ctx context.Context, project, ref string) ([]sessions.Transition, error)
	Logs(ctx context.Context, project, ref string, opts sessions.LogOptions) (io.ReadCloser, error)
	EarlierLogs(ctx context.Context, project, ref string) (io.ReadCloser, error)
	Stats(ctx context.Context, project, ref string) (sessions.Stats, error)
	Exec(ctx context.Context, project, ref string, cmd sessions.ExecSpec) (sessions.Exit, error)
	TerminateSession(ctx context.Context, project, ref, by string, forced bool) error
	UpdateSession(ctx context.Context, project, ref string, up sessions.SessionUpdate) (sessions.Session, error)
	RestartSession(ctx context.Context, project, ref, by string) error
	Commit(ctx context.Context, project, ref string, c sessions.Commit, progress func(sessions.Progress)) (sessions.Image, error)
}

// People take sessions of their own. *training.Desk is where they ask.
type People interface {
	Create(ctx context.Context, w training.Wish) ([]sessions.Session, error)
	Foresee(ctx context.Context, w training.Wish) (f sessions.Forecast, count int, err error)
}

// Terminals are the shells that people have open in sessions. *terminal.Keeper is one.
type Terminals interface {
	Attach(r terminal.Request) (*terminal.View, error)
}

// Apps are the programs of sessions that people use with a browser. *apps.Apps is one.
type Apps interface {
	List(ctx context.Context, project, ref string) ([]apps.View, error)
	Link(ctx context.Context, project, ref, name string, by apps.Actor) (apps.Link, error)
	// Open and Port connect to an app, which is started where it does not run, and to a port.
	Open(ctx context.Context, project, ref, name string) (net.Conn, apps.App, error)
	Port(ctx context.Context, project, ref string, port int) (net.Conn, error)
	// Address is where a browser finds the door that calls this box host; "": it runs on this box.
	Address(host string) string
	// Used tells that somebody uses a session until the answer is called.
	Used(session string) (left func())
}

// Tokens let clients use services. *router.Tokens is one.
type Tokens interface {
	Issue(ctx context.Context, q router.IssueRequest) (router.Token, string, error)
	List(project, serviceID string) []router.Token
	Revoke(ctx context.Context, id string) error
	Standing(id string) quota.State
}

// Keys let clients use this API. *keys.Keyring is one.
type Keys interface {
	Issue(ctx context.Context, w keys.Wish) (keys.Key, string, error)
	Authenticate(ctx context.Context, secret string) (keys.Key, error)
	List() []keys.Key
	Find(id string) (k keys.Key, good bool)
	Revoke(ctx context.Context, ref string) error
}

// Folders are the directories that sessions mount. *folders.Keeper is one.
type Folders interface {
	Create(ctx context.Context, spec folders.Spec) (folders.Folder, error)
	Import(ctx context.Context, spec folders.Spec, path string) (folders.Folder, error)
	Find(ctx context.Context, project, ref string) (folders.Folder, error)
	List(ctx context.Context, project string) ([]folders.Folder, error)
	Reachable(ctx context.Context, w folders.Who) ([]folders.Reached, error)
	Reach(ctx context.Context, w folders.Who, ref string, want folders.Permission) (folders.Reached, error)
	Update(ctx context.Context, project, ref string, change folders.Change) (folders.Folder, error)
	Clone(ctx context.Context, from folders.Folder, spec folders.Spec, progress func(folders.Cloned)) (folders.Folder, folders.Cloned, error)
	Remove(ctx context.Context, project, ref, by string) error
	FolderShares
	FolderTrash
	FolderBounds
}

// FolderShares are who else may use a folder.
type FolderShares interface {
	Share(ctx context.Context, f folders.Folder, g folders.Grant) (folders.Grant, error)
	Unshare(ctx context.Context, f folders.Folder, person, project string) error
	Grants(ctx context.Context, f folders.Folder) ([]folders.Grant, error)
}

// FolderTrash is what was removed and can be had again.
type FolderTrash interface {
	Trash(ctx context.Context, project string) ([]folders.Folder, error)
	Restore(ctx context.Context, project, ref, name string) (folders.Folder, error)
	Purge(ctx context.Context, project, ref string) error
	KeptUntil(f folders.Folder) time.Time
}

// FolderBounds are how much folders hold, and may.
type FolderBounds interface {
	Use(ctx context.Context, f folders.Folder, maxAge time.Duration) (folders.Use, error)
	Bounds(ctx context.Context, f folders.Folder) (folder, project folders.Bound, err error)
	OverQuota(ctx context.Context, f folders.Folder) (string, error)
	LastOver(id string) string
}

// Files are what is in folders; no path leaves its folder. *folders.Keeper is one.
type Files interface {
	Entries(f folders.Folder, dir string) ([]folders.Entry, error)
	Directory(f folders.Folder, dir string, q folders.ListQuery) (folders.Listing, error)
	Open(f folders.Folder, path string) (folders.File, error)
	Write(ctx context.Context, f folders.Folder, path string, c folders.Content) (folders.Written, error)
	MakeDirectory(f folders.Folder, path string) error
	MoveEntry(f folders.Folder, from, to string) error
	RemoveEntry(f folders.Folder, path string) error
	Uploads
}

// Uploads are files that come in parts.
type Uploads interface {
	BeginUpload(ctx context.Context, f folders.Folder, spec folders.UploadSpec) (folders.Upload, error)
	Upload(ctx context.Context, f folders.Folder, id string) (folders.Upload, error)
	Uploads(ctx context.Context, f folders.Folder) ([]folders.Upload, error)
	Append(ctx context.Context, f folders.Folder, id string, c folders.Chunk) (folders.Upload, error)
	FinishUpload(ctx context.Context, f folders.Folder, id, sha256sum string) (folders.Written, error)
	DropUpload(ctx context.Context, f folders.Folder, id string) error
}
