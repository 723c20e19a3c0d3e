package admin

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
)

func (s *server) updateFolder(c *gin.Context) error {
	p := query(c)
	var in api.FolderUpdate
	f, err := s.findFolder(c, p, folders.Owner)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	changed, err := s.Folders.Update(c.Request.Context(), f.Project, f.ID, folders.Change{Name: in.Name, Quota: in.Quota})
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.folder(p, folders.Reached{Folder: changed, Permission: f.Permission}))
}

func (s *server) folderUse(c *gin.Context) error {
	f, err := s.findFolder(c, query(c), folders.ReadOnly)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	use, err := s.Folders.Use(ctx, f.Folder, time.Second)
	if err != nil {
		return err
	}
	arriving, err := s.Files.Uploads(ctx, f.Folder)
	if err != nil {
		return err
	}
	_, project, err := s.Folders.Bounds(ctx, f.Folder)
	if err != nil {
		return err
	}
	over, err := s.Folders.OverQuota(ctx, f.Folder)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.FolderUse{
		Bytes: use.Bytes, Files: use.Files, Directories: use.Directories, At: use.At.UTC(), Incomplete: use.Incomplete, Arriving: len(arriving),
		Quota: f.Quota, ProjectQuota: project.Limit, ProjectHeld: project.Held, Over: over,
	})
}

func folderShare(g folders.Grant) api.FolderShare {
	return api.FolderShare{
		Person: g.Person, ToProject: g.Project, Permission: string(g.Permission), CreatedBy: g.CreatedBy, CreatedAt: g.CreatedAt.UTC(),
	}
}

func (s *server) listShares(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	grants, err := s.Folders.Grants(c.Request.Context(), f.Folder)
	if err != nil {
		return err
	}
	items := []api.FolderShare{}
	for _, g := range grants {
		items = append(items, folderShare(g))
	}
	return respondPage(c, p, items, func(s api.FolderShare) string { return s.Person + "\x00" + s.ToProject })
}

func (s *server) putShare(c *gin.Context) error {
	var in api.FolderShare
	f, err := s.findFolder(c, query(c), folders.Owner)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if in.ToProject != "" && !projectName.MatchString(in.ToProject) {
		return badField("to_project", "", "%q is no name of a project", in.ToProject)
	}
	ctx := c.Request.Context()
	g, err := s.Folders.Share(ctx, f.Folder, folders.Grant{
		Person: in.Person, Project: in.ToProject, Permission: folders.Permission(in.Permission), CreatedBy: actorOf(ctx).Name,
	})
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, folderShare(g))
}

func (s *server) removeShare(c *gin.Context) error {
	p := query(c, "person", "to_project")
	f, err := s.findFolder(c, p, folders.Owner)
	if err != nil {
		return err
	}
	if (p.text("person") == "") == (p.text("to_project") == "") {
		return badField("?person", "?person=NAME or ?to_project=NAME", "one of the two is needed")
	}
	if err := s.Folders.Unshare(c.Request.Context(), f.Folder, p.text("person"), p.text("to_project")); err != nil {
		return err
	}
	return noContent(c)
}

// cloneFrom is the project whose folders who asks means, of those that they see: the one that the query names, else their own,
// else the one in which the clone is to be.
func (s *server) cloneFrom(c *gin.Context, p *params, to string) string {
	a := actorOf(c.Request.Context())
	if from := cmp.Or(p.text("project"), s.ownProject(a)); s.rights.Sees(a, from) {
		return from
	}
	return to
}

// cloneFolder sends a FolderCloning a line, at least one in pingEvery. The clone ends with the request.
func (s *server) cloneFolder(c *gin.Context) error {
	p := query(c)
	var in api.FolderClone
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	project, err := s.projectOf(c, p, in.Project)
	if err != nil {
		return err
	}
	f, err := s.Folders.Reach(c.Request.Context(), s.who(c, s.cloneFrom(c, p, project)), c.Param("id"), folders.ReadOnly)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	spec := folders.Spec{Name: in.Name, Project: project, Usage: folders.Usage(in.Usage), CreatedBy: actorOf(ctx).Name}
	news, done := make(chan folders.Cloned), make(chan struct{})
	defer func() { cancel(); <-done }() // however this ends, the clone has ended before
	var made folders.Folder
	var end folders.Cloned
	var failed error
	go func() {
		defer close(done)
		made, end, failed = s.Folders.Clone(ctx, f.Folder, spec, func(p folders.Cloned) {
			select {
			case news <- p:
			case <-ctx.Done():
			}
		})
	}()
	send := newLines(c)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var last folders.Cloned
	for {
		select {
		case last = <-news:
		case <-ping.C:
		case <-done:
			line := cloning(end)
			switch {
			case failed != nil && !send.begun:
				return failed
			case failed != nil:
				line.Problem = problemOf(ctx, failed)
				line.Problem.RequestID = requestIDOf(ctx)
			default:
				out := s.folder(p, folders.Reached{Folder: made, Permission: folders.Owner})
				line.Folder = &out
			}
			return send.write(line)
		}
		if err := send.write(cloning(last)); err != nil {
			return err
		}
	}
}

func cloning(c folders.Cloned) api.FolderCloning {
	return api.FolderCloning{Files: c.Files, Bytes: c.Bytes, OfFiles: c.Of.Files, OfBytes: c.Of.Bytes, Shared: c.Shared, LeftOut: c.LeftOut}
}

func (s *server) listTrash(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	trashed, err := s.Folders.Trash(c.Request.Context(), p.project())
	if err != nil {
		return err
	}
	items := []api.Folder{}
	for _, f := range trashed {
		items = append(items, s.folder(p, folders.Reached{Folder: f, Permission: folders.Owner}))
	}
	return respondPage(c, p, items, func(f api.Folder) string { return f.Name + "\x00" + f.TrashedAt.Format(time.RFC3339Nano) + f.ID })
}

func (s *server) restoreFolder(c *gin.Context) error {
	p := query(c)
	var in api.FolderRestore
	if err := firstError(p.err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	f, err := s.Folders.Restore(c.Request.Context(), p.project(), c.Param("id"), in.Name)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.folder(p, folders.Reached{Folder: f, Permission: folders.Owner}))
}

func (s *server) purgeFolder(c *gin.Context) error {
	p := query(c)
	if p.err != nil {
		return p.err
	}
	if err := s.Folders.Purge(c.Request.Context(), p.project(), c.Param("id")); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) makeDirectory(c *gin.Context) error {
	var in api.DirectoryCreate
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if strings.Trim(in.Path, "/") == "" {
		return badField("path", "from the folder's root, as in runs/7", "is needed")
	}
	if err := s.Files.MakeDirectory(f.Folder, in.Path); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) moveEntry(c *gin.Context) error {
	var in api.EntryMove
	f, err := s.findFolder(c, query(c), folders.WriteDelete)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	for field, path := range map[string]string{"from": in.From, "to": in.To} {
		if strings.Trim(path, "/") == "" {
			return badField(field, "from the folder's root, as in runs/7", "is needed")
		}
	}
	if err := s.Files.MoveEntry(f.Folder, in.From, in.To); err != nil {
		return err
	}
	return noContent(c)
}
