package index

import (
	"context"
	"regexp"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// Catalog is a catalog that an owner added, as it is kept.
type Catalog struct {
	Name     string // small letters, digits and '-'
	URL      string // as it was given; ParsePlace reads it
	Dir      string // the part of it that holds the recipes
	Track    string // of git: the branch or tag that is followed; empty: the repository's first
	Pin      string // the revision that it stays at; empty: it follows
	Unsigned bool   // the owner takes it without a signature
	Key      string // ID of the key that must sign; empty: unsigned

	Revision string // what is in use: a commit, or sha256:...
	Previous string // what was in use before, and is still here
	Serial   int64  // the largest of a signed index that was taken
	Digest   string // of the index.yaml with that serial

	AddedBy   string
	AddedAt   time.Time
	UpdatedAt time.Time // when Revision came
	CheckedAt time.Time // when its place was asked last
	Problem   string    // what went wrong then; empty: nothing
}

// TrustedKey is a key that the owner believes.
type TrustedKey struct {
	ID      string // signature.Key's
	Name    string // what the owner calls it
	Text    string // as signature.ParseKey reads it
	AddedBy string
	AddedAt time.Time
}

// Store keeps catalogs and keys.
type Store interface {
	Catalogs(ctx context.Context) ([]Catalog, error)  // by name
	SaveCatalog(ctx context.Context, c Catalog) error // inserts or replaces
	DeleteCatalog(ctx context.Context, name string) error
	CatalogKeys(ctx context.Context) ([]TrustedKey, error) // oldest first
	SaveCatalogKey(ctx context.Context, k TrustedKey) error
	DeleteCatalogKey(ctx context.Context, id string) error
}

// View is a catalog with what is in it now.
type View struct {
	Catalog
	Kind     Kind
	Title    string
	SignedBy string           // ID of the key that signed what is in use; empty: nobody that is trusted
	Recipes  int              // that can be used
	Problems catalog.Problems // of those that cannot, and what else is odd
	Refused  string           // why nothing of it is used; empty: it is
}

// loaded is a catalog as it lies on the box, read.
type loaded struct {
	view    View
	entries []recipe.Entry
	damaged bool // its copy is gone, or was changed on this box
}

// sound says whether the copy can stay where nothing new came. The revision of an index does not say who signed it: another
// signature over the same one is something new.
func (l loaded) sound(key string) bool {
	return !l.damaged && l.view.Refused == "" && l.view.SignedBy == key
}

// bundles are not a catalog, but are called like one: bundle/NAME.
const bundles = "bundle"

var catalogName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// checkName says what is wrong with the name of a catalog.
func checkName(name string) error {
	switch {
	case name == recipe.Shipped:
		return invalid("the catalog that comes with Palisade is called "+name, "choose another name")
	case name == bundles:
		return invalid("what bundles brought is called "+name+"/NAME", "choose another name")
	case !catalogName.MatchString(name):
		return invalid("a catalog is not called that", "small letters, digits and '-', at most 32, and a letter or digit at both ends")
	}
	return nil
}

// parse reads keys back that were checked when they came.
func parse(kept []TrustedKey) []signature.Key {
	var keys []signature.Key
	for _, k := range kept {
		if key, err := signature.ParseKey([]byte(k.Text)); err == nil { // one that is damaged believes nobody
			keys = append(keys, key)
		}
	}
	return keys
}
