package admin

import (
	"context"
	"net/http"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/fetch"
)

// hostImage is the image of plain processes of the box.
const hostImage = "host"

// What reaches beyond a project takes an administrator: secrets of the box in an environment can be read by whoever runs there,
// plain processes of the box are root on it, and its own files are nobody's who only has a part in a project.

// Beyond says what in a wish is not for who has only a part in a project; nil: nothing. hostForAll permits plain processes of
// the box to everybody.
func Beyond(image string, env map[string]string, hostForAll bool) error {
	switch {
	case image == hostImage && !hostForAll:
		p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "plain processes of the box (image host) are for administrators: they can do everything there")
		p.Hint = "name an image of a container; or an administrator lets everybody: people.host_sessions in the settings"
		return p
	case holdsSecrets(env):
		p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "secrets of the appliance are put into environments by administrators: who runs there can read them")
		p.Hint = "ask an administrator to make it, or give a value of your own"
		return p
	}
	return nil
}

// permitReach says why who asks may not have an image with an environment.
func (s *server) permitReach(ctx context.Context, image string, env map[string]string) error {
	if s.rights.grant(actorOf(ctx), "").admin {
		return nil
	}
	return Beyond(image, env, s.HostSessions)
}

// permitSource says why who asks may not have files from a place: those of the box itself.
func (s *server) permitSource(ctx context.Context, source string) error {
	ref, err := fetch.ParseRef(source)
	if err == nil && ref.Scheme == "file" && !s.rights.grant(actorOf(ctx), "").admin {
		return boxFiles("a model of the box's own files")
	}
	if err == nil {
		return s.placeFrom(ctx, ref)
	}
	return nil // who fetches it says what else is wrong
}

func boxFiles(what string) error {
	p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "%s is taken in by administrators", what)
	p.Hint = "upload the files into a folder: palisade folder cp"
	return p
}
