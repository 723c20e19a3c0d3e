package folders

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Keeper makes, finds and removes folders, and reads and writes what is in them. It is safe for
// concurrent use.
type Keeper struct {
	store   Store
	root    string
	inUse   func(folderID string) (by string, used bool)
	protect []string // directories that must never be imported

	// Settings are set before anything else is done.
	Settings Settings

	changes sync.Mutex // one change of the list of folders at a time
	cloning map[string]bool

	replacing sync.Mutex // one write at a time that is meant for a file as it was seen

	counts   sync.Mutex // guards accounts, and all that is in them
	accounts map[string]*account
	charging sync.Mutex             // one upload is let in at a time
	quotas   atomic.Pointer[Quotas] // nil: those of Settings

	arriving sync.Mutex // guards uploads; it may be taken while an upload's own is held, not the other way round
	uploads  map[string]*upload
	pieces   sync.Pool // of *piece
}

// Settings bound folders. Zero values stand for defaults.
type Settings struct {
	Quotas      map[string]int64 // bytes that all folders of a project may hold, "*" for each that has none of its own; 0: no bound
	KeepTrash   time.Duration    // how long a removed folder can be restored; default 7 days
	KeepUploads time.Duration    // how long an upload that stands still can be gone on with; default 1 day
	Box         string           // this box's name in a cluster, where folders have their homes; "": all folders are here
	Elsewhere   Elsewhere        // reaches the homes of the others; nil: they cannot be reached
	// Known tells whether a box is of the cluster: the files of a folder whose home is none any more are gone for good. Nil: all are.
	Known func(box string) bool
}

// New keeps new folders' directories below root, an absolute path. inUse says who uses a folder,
// in words; such a folder is not removed. Neither root nor protect, such as the daemon's data directory,
// can be imported, nor anything in them or around them.
func New(store Store, root string, inUse func(folderID string) (by string, used bool), protect ...string) *Keeper {
	return &Keeper{store: store, root: root, inUse: inUse, protect: append([]string{root}, protect...)}
}

// Spec is what a new folder is to be.
type Spec struct {
	Name      string
	Project   string
	Usage     Usage // default: model
	CreatedBy string
	Quota     int64 // bytes; 0: no bound
}

// Create makes an empty folder. ErrInvalid for a bad name or usage, ErrExists for one that is taken.
func (fo *Keeper) Create(ctx context.Context, spec Spec) (Folder, error) {
	f, err := newFolder(spec, fo.Settings.Box)
	if err != nil {
		return Folder{}, err
	}
	fo.changes.Lock()
	defer fo.changes.Unlock()
	f.Path = filepath.Join(fo.root, f.ID)
	if err := fo.makePlace(f.Path); err != nil {
		return Folder{}, explainFull("making folder "+f.Name, err)
	}
	if err := fo.save(ctx, f); err != nil {
		return Folder{}, errors.Join(err, os.Remove(f.Path))
	}
	return f, nil
}

// makePlace makes the directory of a folder.
func (fo *Keeper) makePlace(path string) error {
	if err := fo.shut(); err != nil {
		return err
	}
	if err := os.Mkdir(path, openDirectory); err != nil {
		return err
	}
	return os.Chmod(path, openDirectory) // whatever this process's mask is
}

// shut makes the place of all folders, where there is none, and one that nobody else on the box gets into: what is in
// folders may be written by everybody. See openDirectory.
func (fo *Keeper) shut() error {
	if err := os.MkdirAll(fo.root, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(fo.root)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(fo.root, 0o700)
	}
	return err
}

// Import registers an existing directory in place. Symbolic links in path are followed once, now.
// ErrNotFound when there is no such directory; ErrInvalid for one that belongs to the system or to
// Palisade itself.
func (fo *Keeper) Import(ctx context.Context, spec Spec, path string) (Folder, error) {
	f, err := newFolder(spec, fo.Settings.Box)
	if err != nil {
		return Folder{}, err
	}
	if f.Path, err = importable(path, fo.protect); err != nil {
		return Folder{}, err
	}
	f.Imported = true
	fo.changes.Lock()
	defer fo.changes.Unlock()
	if err := fo.save(ctx, f); err != nil {
		return Folder{}, err
	}
	return f, nil
}

// newFolder is a folder whose home is a box.
func newFolder(spec Spec, box string) (Folder, error) {
	if err := CheckName(spec.Name); err != nil {
		return Folder{}, err
	}
	if spec.Usage == "" {
		spec.Usage = UsageModel
	}
	if !slices.Contains([]Usage{UsageModel, UsageGeneral, UsageData}, spec.Usage) {
		return Folder{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("unknown usage %q", spec.Usage), hint: "model, general or data"}
	}
	if spec.Quota < 0 {
		return Folder{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("a folder cannot be bound to %d bytes", spec.Quota), hint: "0 is no bound"}
	}
	return Folder{
		ID:        "fld-" + strings.ToLower(rand.Text()[:12]),
		Name:      spec.Name,
		Project:   spec.Project,
		Usage:     spec.Usage,
		CreatedBy: spec.CreatedBy,
		Quota:     spec.Quota,
		Home:      box,
		CreatedAt: time.Now().UTC().Truncate(time.Microsecond), // what every store can keep
	}, nil
}

func (fo *Keeper) save(ctx context.Context, f Folder) error {
	err := fo.store.SaveFolder(ctx, f)
	if errors.Is(err, ErrExists) {
		return &fault{kind: ErrExists, message: fmt.Sprintf("there is a folder %s already", f.Name), hint: "choose another name, or remove that one first"}
	}
	if err != nil {
		return fmt.Errorf("saving folder %s: %w", f.Name, err)
	}
	return nil
}

// List returns a project's folders by name, or all with project "". Those in the trash are not among them.
func (fo *Keeper) List(ctx context.Context, project string) ([]Folder, error) {
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing folders: %w", err)
	}
	out := make([]Folder, 0, len(all))
	for _, f := range all {
		if f.TrashedAt.IsZero() && (project == "" || f.Project == project) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Folder) int {
		return strings.Compare(a.Name+"\x00"+a.Project, b.Name+"\x00"+b.Project)
	})
	return out, nil
}

// Find returns the folder of that id or name. With project "" it looks in all projects, where a name
// may mean several: ErrInvalid. ErrNotFound when there is none.
func (fo *Keeper) Find(ctx context.Context, project, ref string) (Folder, error) {
	folders, err := fo.List(ctx, project)
	if err != nil {
		return Folder{}, err
	}
	var found []Folder
	names := make([]string, len(folders))
	for i, f := range folders {
		if f.ID == ref {
			return f, nil
		}
		if f.Name == ref {
			found = append(found, f)
		}
		names[i] = f.Name
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		hint := spelling.DidYouMean(ref, names)
		if hint == "" {
			hint = "palisade folder list shows what there is"
		}
		return Folder{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no folder %q", spelling.Short(ref)), hint: hint}
	default:
		return Folder{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("several projects have a folder %s", ref), hint: "name it by its id: " + found[0].ID + " is the one of " + found[0].Project}
	}
}

// OpenRoot opens the folder's directory: no path and no link leads out of what it returns, which the
// caller closes. ErrNotFound when the directory is gone.
func (f Folder) OpenRoot() (*os.Root, error) {
	root, err := os.OpenRoot(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.gone()
	}
	if err != nil {
		return nil, fmt.Errorf("opening folder %s: %w", f.Name, err)
	}
	return root, nil
}

// Away says whether a folder has its home on another box: its Path is nothing here.
func (fo *Keeper) Away(f Folder) bool {
	return f.Home != "" && fo.Settings.Box != "" && f.Home != fo.Settings.Box
}

// Orphaned says whether a folder's home is no box of the cluster any more: nothing is left of it but its name.
func (fo *Keeper) Orphaned(f Folder) bool {
	return fo.Away(f) && fo.Settings.Known != nil && !fo.Settings.Known(f.Home)
}

func (f Folder) orphan() error {
	return &fault{kind: ErrNotFound, message: fmt.Sprintf("the files of folder %s are gone with box %s, which was removed from the cluster", f.Name, f.Home), hint: "remove the folder too: palisade folder rm " + f.Name}
}

func (f Folder) gone() error {
	if f.Home != "" {
		return &fault{kind: ErrNotFound, message: fmt.Sprintf("folder %s is not on this box", f.Name), hint: "its home is box " + f.Home + ": palisade cluster status shows whether that answers"}
	}
	hint := "mount the disk that holds it again, or remove the folder: palisade folder rm " + f.Name
	return &fault{kind: ErrNotFound, message: fmt.Sprintf("the directory of folder %s, %s, is gone", f.Name, f.Path), hint: hint}
}
