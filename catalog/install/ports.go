package install

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Around is all that installs ask of others.
type Around struct {
	Store    Store
	Recipes  Recipes
	Planner  Planner
	Places   Places
	Blobs    Blobs
	Folders  Folders
	Services Services
	Images   Images // nil: there are none, the engines are programs of the box
	Secrets  Secrets
	Probe    Probe      // nil: smoke tests are not run
	Measure  Calibrator // nil: nothing is measured
	Settings Settings
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// Settings of installs. Zero values stand for defaults.
type Settings struct {
	Keep      time.Duration // how long bytes are kept that no model has, for an install that goes on; default 7 days
	Revisions int           // of each model that are kept to go back to; at least and by default 2
	Patience  time.Duration // how long a service may be silent while it comes up; default 30 minutes
}

// Store keeps installs and models.
type Store interface {
	Installs(ctx context.Context) ([]Install, error) // oldest first
	SaveInstall(ctx context.Context, in Install) error
	DeleteInstall(ctx context.Context, id string) error
	Models(ctx context.Context) ([]Model, error)  // by project and name
	SaveModel(ctx context.Context, m Model) error // ErrExists where another has the name
	DeleteModel(ctx context.Context, id string) error
}

// Recipes are what can be installed by name.
type Recipes interface {
	// Find takes NAME, NAME@VERSION or CATALOG/NAME. What it does not know is an ErrNotFound with a hint.
	Find(ctx context.Context, name string) (recipe.Entry, error)
}

// Planner says how a recipe runs on this box as it is now. ErrFit where it does not, unless the wish says that it is to be tried.
type Planner interface {
	Plan(ctx context.Context, project string, r recipe.Recipe, w Wish) (Choice, error)
}

// Places are where files come from.
type Places interface {
	// Source is the place of a ref, with what opens it.
	Source(ctx context.Context, ref fetch.Ref, by Asker) (fetch.Source, error)
	// Fetch brings what a listing has and returns what is here then. Where the disk has no room for it, that is said before.
	Fetch(ctx context.Context, from fetch.Source, listing fetch.Listing, tell func(Transfer)) ([]File, error)
}

// Asker is who wants something of a place.
type Asker struct {
	Secret string // the name of what opens it, where a recipe says so
	ByHand bool   // the owner of the box has named the place: it may be one that nobody else may name
}

// Transfer is how far a download is.
type Transfer struct {
	Files, Done int           // files
	Bytes, Here int64         // Bytes is 0 while it is not known
	Reused      int64         // of Here: were on the box already
	Speed       float64       // bytes in a second
	Left        time.Duration // 0: not known
	Current     string        // a file that comes
	Message     string        // what else goes on
}

// Blobs are files by their checksums.
type Blobs interface {
	// Link puts a file into a directory, by a hard link where that can be.
	Link(sha256 string, root *os.Root, name string) error
	// Verify compares what a file holds with its checksum. One that is damaged is not among the blobs any more.
	Verify(ctx context.Context, sha256 string, tell func(read int64)) error
	// Release says that files are where they are wanted, or wanted no longer: until then they are not swept.
	Release(sums ...string)
	// Sweep deletes what used does not claim, and what nobody has touched since before.
	Sweep(ctx context.Context, used func(sha256 string) bool, before time.Time) (freed int64, err error)
}

// Folders are where revisions are. *folders.Keeper is one.
type Folders interface {
	Seal(ctx context.Context, spec folders.Spec, bytes int64, fill func(context.Context, *os.Root) error) (folders.Folder, error)
	Find(ctx context.Context, project, ref string) (folders.Folder, error)
	Discard(ctx context.Context, project, ref string) error
}

// Services are what answers.
type Services interface {
	// Service finds one by id or name. ErrNotFound.
	Service(project, ref string) (Service, error)
	Create(ctx context.Context, w ServiceWish) (Service, error)
	// Update has a service run something else, route after route.
	Update(ctx context.Context, id string, w ServiceWish) (Service, error)
	Destroy(ctx context.Context, project, id, by string) error
	// Users are who runs from a folder, or would after a roll-back: "service chat".
	Users(folder string) []User
	// Changed is closed at the next change of any service.
	Changed() <-chan struct{}
}

// ServiceWish is a service as an install wants it.
type ServiceWish struct {
	Project, Name, By string
	Replicas          int
	Folder            string // id; empty: none
	Choice            Choice
}

// Service is what an install sees of a service.
type Service struct {
	ID, Name  string
	ModelName string // what clients ask for
	Folder    string // id, of the revision that should run
	Revision  int    // that should run
	Good      int    // newest revision that became healthy
	Healthy   int    // routes of Revision that answer
	Replicas  int    // wanted
	Failures  int    // starts that failed in a row
	Sentence  string // why it is as it is
	LastError string // of the last failed start
}

// User is who uses a folder.
type User struct {
	Service string // id; empty: it is no service
	Name    string // service chat, session abc
}

// Images are what engines are in.
type Images interface {
	// Pull brings an image that is not here. host needs none.
	Pull(ctx context.Context, ref string, tell func(done, total int64, message string)) error
}

// Secrets are what opens places and is put into environments.
type Secrets interface {
	// Has says whether one of that name is kept.
	Has(ctx context.Context, name string) (bool, error)
}

// Probe asks a service one request, by the way that clients take.
type Probe interface {
	Ask(ctx context.Context, project, service string, r recipe.Request) (recipe.Answer, error)
}

// Calibrator measures a service for a short time.
type Calibrator interface {
	Calibrate(ctx context.Context, project, service string, tell func(message string)) (sentence string, err error)
}
