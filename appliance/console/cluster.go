package console

import (
	"maps"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

func clusterPages() []Page {
	return []Page{{Pattern: "/boxes", Name: "boxes/list", Section: "boxes", Data: clusterData}}
}

func clusterActions() []Action {
	state := func(to, said string) func(*View) (Outcome, error) {
		return func(v *View) (Outcome, error) {
			_, err := v.API.UpdateBox(v.Context(), v.PathValue("name"), api.ClusterBoxUpdate{State: to})
			return Outcome{Toast: v.Say(said, v.PathValue("name"))}, err
		}
	}
	return []Action{
		{Pattern: "/boxes/{name}/approve", Do: func(v *View) (Outcome, error) {
			_, err := v.API.ApproveBox(v.Context(), v.PathValue("name"))
			return Outcome{Toast: v.Say("boxes.approved", v.PathValue("name"))}, err
		}},
		{Pattern: "/boxes/{name}/cordon", Do: state(api.BoxCordoned, "boxes.cordoned")},
		{Pattern: "/boxes/{name}/drain", Do: state(api.BoxDraining, "boxes.drained")},
		{Pattern: "/boxes/{name}/uncordon", Do: state(api.BoxIn, "boxes.uncordoned")},
		{Pattern: "/boxes/{name}/remove", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("boxes.removed", v.PathValue("name"))}, v.API.RemoveBox(v.Context(), v.PathValue("name"), false)
		}},
		{Pattern: "/boxes", Do: func(v *View) (Outcome, error) {
			t, err := v.API.CreateClusterToken(v.Context(), api.ClusterTokenCreate{Approve: v.Field("approve") != ""})
			return Outcome{Fragment: "fragment-secret", Data: secretOnce{ID: "join-command", Name: t.ID, Secret: "palisade join " + t.URL + " " + t.Token, Until: &t.ExpiresAt}}, err
		}},
	}
}

// clusterOnPage is a cluster, or a box that is in none.
type clusterOnPage struct {
	Self   api.ClusterSelf
	Status *api.ClusterStatus // nil: it is in none
}

// Label is a box's labels in a line.
func (clusterOnPage) Label(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, " ")
}

func clusterData(v *View) (any, error) {
	var out clusterOnPage
	var err error
	if out.Self, err = v.API.ClusterSelf(v.Context()); err != nil || out.Self.State != api.ClusterIn {
		return out, err
	}
	status, err := v.API.Cluster(v.Context())
	out.Status = &status
	return out, err
}
