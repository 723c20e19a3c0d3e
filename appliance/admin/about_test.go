package admin

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

var required = regexp.MustCompile(`(?m)^\s*(?:require )?([\w./~-]+\.[\w./~-]+) v\S+`)

// Each module that may be built in has its licence listed, and one that the appliance may be handed on with.
func TestLicensesAreListed(t *testing.T) {
	raw, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for line := range strings.Lines(licenses) {
		path, license, _ := strings.Cut(strings.TrimSpace(line), " ")
		of[path] = license
	}
	good := map[string]bool{"Apache-2.0": true, "MIT": true, "BSD-2-Clause": true, "BSD-3-Clause": true, "ISC": true, "MPL-2.0": true, "Unlicense": true, "CC0-1.0": true}
	seen := 0
	for _, m := range required.FindAllStringSubmatch(string(raw), -1) {
		if seen++; !good[of[m[1]]] {
			t.Errorf("%s has the licence %q in licenses.txt: add the line \"%s SPDX\"; look at its LICENSE in $(go env GOMODCACHE)", m[1], of[m[1]], m[1])
		}
	}
	if seen < 50 {
		t.Errorf("only %d modules were found in go.mod", seen)
	}
}

func TestCleaner(t *testing.T) {
	v := sessions.ServiceView{}
	v.Name, v.Project, v.Recipe.Env = "chat-service", "default", map[string]string{"HF_TOKEN": "planted-in-a-service", "N": "1", "PROJECT": "default", "DIR": "/home/work", "Q": `with "quotes" in it`}
	s := sessions.Session{Launch: variants.LaunchSpec{Env: map[string]string{"KEY": "planted-in-a-session"}}}
	clean := cleaner([]sessions.ServiceView{v}, []sessions.Session{s})
	in := `1 default /home/work chat-service: planted-in-a-service, planted-in-a-session, "with \"quotes\" in it" pal_abcdefghijklmnopqrstuvwxyz Bearer abcdefghijklmn hf_abcdefghijklmnopqrst nvapi-abcdefghijklmnopqrstuv`
	if got := string(clean([]byte(in))); got != `1 default /home/work chat-service: ***, ***, "***" *** *** *** ***` {
		t.Error(got)
	}
}

func TestAboutKnowsItsModules(t *testing.T) {
	for _, m := range modules() {
		if m.License == "" && !strings.HasPrefix(m.Path, "github.com/palisade-run/") {
			t.Errorf("%s has no licence", m.Path)
		}
	}
	var _ api.About
}
