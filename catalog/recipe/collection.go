package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// ErrNotFound is the kind of errors of finding. What wraps it is for people, and carries a Hint() string.
var ErrNotFound = errors.New("recipe not found")

// notFound is an ErrNotFound in a sentence.
type notFound struct{ message, hint string }

func (n *notFound) Error() string { return n.message }
func (n *notFound) Hint() string  { return n.hint }
func (n *notFound) Unwrap() error { return ErrNotFound }

// Collection is recipes of all catalogs at one moment. It does not change, and may be read by all at once; what it returns is
// not to be written to.
type Collection struct {
	entries []Entry          // in the order of their catalogs, and by name in each
	search  []searched       // beside entries
	names   map[string][]int // by name: entries, the preferred first
	listed  []int            // the newest of each ID
}

// NewCollection makes a collection. Where catalogs have the same name in them, the one that comes first has it; CATALOG/NAME finds
// the others. Of one catalog, a name may have several versions: the newest is meant where none is said.
func NewCollection(entries []Entry) *Collection {
	c := &Collection{entries: slices.Clone(entries), names: make(map[string][]int)}
	order := make(map[string]int)
	for _, e := range entries {
		if _, known := order[e.Catalog]; !known {
			order[e.Catalog] = len(order)
		}
	}
	slices.SortStableFunc(c.entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(order[a.Catalog], order[b.Catalog]), strings.Compare(a.Name, b.Name), CompareVersions(b.Version, a.Version))
	})
	last := ""
	for i, e := range c.entries {
		c.names[e.Name] = append(c.names[e.Name], i)
		c.search = append(c.search, searchedOf(e))
		if id := e.ID(); id != last {
			c.listed, last = append(c.listed, i), id
		}
	}
	return c
}

// CompareVersions orders versions of recipes: 2 before 10, 1.2 before 1.10.
func CompareVersions(a, b string) int {
	one, other := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(one), len(other)) {
		var x, y int
		if i < len(one) {
			x, _ = strconv.Atoi(one[i])
		}
		if i < len(other) {
			y, _ = strconv.Atoi(other[i])
		}
		if x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

// All are the newest versions of all recipes, in the order of their catalogs and names.
func (c *Collection) All() []Entry {
	out := make([]Entry, len(c.listed))
	for i, at := range c.listed {
		out[i] = c.entries[at]
	}
	return out
}

// Len counts All.
func (c *Collection) Len() int { return len(c.listed) }

// Versions are all versions of one recipe in its catalog, the newest first.
func (c *Collection) Versions(catalogName, name string) (out []Entry) {
	for _, i := range c.names[name] {
		if c.entries[i].Catalog == catalogName {
			out = append(out, c.entries[i])
		}
	}
	return out
}

// Find finds a recipe by NAME, NAME@VERSION, CATALOG/NAME or CATALOG/NAME@VERSION. ErrNotFound says what may have been meant.
func (c *Collection) Find(text string) (Entry, error) {
	from, name, said := strings.Cut(text, "/")
	if !said {
		from, name = "", text
	}
	name, version, _ := strings.Cut(name, "@")
	var versions []string
	owner := from
	for _, i := range c.names[name] {
		e := c.entries[i]
		owner = cmp.Or(owner, e.Catalog) // a version is one of the catalog that has the name
		if e.Catalog != owner {
			continue
		}
		if version == "" || CompareVersions(e.Version, version) == 0 {
			return e, nil
		}
		versions = append(versions, e.Version)
	}
	if len(versions) > 0 {
		return Entry{}, &notFound{
			message: fmt.Sprintf("there is no version %s of %s", spelling.Short(version), name),
			hint:    "there is " + strings.Join(versions, ", "),
		}
	}
	return Entry{}, c.missing(text, from, name)
}

// missing says what may have been meant.
func (c *Collection) missing(text, from, name string) error {
	out := &notFound{message: fmt.Sprintf("there is no recipe %q", spelling.Short(text)), hint: seeAll}
	if name == "" {
		return out
	}
	if others := c.names[name]; from != "" && len(others) > 0 {
		out.hint = "did you mean " + c.entries[others[0]].ID() + "?"
	} else {
		out.hint = c.alike(name)
	}
	if elsewhere := c.elsewhere(text, from, name); elsewhere != "" {
		out.hint = strings.TrimSuffix(elsewhere+"; "+out.hint, "; "+seeAll)
	}
	return out
}

const seeAll = "see: palisade catalog list"

// alike names the recipes that a name may stand for.
func (c *Collection) alike(name string) string {
	names := make([]string, 0, len(c.names))
	for _, i := range c.listed {
		names = append(names, c.entries[i].Name)
	}
	hint := cmp.Or(spelling.DidYouMean(name, names), seeAll)
	if found := c.Search(Query{Text: name, Limit: 4}); len(found) > 0 {
		words := make([]string, len(found))
		for i, f := range found {
			words[i] = c.shortest(f.Entry)
		}
		hint = "did you mean " + strings.Join(words, ", ") + "?"
	}
	return hint
}

// elsewhere says how a place is written that looks like the name of a recipe; "" for what looks like none.
func (c *Collection) elsewhere(text, from, name string) string {
	catalogs := func(e Entry) bool { return e.Catalog == from }
	switch {
	case from == "" || slices.ContainsFunc(c.entries, catalogs):
		return ""
	case strings.Trim(from, ".~") == "":
		return "a place on the box is given by its whole path: /.../" + spelling.Short(name)
	}
	return "a model of Hugging Face is hf:" + spelling.Short(text)
}

// shortest is what an entry is called by: its name, where that is its own.
func (c *Collection) shortest(e Entry) string {
	if c.entries[c.names[e.Name][0]].Catalog == e.Catalog {
		return e.Name
	}
	return e.ID()
}
