package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/sessions"
)

// ownPlaces are directories that a session has for itself, empty.
var ownPlaces = []string{"/tmp", "/var/tmp"}

// searched are the directories of a PATH that lie where a session has its own: they are shown to it read-only, so
// that an engine which the daemon finds is found in the session too. Nothing is shown of what is hidden.
func searched(path string, hide []string) []sessions.Mount {
	var mounts []sessions.Mount
	for _, dir := range filepath.SplitList(path) {
		dir = filepath.Clean(dir)
		own := slices.ContainsFunc(ownPlaces, func(place string) bool { return strings.HasPrefix(dir, place+"/") })
		hidden := slices.ContainsFunc(hide, func(h string) bool { return dir == h || strings.HasPrefix(dir, h+"/") || strings.HasPrefix(h, dir+"/") })
		shown := slices.ContainsFunc(mounts, func(m sessions.Mount) bool { return m.Source == dir })
		if !own || hidden || shown {
			continue
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			mounts = append(mounts, sessions.Mount{Source: dir, Target: dir, ReadOnly: true})
		}
	}
	return mounts
}
