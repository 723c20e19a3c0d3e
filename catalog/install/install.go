package install

import (
	"errors"
	"maps"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people, and may carry a Hint() string.
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrConflict = errors.New("conflict") // another install of the model is under way
	ErrState    = errors.New("not possible as it stands")
	ErrInUse    = errors.New("in use")
	ErrLicense  = errors.New("the licence was not accepted")
	ErrFit      = errors.New("it does not fit")
	ErrTest     = errors.New("the smoke test failed")
	ErrStart    = errors.New("the service did not come up")
	ErrStopped  = errors.New("the appliance stops")
)

// Kind is what an install is for.
type Kind string

// The kinds.
const (
	KindInstall  Kind = "install"
	KindUpdate   Kind = "update"   // of a model that is there, to what there is now
	KindRollback Kind = "rollback" // to a revision that is on the box
)

// Wish is what somebody asked for. It never changes.
type Wish struct {
	Kind          Kind
	Source        string   // a recipe (NAME, NAME@VERSION, CATALOG/NAME), or where files are: fetch.Ref's text
	ByHand        bool     // who may do everything on this box has said so: where files are may be anywhere
	Name          string   // of the model and its service; empty: the recipe's
	Variant       string   // of the recipe; empty: the first that fits
	Devices       []string // ids or kinds of accelerators; empty: wherever it fits
	Context       int      // tokens; 0: the variant's
	Concurrency   int      // sequences at once; 0: the variant's
	Replicas      int      // 0: one
	AcceptLicense bool
	Accepted      string // id of a licence that was accepted before, with an earlier revision: it needs no word again
	NoService     bool   // the files alone
	NoCalibrate   bool
	Force         bool // though it does not fit
	Revision      int  // of a rollback: to which; 0: the one before
}

// Status is how an install stands.
type Status string

// The statuses. All but the first are final; one that failed or was cancelled can be gone on with.
const (
	Running   Status = "RUNNING"
	Done      Status = "DONE"
	Failed    Status = "FAILED"
	Cancelled Status = "CANCELLED"
)

// Ended reports whether nothing more happens by itself.
func (s Status) Ended() bool { return s != Running }

// Install is one wish and what has become of it.
type Install struct {
	ID        string // ins- and 12 characters
	Project   string
	Model     string // its name: of the model, of the service
	CreatedBy string
	CreatedAt time.Time
	Wish      Wish
	State
}

// State is how far an install is. Its carrier is its only writer.
type State struct {
	Status   Status
	Steps    []StepState // all that it takes, in order
	Attempt  int         // from 1; grows when a failed one is gone on with
	EndedAt  time.Time
	Error    string // why it failed or was cancelled
	Hint     string // what to do about it
	Recipe   *recipe.Recipe
	Origin   string            // the recipe's catalog; empty: it was made up from the files
	Texts    map[string]string // files that came with the recipe, for the folder: model-definition.yaml, README.md
	Choice   *Choice
	Listing  *fetch.Listing // what is fetched, pinned
	Files    []File         // what was
	Revision int            // of the model, once there is a folder
	Folder   string         // id
	Service  string         // id
	Rollout  int            // revision of the service that is to come up
	Made     bool           // the service was made here, not found
	Fetched  int64          // bytes that came
	Reused   int64          // bytes that were here already
	Kept     int64          // bytes of KeptOf that are on the disk, for a failed one that is gone on with
	KeptOf   string         // recipe.Source's Where
}

// File is one file of a revision.
type File struct {
	Name   string // in the folder
	Bytes  int64
	SHA256 string
}

// Choice is how a model runs: what a plan comes down to.
type Choice struct {
	Variant   string
	Runtime   string // variant of the engine
	Image     string
	Source    string // name of the recipe's source of files; empty: none
	Env       map[string]string
	Resources map[string]string
	Options   map[string]string // resource options of the service
	// Context and Concurrency are tokens of a sequence and sequences that memory was worked out for; 0: not known.
	Context, Concurrency int
	Secrets              []string // environment variables that are filled in from secrets
	Sentences            []string // the plan, for people
	Warnings             []string
}

// same reports whether two choices run the same: the words for people do not count.
func (c Choice) same(o Choice) bool {
	return c.Variant == o.Variant && c.Runtime == o.Runtime && c.Image == o.Image && maps.Equal(c.Env, o.Env) &&
		maps.Equal(c.Resources, o.Resources) && maps.Equal(c.Options, o.Options)
}
