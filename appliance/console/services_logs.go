package console

import (
	"net/url"
	"slices"

	"github.com/palisade-run/palisade/appliance/api"
)

// logPage is where the page's script reads a log, and what of it.
type logPage struct {
	Route  string // "": of all
	Source string // address of the API
	Raw    string // the same without following, to be kept
}

// logTail is how much of a log is shown before it is followed.
const logTail = "1000"

func logsTab(v *View, d *servicePage) error {
	d.Log.Route = v.Parameter("route")
	q := url.Values{"project": {v.Project}}
	if d.Log.Route != "" {
		q.Set("route", d.Log.Route)
	}
	path := api.Prefix + "/services/" + url.PathEscape(v.PathValue("id")) + "/logs?"
	d.Log.Raw = path + q.Encode()
	q.Set("tail", logTail)
	q.Set("follow", "true")
	d.Log.Source = path + q.Encode()
	return nil
}

// LogRoutes are the replicas whose log can be chosen: those that there are, and the one that was.
func (d *servicePage) LogRoutes() []string {
	var out []string
	for _, r := range d.Service.Routes {
		out = append(out, r.ID)
	}
	if d.Log.Route != "" && !slices.Contains(out, d.Log.Route) {
		out = append(out, d.Log.Route)
	}
	return out
}
