package admin

import (
	_ "embed"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
)

// licenses has a line "PATH SPDX" for each module of go.mod: what is built in does not carry its licence with it.
//
//go:embed licenses.txt
var licenses string

func (s *server) about(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	v := s.Version
	v.Gateway = s.PublicURL + "/v1"
	return respond(c, http.StatusOK, api.About{Version: v, Modules: modules()})
}

// modules are those that this program is built of.
func modules() []api.Module {
	out := []api.Module{}
	built, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	of := map[string]string{}
	for line := range strings.Lines(licenses) {
		if path, license, found := strings.Cut(strings.TrimSpace(line), " "); found {
			of[path] = license
		}
	}
	for _, m := range built.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, api.Module{Path: m.Path, Version: m.Version, License: of[m.Path]})
	}
	return out
}

func (s *server) listSettings(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	if s.Settings == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "this appliance does not tell its settings")
	}
	at := map[string]string{}
	all := s.Settings()
	for i, one := range all {
		at[one.Name] = fmt.Sprintf("%06d", i)
	}
	return respondPage(c, p, all, func(v api.Setting) string { return at[v.Name] })
}
