package daemon

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/palisade-run/palisade/appliance/api"
)

// BuildVersion says what this program is, from what was linked in (linked, may be "") and from the
// build information that Go keeps.
func BuildVersion(linked string) api.Version {
	v := api.Version{Version: linked, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		v.Version = cmp.Or(v.Version, "unknown")
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	if info.Main.Version != "(devel)" {
		v.Version = cmp.Or(v.Version, info.Main.Version)
	}
	v.Version = cmp.Or(v.Version, v.Commit, "development")
	return v
}
