package goods

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
)

// Deps are what goods need of others.
type Deps struct {
	Self string // this box's name
	Dir  string // where folders of other boxes are put together; on the disk of Blobs, so that files are linked and not copied
	// Blobs are the files of this box by their checksums: what comes goes there, and what is there already does not come.
	Blobs *blobs.Store
	// Folders finds a folder by its id, here or on another box: folders.ErrNotFound where it is gone.
	Folders func(ctx context.Context, id string) (folders.Folder, error)
	// Registry gives out the images of this box; nil: it has none.
	Registry http.Handler
	// Boxes are the other boxes that live, with what they said they have. It may not wait.
	Boxes func() []Box
	// Transport reaches another box. It says itself which host that is.
	Transport func(box string) http.RoundTripper
	Rate      int64 // bytes a second that may come, of all together; 0: as many as there are
	Keep      int64 // bytes of the disk that stay free
	// Silence is how long nothing may come of an answer of another box before another one is asked; 0: 10 s.
	Silence time.Duration
	Log     *slog.Logger
}

// Box is another box.
type Box struct {
	Name string
	Has  []string // folders that it said it has: Goods.Has
}

// Want is a folder that a session needs.
type Want struct {
	ID     string // of the folder
	Name   string // for people
	Home   string // the box where it is written to, and where it was made
	Sealed bool   // it never changes, so whoever has it has the right one
}

// Goods are the folders of one box, for itself and for others. All calls may be made at once.
type Goods struct {
	Deps
	fetcher  *fetch.Fetcher
	sums     *sums
	shelf    *shelf
	files    atomic.Pointer[Files]
	glimpses glimpses

	mu      sync.Mutex
	flights map[string]*flight // by folder
	held    map[*flight]string // folders that somebody waits for, or has not said yet that they are used
}

// New opens what is here.
func New(d Deps) (*Goods, error) {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Silence <= 0 {
		d.Silence = usualSilence
	}
	for _, sub := range []string{treesDir, sumsDir, usesDir, glimpsesDir} {
		if err := os.MkdirAll(filepath.Join(d.Dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening what came from other boxes: %w", err)
		}
	}
	trees, err := openShelf(filepath.Join(d.Dir, treesDir), d.Blobs, d.Log)
	if err != nil {
		return nil, err
	}
	g := &Goods{
		Deps: d, shelf: trees, sums: &sums{dir: filepath.Join(d.Dir, sumsDir), blobs: d.Blobs}, flights: map[string]*flight{}, held: map[*flight]string{},
		// Not so patient as with the world: another box may have what one has not, and who waits can be told so.
		fetcher: fetch.New(d.Blobs, fetch.Options{Rate: d.Rate, Keep: d.Keep, Tries: fetchTries, Log: d.Log}),
	}
	return g, g.dropGlimpses()
}

// Directories below Deps.Dir.
const (
	treesDir    = "trees"    // ID@VERSION: a folder's version; ID@VERSION.json: its manifest, once it is whole
	sumsDir     = "sums"     // ID.json: checksums of files whose home is here, as they were when they were read
	usesDir     = "uses"     // SESSION: the trees that it was started with
	glimpsesDir = "glimpses" // ID@VERSION: what is to be known of folders that are not here; for as long as this program runs
)

// fetchTries is how often in a row one connection may bring nothing, whatever box it asks, before a folder is given up.
const fetchTries = 6

// Has is what this box can give to others beside the folders whose home it is: ID@VERSION.
func (g *Goods) Has() []string { return g.shelf.has() }

// Serve has other boxes use the folders whose home is here; nil: for now they cannot.
func (g *Goods) Serve(files Files) {
	if files == nil {
		g.files.Store(nil)
		return
	}
	g.files.Store(&files)
}
