package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
)

const withSecrets = `version: 1
name: nightly
defaults: {image: "python:3", environ: {SHARED: opens-a-door, KIND: &e environ}}
tasks:
  - name: first # kept
    command: echo ${{ params.x }}
    # before: opens-a-door
    environ: # opens-a-door
      # OLD_TOKEN: opens-a-door
      HF_TOKEN: "opens-a-door" # was opens-a-door
      SCRIPT: |
        opens-a-door
        twice
      # LAST_TOKEN: opens-a-door
  - name: second
    depends_on: [first]
    serve: {service: demo, image: "engine:1", environ: {API_KEY: opens-a-door}}
  - name: third
    command: "true"
    *e : {ALIASED: opens-a-door}
parameters: {x: 1}
notifications:
  - {url: "https://hooks.example/opens-a-door", on: [failure]}
`

// TestValuesOfPipelines are for who may change them, as those of services are.
func TestValuesOfPipelines(t *testing.T) {
	const value = "opens-a-door"
	w := newTown(t)
	body, err := json.Marshal(map[string]string{"definition": withSecrets, "file": "nightly.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if answer := w.as("owner", "POST", "/pipelines?project=red", string(body)); answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if answer := w.as("owner", "POST", "/jobs?project=red", `{"pipeline":"nightly"}`); answer.Code != http.StatusCreated {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	routes, _ := admin.Routes()
	asked := 0
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if method != "GET" || !strings.HasPrefix(pattern, "/pipelines") && !strings.HasPrefix(pattern, "/jobs") {
			continue
		}
		for _, who := range []string{"viewer", "read"} {
			asked++
			if answer := w.as(who, "GET", strings.Replace(pattern, ":id", "nightly", 1)+"?project=red", ""); answer.Code != http.StatusOK || strings.Contains(answer.Body.String(), value) {
				t.Errorf("%s at %s: %d %s", who, pattern, answer.Code, answer.Body)
			}
		}
	}
	if asked < 10 {
		t.Errorf("%d were asked for", asked)
	}
	for who, sees := range map[string]bool{"viewer": false, "read": false, "member": true, "owner": true, "admin": true, "socket": true} {
		text := w.as(who, "GET", "/pipelines/nightly?project=red", "").Body.String()
		if strings.Contains(text, value) != sees || !strings.Contains(text, "HF_TOKEN") || !strings.Contains(text, "API_KEY") || !strings.Contains(text, "# kept") || !strings.Contains(text, "params.x") {
			t.Errorf("%s: %s", who, text)
		}
	}
}
