package admin

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// params are the parameters of a request's query. The first that is wrong is kept.
type params struct {
	values url.Values
	err    error
}

var projectName = regexp.MustCompile(`^\w[\w.-]{0,62}\w$`)

// query reads the parameters that a handler knows; project is known to all. Any other is refused: a misspelt
// follow=true must not look like a short log. One that is known as NAME... may be given several times.
func query(c *gin.Context, known ...string) *params {
	p := &params{}
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		p.err = badField("query", "", "%v", err)
		return p
	}
	p.values = values
	known = append(known, "project")
	var several []string
	for i, name := range known {
		if plain, ok := strings.CutSuffix(name, "..."); ok {
			known[i], several = plain, append(several, plain)
		}
	}
	for name, v := range values {
		switch {
		case !slices.Contains(known, name):
			hint := "known here: " + strings.Join(known, ", ")
			if near := spelling.Nearest(name, known); near != "" {
				hint = "did you mean \"" + near + "\"?"
			}
			p.err = badField("?"+name, hint, "there is no such parameter")
		case len(v) > 1 && !slices.Contains(several, name):
			p.err = badField("?"+name, "", "given %d times", len(v))
		}
	}
	if name := values.Get("project"); name != "" && !projectName.MatchString(name) {
		p.err = badField("?project", "", "%q is no name of a project", name)
	}
	return p
}

// project the request is about.
func (p *params) project() string {
	if name := p.values.Get("project"); name != "" {
		return name
	}
	return DefaultProject
}

func (p *params) text(name string) string { return p.values.Get(name) }

// flag reads true or false; an absent one is false.
func (p *params) flag(name string) bool {
	word := p.values.Get(name)
	if word == "" {
		return false
	}
	v, err := strconv.ParseBool(word)
	if err != nil && p.err == nil {
		p.err = badField("?"+name, "", "%q: must be true or false", word)
	}
	return v
}

// number reads a whole number from least to most.
func (p *params) number(name string, otherwise, least, most int) int {
	word := p.values.Get(name)
	if word == "" {
		return otherwise
	}
	n, err := strconv.Atoi(word)
	if (err != nil || n < least || n > most) && p.err == nil {
		p.err = badField("?"+name, "", "%q: must be a whole number from %d to %d", word, least, most)
	}
	return n
}

// respondPage answers with the part of items that limit and cursor ask for. key gives each item's place in
// the order, unlike every other's: a cursor stays good though items come and go.
func respondPage[T any](c *gin.Context, p *params, items []T, key func(T) string) error {
	part, next, err := pageOf(p, items, key)
	if err != nil {
		return err
	}
	page := api.Page[T]{Items: []T{}, Next: next}
	page.Items = append(page.Items, part...)
	return respond(c, 200, page)
}

// pageOf is the part of items that limit and cursor ask for, and the cursor of the next one, "" at the end.
func pageOf[T any](p *params, items []T, key func(T) string) (part []T, next string, err error) {
	limit := p.number("limit", api.DefaultLimit, 1, api.MaxLimit)
	after, err := base64.RawURLEncoding.DecodeString(p.text("cursor"))
	if err != nil && p.err == nil {
		p.err = badField("?cursor", "take it from the \"next\" of an answer", "%q is no cursor", p.text("cursor"))
	}
	if p.err != nil {
		return nil, "", p.err
	}
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	from := 0
	if len(after) > 0 {
		from, _ = slices.BinarySearchFunc(items, string(after)+"\x00", func(item T, k string) int { return strings.Compare(key(item), k) })
	}
	part = items[from:min(from+limit, len(items))]
	if from+limit < len(items) {
		next = base64.RawURLEncoding.EncodeToString([]byte(key(part[limit-1])))
	}
	return part, next, nil
}
