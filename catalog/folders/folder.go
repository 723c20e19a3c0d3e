package folders

import (
	"context"
	"errors"
	"time"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrInvalid  = errors.New("invalid")
	ErrInUse    = errors.New("in use")
)

// Usage says what a folder is for.
type Usage string

// The usages.
const (
	UsageModel   Usage = "model"
	UsageGeneral Usage = "general"
	UsageData    Usage = "data"
)

// Folder is a directory of the box that sessions mount by name.
type Folder struct {
	ID        string // "fld-" and 12 characters
	Name      string // unique in its project; at most 64 characters
	Project   string
	Usage     Usage
	Path      string // absolute, on the box
	Imported  bool   // made by its owner: removing the folder leaves the directory alone
	CreatedBy string
	CreatedAt time.Time
	Quota     int64     // bytes that it may hold; 0: no bound
	TrashedAt time.Time // when it was put into the trash; zero: it is in use
	TrashedBy string
	Sealed    bool   // a revision of an installed model: its files never change, and it goes with the model
	Home      string // the box of a cluster where it was made, on whose disk Path is; "": there is one box, or all share the disk
}

// Store keeps folders' rows. Names are unique among a project's folders that are not in the trash: SaveFolder and
// UpdateFolder fail with ErrExists.
type Store interface {
	GrantStore
	Folders(ctx context.Context) ([]Folder, error)
	SaveFolder(ctx context.Context, f Folder) error   // inserts
	UpdateFolder(ctx context.Context, f Folder) error // by its id; ErrNotFound
	DeleteFolder(ctx context.Context, id string) error
}

// GrantStore keeps with whom folders are shared. Those of a folder go with it.
type GrantStore interface {
	Grants(ctx context.Context) ([]Grant, error)
	SaveGrant(ctx context.Context, g Grant) error // inserts or replaces
	DeleteGrant(ctx context.Context, folderID, person, project string) error
}
