package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Catalog is a place that recipes come from beside those that ship.
type Catalog struct {
	Name          string       `json:"name"`
	URL           string       `json:"url"`
	Path          string       `json:"path,omitempty"`     // the part of it that holds the recipes
	Kind          string       `json:"kind,omitempty"`     // git, folder, http, archive
	Title         string       `json:"title,omitempty"`    // as its maker calls it
	Tracks        string       `json:"tracks,omitempty"`   // of git: the branch or tag that is followed; empty: the first
	Pin           string       `json:"pin,omitempty"`      // the revision that it stays at
	Revision      string       `json:"revision"`           // what is in use: a commit, or sha256:...
	Previous      string       `json:"previous,omitempty"` // what was before, and is still here
	Serial        int64        `json:"serial,omitempty"`   // the largest of its signed indexes that was taken
	Key           string       `json:"key,omitempty"`      // ID of the key that must sign it
	SignedBy      string       `json:"signed_by,omitempty"`
	AllowUnsigned bool         `json:"allow_unsigned,omitempty"`
	Recipes       int          `json:"recipes"`            // that can be used
	Refused       string       `json:"refused,omitempty"`  // why nothing of it is used
	Problem       string       `json:"problem,omitempty"`  // what went wrong when its place was asked last
	Problems      []FieldError `json:"problems,omitempty"` // of single recipes
	AddedBy       string       `json:"added_by,omitempty"`
	AddedAt       time.Time    `json:"added_at"`
	UpdatedAt     *time.Time   `json:"updated_at,omitempty"`
	CheckedAt     *time.Time   `json:"checked_at,omitempty"`
}

// CatalogAdd is a catalog to be added.
type CatalogAdd struct {
	Name          string `json:"name"`
	URL           string `json:"url"`                      // a git repository, a folder of the box, an index.yaml, or a tar
	Path          string `json:"path,omitempty"`           // the part of it that holds the recipes
	Tracks        string `json:"tracks,omitempty"`         // of git: a branch or a tag
	Pin           string `json:"pin,omitempty"`            // a revision to stay at
	AllowUnsigned bool   `json:"allow_unsigned,omitempty"` // take it though nobody that is trusted has signed it
	TrustKey      string `json:"trust_key,omitempty"`      // a public key that is trusted from now on
}

// CatalogUpdate asks a catalog's place what is new.
type CatalogUpdate struct {
	DryRun        bool   `json:"dry_run,omitempty"` // say what would come, and take nothing
	AllowUnsigned bool   `json:"allow_unsigned,omitempty"`
	AcceptKey     string `json:"accept_key,omitempty"` // ID of another trusted key that signs from now on
}

// CatalogPin keeps a catalog where it is.
type CatalogPin struct {
	Revision string `json:"revision,omitempty"` // empty: the one in use
}

// CatalogUpdated is what an update brought, or would bring.
type CatalogUpdated struct {
	Catalog  string          `json:"catalog"`
	From     string          `json:"from,omitempty"`
	To       string          `json:"to"`
	Pinned   bool            `json:"pinned,omitempty"`
	Serial   int64           `json:"serial,omitempty"`
	SignedBy string          `json:"signed_by,omitempty"`
	Changes  []CatalogChange `json:"changes"`
	Broken   []string        `json:"broken,omitempty"` // recipes that came and cannot be used, with what is wrong
}

// CatalogChange is what became of one recipe.
type CatalogChange struct {
	Recipe string               `json:"recipe"`
	Kind   string               `json:"kind"` // added, removed, changed
	From   string               `json:"from,omitempty"`
	To     string               `json:"to,omitempty"`
	Fields []CatalogFieldChange `json:"fields,omitempty"`
}

// CatalogFieldChange is one value of a recipe that changed.
type CatalogFieldChange struct {
	Name string `json:"name"` // variants[fp8].images[0].reference
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// CatalogKey is a key that catalogs and bundles may be signed with.
type CatalogKey struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Kind      string    `json:"kind"` // minisign, cosign
	PublicKey string    `json:"public_key"`
	Catalogs  []string  `json:"catalogs,omitempty"` // that are signed with it
	AddedBy   string    `json:"added_by,omitempty"`
	AddedAt   time.Time `json:"added_at"`
}

// CatalogKeyTrust is a key to be trusted.
type CatalogKeyTrust struct {
	PublicKey string `json:"public_key"` // as minisign or cosign writes it
	Name      string `json:"name,omitempty"`
}

// catalogWait bounds what fetches a catalog: the appliance gives up first, after 10 minutes.
const catalogWait = 11 * time.Minute

// fetching sends a call that is answered when a catalog has come.
func (c *Client) fetching(ctx context.Context, k call, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catalogWait, fmt.Errorf("%s did not answer within %s", c.host, catalogWait))
	defer cancel()
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", k.method, k.path, err)
	}
	return nil
}

// Catalogs that were added, by name.
func (c *Client) Catalogs(ctx context.Context) ([]Catalog, error) {
	return list[Catalog](ctx, c, "/catalogs", nil)
}

// Catalog finds one.
func (c *Client) Catalog(ctx context.Context, name string) (Catalog, error) {
	var out Catalog
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/catalogs/" + seg(name)}, &out)
}

// AddCatalog takes a catalog in; it returns when all of it is here.
func (c *Client) AddCatalog(ctx context.Context, in CatalogAdd) (Catalog, error) {
	var out Catalog
	return out, c.fetching(ctx, call{method: http.MethodPost, path: "/catalogs", in: in}, &out)
}

// UpdateCatalog asks a catalog's place what is new, and takes it unless it is a dry run.
func (c *Client) UpdateCatalog(ctx context.Context, name string, in CatalogUpdate) (CatalogUpdated, error) {
	var out CatalogUpdated
	return out, c.fetching(ctx, call{method: http.MethodPost, path: "/catalogs/" + seg(name) + "/update", in: in}, &out)
}

// PinCatalog keeps a catalog at a revision.
func (c *Client) PinCatalog(ctx context.Context, name string, in CatalogPin) (CatalogUpdated, error) {
	var out CatalogUpdated
	return out, c.fetching(ctx, call{method: http.MethodPut, path: "/catalogs/" + seg(name) + "/pin", in: in}, &out)
}

// UnpinCatalog has a catalog follow its place again.
func (c *Client) UnpinCatalog(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/catalogs/" + seg(name) + "/pin"}, nil)
}

// RemoveCatalog forgets a catalog. What was installed from it stays.
func (c *Client) RemoveCatalog(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/catalogs/" + seg(name)}, nil)
}

// CatalogKeys are the keys that are trusted.
func (c *Client) CatalogKeys(ctx context.Context) ([]CatalogKey, error) {
	return list[CatalogKey](ctx, c, "/catalog-keys", nil)
}

// TrustCatalogKey believes a key from now on.
func (c *Client) TrustCatalogKey(ctx context.Context, in CatalogKeyTrust) (CatalogKey, error) {
	var out CatalogKey
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/catalog-keys", in: in}, &out)
}

// UntrustCatalogKey believes a key no more; one that catalogs are signed with only by force.
func (c *Client) UntrustCatalogKey(ctx context.Context, ref string, force bool) error {
	k := call{method: http.MethodDelete, path: "/catalog-keys/" + seg(ref)}
	if force {
		k.query = url.Values{"force": {strconv.FormatBool(force)}}
	}
	return c.unary(ctx, k, nil)
}
