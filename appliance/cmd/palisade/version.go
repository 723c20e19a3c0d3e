package main

import (
	"cmp"
	"runtime/debug"

	"github.com/palisade-run/palisade/appliance/api"
)

// linked is the version that the Makefile links in, git's description of what is built. It is "" after a plain
// go build.
var linked string

// version is what was linked in, else what Go has recorded of the build: the module's version with the commit in it,
// or the commit where there is no version.
func version() api.Version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return api.Version{Version: cmp.Or(linked, "devel")}
	}
	v := api.Version{Version: linked, GoVersion: info.GoVersion}
	changed := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "-dirty"
		}
	}
	if info.Main.Version != "(devel)" {
		v.Version = cmp.Or(v.Version, info.Main.Version)
	}
	if len(v.Commit) >= 12 {
		v.Version = cmp.Or(v.Version, v.Commit[:12]+changed)
	}
	v.Version = cmp.Or(v.Version, "devel")
	return v
}
