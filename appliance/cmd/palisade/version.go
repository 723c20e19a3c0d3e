package main

import (
	"runtime/debug"

	"github.com/palisade-run/palisade/appliance/api"
)

// version is what the build has recorded: the module's version, or the commit where there is none.
func version() api.Version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return api.Version{Version: "unknown"}
	}
	v := api.Version{Version: info.Main.Version, GoVersion: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	return v
}
