package goods

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// Paths below the door, and what is said there. A later version of it has another number.
const (
	pathPrefix   = "/goods/1/"
	pathHave     = pathPrefix + "have"     // GET ?folder&version: 204, or 404
	pathManifest = pathPrefix + "manifest" // GET ?folder&version: lines, at the end the manifest
	pathFile     = pathPrefix + "file"     // GET ?folder&name&sum: bytes, in ranges
	pathBring    = pathPrefix + "bring"    // POST mounts: lines, until all is here

	pathImagesBase = pathPrefix + "v2" // images, as a registry gives them
	pathImages     = pathImagesBase + "/"
)

// Handler answers other boxes. Who asks is known to be one.
func (g *Goods) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathHave, g.answer(g.serveHave))
	mux.HandleFunc("GET "+pathManifest, g.answer(g.serveManifest))
	mux.HandleFunc("GET "+pathFile, g.answer(g.serveFile))
	mux.HandleFunc("POST "+pathBring, g.answer(g.serveBring))
	if g.Registry != nil {
		mux.Handle(pathImages, g.Registry)
	}
	mux.HandleFunc("POST "+pathCarry, g.answer(g.serveCarry))
	mux.HandleFunc("GET "+pathOpen, g.answer(g.serveOpen))
	return mux
}

func (g *Goods) answer(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil && r.Context().Err() == nil {
			refuse(w, err)
		}
	}
}

func refuse(w http.ResponseWriter, err error) {
	text, encoding := json.Marshal(saidOf(err))
	if encoding != nil {
		text = nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(err))
	_, _ = w.Write(text) // the other box may have gone
}

// homeOf is a folder whose home is here.
func (g *Goods) homeOf(r *http.Request, id string) (folders.Folder, error) {
	f, err := g.Folders(r.Context(), id)
	if err != nil {
		return f, err
	}
	if f.Home != "" && f.Home != g.Self {
		return f, &fault{kind: folders.ErrNotFound, text: fmt.Sprintf("folder %s has its home on box %s", f.Name, f.Home)}
	}
	return f, nil
}

// serveHave says whether a version of a folder is here; of one that nobody names, whether the folder has its home here.
func (g *Goods) serveHave(w http.ResponseWriter, r *http.Request) error {
	id, version := r.FormValue("folder"), r.FormValue("version")
	if err := checkID(id); err != nil {
		return err
	}
	if version == "" {
		version = g.shelf.newest(id)
	}
	if _, is, err := g.shelf.find(r.Context(), id, version); err != nil {
		return err
	} else if is {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	f, err := g.homeOf(r, id)
	if err != nil {
		return err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return root.Close()
}

// line is what an answer of lines consists of: how far it is, and in the end what came of it.
type line struct {
	Reading  *read              `json:"reading,omitempty"`
	Progress *sessions.Progress `json:"progress,omitempty"`
	Manifest *Manifest          `json:"manifest,omitempty"`
	Fault    *said              `json:"fault,omitempty"`
	Done     bool               `json:"done,omitempty"`
}

type read struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// lines writes them.
type lines struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	last time.Time // of a line that says how far it is
	stop chan struct{}
}

// sayEvery is how often it is said how far something is.
const (
	sayEvery  = 500 * time.Millisecond
	beatEvery = 2 * time.Second // at least
)

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = http.NewResponseController(w).Flush()
	l := &lines{w: w, stop: make(chan struct{})}
	go l.beat()
	return l
}

// beat has the other box know that this one is there, though there is nothing new to be said.
func (l *lines) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.now(line{})
		case <-l.stop:
			return
		}
	}
}

func (l *lines) now(v line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil || time.Since(l.last) < sayEvery {
		return
	}
	l.last = time.Now()
	l.write(v)
}

func (l *lines) end(v line, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		v = line{Fault: saidOf(err)}
	}
	v.Done = true
	l.write(v)
	close(l.stop)
	l.w = nil
	return nil
}

func (l *lines) write(v line) {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = l.w.Write(append(text, '\n'))
	}
	if err == nil { // else nobody listens
		_ = http.NewResponseController(l.w).Flush()
	}
}

// serveManifest lists a version that came here, or the folder as it is now where it has its home here.
func (g *Goods) serveManifest(w http.ResponseWriter, r *http.Request) error {
	id, version := r.FormValue("folder"), r.FormValue("version")
	if err := checkID(id); err != nil {
		return err
	}
	f, homeErr := g.homeOf(r, id)
	if version == "" && homeErr != nil {
		version = g.shelf.newest(id)
	}
	if _, is, err := g.shelf.find(r.Context(), id, version); err != nil {
		return err
	} else if is {
		k, err := g.shelf.manifest(id + "@" + version)
		if err != nil {
			return err
		}
		return newLines(w).end(line{Manifest: &k.Manifest}, nil)
	}
	if homeErr != nil {
		return homeErr
	}
	out := newLines(w)
	m, err := g.sums.manifest(r.Context(), f, func(done, total int64) { out.now(line{Reading: &read{done, total}}) })
	if err == nil && version != "" && m.Version != version {
		err = &fault{kind: folders.ErrChanged, text: fmt.Sprintf("folder %s has been changed since", f.Name), hint: "the next try brings it as it is"}
	}
	return out.end(line{Manifest: &m}, err)
}

// serveFile gives out a file by its checksum. What is given out need not be compared with it: who asks does.
//  1. The store has it.
//  2. It is a file of a tree that may be run, which is a copy.
//  3. The folder has it, and it is as it was when it was read.
func (g *Goods) serveFile(w http.ResponseWriter, r *http.Request) error {
	id, name, sum := r.FormValue("folder"), r.FormValue("name"), r.FormValue("sum")
	file, err := g.Blobs.Open(sum) // 1
	if err != nil {
		file, err = g.copied(id, name, sum) // 2
	}
	if err != nil {
		file, err = g.own(r, id, name, sum) // 3
	}
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+sum+`"`)
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

func (g *Goods) copied(id, name, sum string) (*os.File, error) {
	for _, has := range g.shelf.of(id) {
		k, err := g.shelf.manifest(has)
		if err != nil {
			continue
		}
		for _, f := range k.Files {
			if f.Name != name || f.SHA256 != sum {
				continue
			}
			root, err := os.OpenRoot(g.shelf.path(has))
			if err != nil {
				return nil, err
			}
			defer root.Close()
			return root.Open(name)
		}
	}
	return nil, folders.ErrNotFound
}

func (g *Goods) own(r *http.Request, id, name, sum string) (*os.File, error) {
	f, err := g.homeOf(r, id)
	if err != nil {
		return nil, err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	changed := &fault{kind: folders.ErrChanged, text: fmt.Sprintf("%s of folder %s has been changed since it was listed", name, f.Name)}
	file, info, err := openFile(root, name)
	if errors.Is(err, errNotThere) {
		return nil, changed
	}
	if err != nil {
		return nil, err
	}
	if !g.sums.still(id, name, sum, info) {
		return nil, errors.Join(changed, file.Close())
	}
	return file, nil
}

// serveBring brings what mounts need, for who leads.
func (g *Goods) serveBring(w http.ResponseWriter, r *http.Request) error {
	var mounts []sessions.Mount
	if err := json.NewDecoder(io.LimitReader(r.Body, mostManifest)).Decode(&mounts); err != nil {
		return &fault{kind: folders.ErrInvalid, text: "what is to be brought cannot be read: " + err.Error()}
	}
	out := newLines(w)
	return out.end(line{}, g.Bring(r.Context(), mounts, func(p sessions.Progress) { out.now(line{Progress: &p}) }))
}
