package keeper

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/pipeline"
)

// Kept is a pipeline by its name: applied, or known by its jobs alone.
type Kept struct {
	Project   string
	Name      string
	Source    string // the file; "": it was never applied
	AppliedBy string
	AppliedAt time.Time
	LastJob   int       // number of its newest job
	Scheduled time.Time // the moment of its schedule up to which jobs have been made
}

// Store keeps pipelines and jobs. A save that returned an error may have happened all the same.
type Store interface {
	Pipelines(ctx context.Context) ([]Kept, error)
	// SavePipeline inserts, or replaces what has that project and name.
	SavePipeline(ctx context.Context, k Kept) error
	// DeletePipeline removes a pipeline with all its jobs; what is not there is no error.
	DeletePipeline(ctx context.Context, project, name string) error
	// Jobs returns all, oldest first.
	Jobs(ctx context.Context) ([]pipeline.Job, error)
	// AddJob inserts a job and saves its pipeline, in one transaction. Doing it twice is doing it once.
	AddJob(ctx context.Context, j pipeline.Job, k Kept) error
	SaveJob(ctx context.Context, id string, s pipeline.State) error
	DeleteJob(ctx context.Context, id string) error
}

// Desk takes wishes for sessions. *training.Desk is one.
type Desk interface {
	Create(ctx context.Context, w training.Wish) ([]sessions.Session, error)
	Check(ctx context.Context, w training.Wish) catalog.Problems
}

// Sessions are what runs. *sessions.Manager is one.
type Sessions interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	TerminateSession(ctx context.Context, project, ref, by string, forced bool) error
	// Changed is closed at the next change of any service or session.
	Changed() <-chan struct{}
}

// Services are what is served. *sessions.Manager is one.
type Services interface {
	Service(project, ref string) (sessions.ServiceView, error)
	// CheckRecipe is all that is wrong with a service to be, whose folder is not there yet.
	CheckRecipe(name string, priority *int, r sessions.Recipe) catalog.Problems
	CreateService(ctx context.Context, req sessions.ServiceRequest) (sessions.ServiceView, error)
	UpdateService(ctx context.Context, project, ref string, up sessions.ServiceUpdate) (sessions.ServiceView, error)
	RollBack(ctx context.Context, project, ref string, number int, by string) (sessions.ServiceView, error)
	DestroyService(ctx context.Context, project, ref, by string) error
}

// Folders are where tasks write, and models lie. *folders.Keeper is one.
type Folders interface {
	Find(ctx context.Context, project, ref string) (folders.Folder, error)
	Reach(ctx context.Context, w folders.Who, ref string, want folders.Permission) (folders.Reached, error)
	Create(ctx context.Context, spec folders.Spec) (folders.Folder, error)
	Remove(ctx context.Context, project, ref, by string) error // it can be restored for a while
	Discard(ctx context.Context, project, ref string) error    // it cannot
}

// Around is what a Keeper has to do with.
type Around struct {
	Store    Store
	Desk     Desk
	Sessions Sessions
	Services Services
	Folders  Folders
	// Digest is what an image is at the moment: of the same digest, it is the same. "" where that is not known.
	Digest func(ctx context.Context, ref string) string
	// LookupEnv finds the addresses that files name by variables.
	LookupEnv func(name string) (string, bool)
	Client    *http.Client // of webhooks that files name: they may be anybody's
	Trusted   *http.Client // of webhooks that the environment names: they are the owner's
	Direct    *http.Client // of smoke tests: engines are asked without a proxy
	Log       *slog.Logger
}
