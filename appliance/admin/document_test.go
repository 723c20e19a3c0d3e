package admin

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/appliance/api"
)

// TestDocumentIsTheRoutes: what is documented is there, and what is there is documented.
func TestDocumentIsTheRoutes(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	(&server{readable: map[string]bool{}}).routes(e)
	var routed []string
	for _, r := range e.Routes() {
		path := strings.TrimPrefix(r.Path, api.Prefix)
		for part := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				path = strings.Replace(path, part, "{"+name+"}", 1)
			}
		}
		routed = append(routed, r.Method+" "+path)
	}
	var doc struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	var documented []string
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for _, r := range routed {
		if !slices.Contains(documented, r) {
			t.Errorf("%s is not in openapi.yaml", r)
		}
	}
	for _, d := range documented {
		if !slices.Contains(routed, d) {
			t.Errorf("%s is documented and not there", d)
		}
	}
}

// TestActionsAreOperations: the record calls a change as the document does.
func TestActionsAreOperations(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	(&server{}).table(func(_ need, method, path string, h func(*gin.Context) error) {
		parts := strings.Split(path, "/")
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		node := doc.Paths[strings.Join(parts, "/")][strings.ToLower(method)]
		var op struct {
			ID string `yaml:"operationId"`
		}
		if err := node.Decode(&op); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		if method != "GET" && method != "HEAD" && nameOf(h) != op.ID {
			t.Errorf("%s %s: recorded as %s, documented as %s", method, path, nameOf(h), op.ID)
		}
	})
}

// TestRecordsKnowTheRoutes: a route that is called otherwise one day is still recorded as it was meant to be.
func TestRecordsKnowTheRoutes(t *testing.T) {
	there := map[string]bool{}
	(&server{}).table(func(_ need, method, path string, _ func(*gin.Context) error) { there[method+" "+path] = true })
	named := slices.Concat(unrecorded, entering, contents, proofs)
	for _, path := range slices.Concat(unlooked, single) {
		named = append(named, "GET "+path)
	}
	for _, route := range named {
		if !there[route] {
			t.Errorf("there is no route %s", route)
		}
	}
}

func FuzzDecodeStrict(f *testing.F) {
	for _, s := range []string{
		`{"image":"host"}`, `{"image":"host","mounts":[{"folder":"a"}],"policy":{"max_surge":1}}`, `{"a":{"b":[1,2,{"c":null}]}}`, "{}", "[", `{"image":1}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var in api.ServiceCreate
		err := decodeStrict([]byte(body), &in)
		if p, ok := errors.AsType[*api.Problem](err); err != nil && (!ok || p.Status != 400 || p.Detail == "") {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
