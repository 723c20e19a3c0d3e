package admin

import (
	"context"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
)

// folder shows one as who asks has it.
func (s *server) folder(p *params, f folders.Reached) api.Folder {
	out := api.Folder{
		ID: f.ID, Name: f.Name, Project: f.Project, Ref: f.Ref(p.project()), Permission: string(f.Permission), Usage: string(f.Usage),
		Path: f.Path, Imported: f.Imported, Quota: f.Quota, CreatedBy: f.CreatedBy, CreatedAt: f.CreatedAt.UTC(),
	}
	if !f.TrashedAt.IsZero() {
		out.TrashedAt, out.TrashedBy, out.KeptUntil = timePtr(f.TrashedAt), f.TrashedBy, timePtr(s.Folders.KeptUntil(f.Folder))
	}
	return out
}

// who asks in a project, as folders know them. What is shared with a person is not for a key of the box that is called as they
// are, nor for one that opens a single project.
func (s *server) who(c *gin.Context, project string) folders.Who {
	a := actorOf(c.Request.Context())
	if a.Project != "" || !s.rights.made(a, a.Name) {
		return folders.Who{Project: project}
	}
	return folders.Who{Person: a.Name, Project: project}
}

func (s *server) listFolders(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	reached, err := s.Folders.Reachable(c.Request.Context(), s.who(c, p.project()))
	if err != nil {
		return err
	}
	items := []api.Folder{}
	for _, f := range reached {
		items = append(items, s.folder(p, f))
	}
	return respondPage(c, p, items, func(f api.Folder) string { return f.Ref + "\x00" + f.ID })
}

func (s *server) createFolder(c *gin.Context) error {
	p := query(c)
	var in api.FolderCreate
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	spec := folders.Spec{Name: in.Name, Project: project, Usage: folders.Usage(in.Usage), CreatedBy: actorOf(ctx).Name, Quota: in.Quota}
	var f folders.Folder
	if in.ImportPath != "" && !s.rights.grant(actorOf(ctx), "").admin {
		return boxFiles("a directory of the box")
	}
	if in.ImportPath == "" {
		f, err = s.Folders.Create(ctx, spec)
	} else {
		if !filepath.IsAbs(in.ImportPath) {
			return badField("import_path", "give the path as the appliance's box sees it", "%q: must be absolute", in.ImportPath)
		}
		if spec.Name == "" {
			spec.Name = filepath.Base(in.ImportPath)
		}
		f, err = s.Folders.Import(ctx, spec, in.ImportPath)
	}
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/folders/"+f.ID)
	return respond(c, http.StatusCreated, s.folder(p, folders.Reached{Folder: f, Permission: folders.Owner}))
}

// findFolder finds the folder that the path names, for somebody who wants to do with it what needs a permission.
func (s *server) findFolder(c *gin.Context, p *params, want folders.Permission) (folders.Reached, error) {
	if p.err != nil {
		return folders.Reached{}, p.err
	}
	return s.Folders.Reach(c.Request.Context(), s.who(c, p.project()), c.Param("id"), want)
}

func (s *server) getFolder(c *gin.Context) error {
	p := query(c)
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.folder(p, f))
}

func (s *server) removeFolder(c *gin.Context) error {
	f, err := s.findFolder(c, query(c), folders.Owner)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Folders.Remove(ctx, f.Project, f.ID, actorOf(ctx).Name); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) listEntries(c *gin.Context) error {
	p := query(c, "path", "recursive", "limit", "cursor")
	recursive := p.flag("recursive")
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	items, err := s.walk(c.Request.Context(), f.Folder, p.text("path"), recursive)
	if err != nil {
		return err
	}
	return respondPage(c, p, items, func(e api.Entry) string { return e.Path })
}

// maxEntries is the most that one listing looks at: a folder with more is listed directory by directory.
const maxEntries = 200_000

// walk lists a directory and, with recursive, those in it. Links to directories are shown and not followed: they
// may lead back to where they are.
func (s *server) walk(ctx context.Context, f folders.Folder, dir string, recursive bool) ([]api.Entry, error) {
	items := []api.Entry{}
	left := []string{strings.Trim(path.Clean("/"+dir), "/")}
	if strings.Contains("/"+dir+"/", "/../") {
		left[0] = dir // for the folder to refuse in its own words
	}
	for len(left) > 0 {
		here := left[len(left)-1]
		left = left[:len(left)-1]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := s.Files.Entries(f, here)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			item := entryAt(here, &e)
			if e.Dir && recursive && !e.Link {
				left = append(left, item.Path)
			}
			items = append(items, item)
		}
		if len(items) > maxEntries {
			return nil, badField("?recursive", "list one directory at a time", "the folder has more than %d entries", maxEntries)
		}
	}
	return items, nil
}

// wantedPath is the path in the folder that a request must name.
func wantedPath(p *params) (string, error) {
	if p.err != nil {
		return "", p.err
	}
	if strings.Trim(p.text("path"), "/") == "" {
		return "", badField("?path", "from the folder's root, as in ?path=weights/model.gguf", "is needed")
	}
	return p.text("path"), nil
}

func (s *server) removeEntry(c *gin.Context) error {
	p := query(c, "path")
	name, err := wantedPath(p)
	if err != nil {
		return err
	}
	f, err := s.findFolder(c, p, folders.WriteDelete)
	if err != nil {
		return err
	}
	if err := s.Files.RemoveEntry(f.Folder, name); err != nil {
		return err
	}
	return noContent(c)
}

// download sends a file, or the part of it that Range asks for.
func (s *server) download(c *gin.Context) error {
	p := query(c, "path", "show")
	show := p.flag("show")
	name, err := wantedPath(p)
	if err != nil {
		return err
	}
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	file, err := s.Files.Open(f.Folder, name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := handOut(c, name, file, show); err != nil {
		return err
	}
	c.Header("ETag", etagOf(info.ModTime(), info.Size()))
	out := &rangeWriter{ResponseWriter: c.Writer, r: c.Request, size: info.Size()}
	name, digest := wantedDigest(c.GetHeader("Want-Content-Digest"))
	if digest == nil {
		http.ServeContent(out, c.Request, "", info.ModTime(), file)
		return nil
	}
	sum := &digesting{ResponseWriter: out, name: name, sum: digest}
	http.ServeContent(sum, c.Request, "", info.ModTime(), file)
	sum.end()
	return nil
}

// etagOf is another one when a file has changed.
func etagOf(modified time.Time, size int64) string {
	return `"` + strconv.FormatInt(modified.UnixNano(), 36) + "-" + strconv.FormatInt(size, 36) + `"`
}

// rangeWriter says in a problem what ServeContent says in plain text: that a range is not in the file.
type rangeWriter struct {
	http.ResponseWriter
	r       *http.Request
	size    int64
	refused bool
}

func (w *rangeWriter) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("Content-Disposition")
	p := api.NewProblem(api.KindRange, status, "Range %q is not in the file's %d bytes", w.r.Header.Get("Range"), w.size)
	writeProblem(w.ResponseWriter, w.r, p)
}

func (w *rangeWriter) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// upload writes the body into a file, as a whole or not at all.
func (s *server) upload(c *gin.Context) error {
	p := query(c, "path", "executable", "mod_time")
	content := folders.Content{Reader: c.Request.Body, Size: c.Request.ContentLength}
	if p.text("executable") != "" {
		content.Executable = new(p.flag("executable"))
	}
	name, err := wantedPath(p)
	if err != nil {
		return err
	}
	if at := p.text("mod_time"); at != "" {
		if content.Modified, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return badField("?mod_time", "as in 2026-03-01T22:00:00Z", "%q is no time", at)
		}
	}
	if content.Digest, err = digestIn(c); err != nil {
		return err
	}
	if content.Replaces, err = seenVersion(c); err != nil {
		return err
	}
	f, err := s.findFolder(c, p, folders.ReadWrite)
	if err != nil {
		return err
	}
	if c.GetHeader("Content-Range") != "" {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "a file is written here as a whole; POST /folders/ID/uploads begins one in parts")
	}
	w, err := s.Files.Write(c.Request.Context(), f.Folder, name, content)
	if err != nil {
		return err
	}
	return s.respondWritten(c, f.Folder, w)
}
