package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/index"
)

// Catalogs are where recipes come from beside those that ship. *index.Index is one.
type Catalogs interface {
	Catalogs(ctx context.Context) []index.View
	Catalog(ctx context.Context, name string) (index.View, error)
	Add(ctx context.Context, q index.Request) (index.View, error)
	Remove(ctx context.Context, name string) error
	CatalogNews
	CatalogKeys
}

// CatalogNews are what catalogs have that is not here yet, and what keeps it away.
type CatalogNews interface {
	Update(ctx context.Context, name string, t index.Trust) (index.Update, error)
	Compare(ctx context.Context, name string, t index.Trust) (index.Update, error)
	Pin(ctx context.Context, name, revision string) (index.Update, error)
	Unpin(ctx context.Context, name string) error
}

// CatalogKeys are whose signatures are believed.
type CatalogKeys interface {
	Keys(ctx context.Context) []index.TrustedKey
	Trust(ctx context.Context, text, name, by string) (index.TrustedKey, error)
	Untrust(ctx context.Context, ref string, force bool) error
}

func catalogOut(v index.View) api.Catalog {
	return api.Catalog{
		Name: v.Name, URL: v.URL, Path: v.Dir, Kind: string(v.Kind), Title: v.Title, Tracks: v.Track, Pin: v.Pin, Revision: v.Revision,
		Previous: v.Previous, Serial: v.Serial, Key: v.Key, SignedBy: v.SignedBy, AllowUnsigned: v.Unsigned, Recipes: v.Recipes,
		Refused: v.Refused, Problem: v.Problem, Problems: fieldErrors(v.Problems), AddedBy: v.AddedBy, AddedAt: v.AddedAt.UTC(),
		UpdatedAt: timePtr(v.UpdatedAt), CheckedAt: timePtr(v.CheckedAt),
	}
}

func updateOut(u index.Update) api.CatalogUpdated {
	out := api.CatalogUpdated{Catalog: u.Catalog, From: u.From, To: u.To, Pinned: u.Pinned, Serial: u.Serial, SignedBy: u.Signed,
		Changes: []api.CatalogChange{}, Broken: u.Broken}
	for _, c := range u.Changes {
		change := api.CatalogChange{Recipe: c.Recipe, Kind: c.Kind, From: c.From, To: c.To}
		for _, f := range c.Fields {
			change.Fields = append(change.Fields, api.CatalogFieldChange{Name: f.Name, From: f.From, To: f.To})
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}

func (s *server) listCatalogs(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.Catalog{}
	for _, v := range s.Catalogs.Catalogs(c.Request.Context()) {
		items = append(items, catalogOut(v))
	}
	return respondPage(c, p, items, func(v api.Catalog) string { return v.Name })
}

func (s *server) addCatalog(c *gin.Context) error {
	var in api.CatalogAdd
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.catalogFrom(ctx, in.URL, in.Path); err != nil {
		return err
	}
	v, err := s.Catalogs.Add(ctx, index.Request{
		Name: in.Name, URL: in.URL, Dir: in.Path, Track: in.Tracks, Pin: in.Pin, Trust: index.Trust{Unsigned: in.AllowUnsigned},
		PublicKey: in.TrustKey, By: actorOf(ctx).Name,
	})
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/catalogs/"+v.Name)
	return respond(c, http.StatusCreated, catalogOut(v))
}

func (s *server) getCatalog(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	v, err := s.Catalogs.Catalog(c.Request.Context(), c.Param("name"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, catalogOut(v))
}

func (s *server) removeCatalog(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	if err := s.Catalogs.Remove(c.Request.Context(), c.Param("name")); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) updateCatalog(c *gin.Context) error {
	var in api.CatalogUpdate
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	change := s.Catalogs.Update
	if in.DryRun {
		change = s.Catalogs.Compare
	}
	u, err := change(c.Request.Context(), c.Param("name"), index.Trust{Unsigned: in.AllowUnsigned, Key: in.AcceptKey})
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, updateOut(u))
}

func (s *server) pinCatalog(c *gin.Context) error {
	var in api.CatalogPin
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	u, err := s.Catalogs.Pin(c.Request.Context(), c.Param("name"), in.Revision)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, updateOut(u))
}

func (s *server) unpinCatalog(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	if err := s.Catalogs.Unpin(c.Request.Context(), c.Param("name")); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) catalogKey(ctx context.Context, k index.TrustedKey) api.CatalogKey {
	kind, _, _ := strings.Cut(k.ID, ":")
	out := api.CatalogKey{ID: k.ID, Name: k.Name, Kind: kind, PublicKey: k.Text, AddedBy: k.AddedBy, AddedAt: k.AddedAt.UTC()}
	for _, v := range s.Catalogs.Catalogs(ctx) {
		if v.Key == k.ID {
			out.Catalogs = append(out.Catalogs, v.Name)
		}
	}
	return out
}

func (s *server) listCatalogKeys(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.CatalogKey{}
	for _, k := range s.Catalogs.Keys(c.Request.Context()) {
		items = append(items, s.catalogKey(c.Request.Context(), k))
	}
	return respondPage(c, p, items, func(k api.CatalogKey) string { return k.ID })
}

func (s *server) trustCatalogKey(c *gin.Context) error {
	var in api.CatalogKeyTrust
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	k, err := s.Catalogs.Trust(ctx, in.PublicKey, in.Name, actorOf(ctx).Name)
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/catalog-keys/"+k.ID)
	return respond(c, http.StatusCreated, s.catalogKey(ctx, k))
}

func (s *server) untrustCatalogKey(c *gin.Context) error {
	p := query(c, "force")
	force := p.flag("force")
	if p.err != nil {
		return p.err
	}
	if err := s.Catalogs.Untrust(c.Request.Context(), c.Param("id"), force); err != nil {
		return err
	}
	return noContent(c)
}
