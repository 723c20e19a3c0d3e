package console

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// newService is what the form of a new service offers.
type newService struct {
	Runtimes []api.Runtime
	Folders  []api.Folder // that hold models
	Images   []api.Image
	Slots    []serviceSlot
	Variant  string // that was chosen
	Folder   string
	Host     bool // plain processes of this box are possible: nothing else runs sessions here
}

// serviceSlot is a resource that can be asked for.
type serviceSlot struct {
	Slot, Hint string // "cuda.device", "8 × NVIDIA H100"
}

func newServicePage() Page {
	return Page{Pattern: "/services/new", Name: "services/new", Section: "services", Still: true, Data: func(v *View) (any, error) {
		d := newService{Variant: v.Parameter("variant"), Folder: v.Parameter("folder")}
		var nodes []api.Node
		ctx := v.Context()
		if err := together(
			func() (err error) { d.Runtimes, err = v.API.Runtimes(ctx); return err },
			func() (err error) { d.Folders, err = v.API.Folders(ctx); return err },
			func() (err error) { nodes, err = v.API.Nodes(ctx); return err },
			func() (err error) { // a runtime of plain processes keeps none
				if d.Images, err = v.API.Images(ctx); unsupported(err) {
					err = nil
				}
				return err
			},
		); err != nil {
			return nil, err
		}
		d.Folders = slices.DeleteFunc(d.Folders, func(f api.Folder) bool { return f.Usage != "model" && f.Name != d.Folder })
		d.Slots = slotsOf(nodes)
		d.Host = slices.ContainsFunc(nodes, func(n api.Node) bool { return n.Runtime == "process" })
		return d, nil
	}}
}

// slotsOf are the kinds of accelerators that there are.
func slotsOf(nodes []api.Node) []serviceSlot {
	var out []serviceSlot
	for _, n := range nodes {
		for _, dev := range n.Devices {
			if slices.ContainsFunc(out, func(s serviceSlot) bool { return s.Slot == dev.Slot }) {
				continue
			}
			out = append(out, serviceSlot{dev.Slot, dev.Name})
			if dev.Slot == "cuda.device" {
				out = append(out, serviceSlot{"cuda.shares", dev.Name})
			}
		}
	}
	return out
}

// serviceOf reads the form of a new service.
func serviceOf(v *View) (api.ServiceCreate, error) {
	f := v.PostForm
	in := api.ServiceCreate{
		Name: strings.TrimSpace(f.Get("name")), Image: strings.TrimSpace(f.Get("image")), Folder: f.Get("folder"), RuntimeVariant: f.Get("runtime_variant"),
		ModelDefinitionPath: strings.TrimSpace(f.Get("model_definition_path")), OpenToPublic: f.Get("open_to_public") != "",
		Resources: prefixed(f, "resources."), Environ: pairsOf(f["environ.name"], f["environ.value"]),
	}
	for field, to := range map[string]**int{"replicas": &in.Replicas, "priority": &in.Priority} {
		if strings.TrimSpace(f.Get(field)) == "" {
			continue
		}
		n, err := wholeNumber(v, field)
		if err != nil {
			return in, err
		}
		*to = &n
	}
	if text := strings.TrimSpace(f.Get("cluster_size")); text != "" && text != "1" {
		n, err := wholeNumber(v, "cluster_size")
		if err != nil {
			return in, err
		}
		in.ClusterSize, in.ClusterMode = n, f.Get("cluster_mode")
	}
	return in, nil
}

// prefixed are the fields of a form whose names begin with a word, without it; those that are empty are left out.
func prefixed(f url.Values, prefix string) map[string]string {
	out := map[string]string{}
	for name := range f {
		if key, ok := strings.CutPrefix(name, prefix); ok && key != "" {
			if value := strings.TrimSpace(f.Get(name)); value != "" {
				out[key] = value
			}
		}
	}
	return out
}

// pairsOf are names with their values; a row without a name is none.
func pairsOf(names, values []string) map[string]string {
	out := map[string]string{}
	for i, name := range names {
		if name = strings.TrimSpace(name); name != "" && i < len(values) {
			out[name] = values[i]
		}
	}
	return out
}

// foreseen is what would come of the service that the form asks for.
type foreseen struct {
	api.ServiceCheck
	Problem *api.Problem // why it would be refused
	Empty   bool         // nothing is said yet
}

// Full tells whether all of its routes have a place now.
func (f foreseen) Full() bool { return f.Start >= f.Replicas }

// foreseeService answers while somebody types: what is wrong so far is part of the answer.
func foreseeService(v *View) (Outcome, error) {
	out := Outcome{Fragment: "fragment-service-fit"}
	in, err := serviceOf(v)
	if err == nil && in.Image == "" && in.Folder == "" {
		out.Data = foreseen{Empty: true}
		return out, nil
	}
	var f foreseen
	if err == nil {
		f.ServiceCheck, err = v.API.CheckService(v.Context(), in)
	}
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status < 500 {
		f.Problem, err = p, nil
	}
	out.Data = f
	return out, err
}

// createService makes it, and, where that was asked for, a token, whose secret is shown this once.
func createService(v *View) (Outcome, error) {
	in, err := serviceOf(v)
	if err != nil {
		return Outcome{}, err
	}
	s, err := v.API.CreateService(v.Context(), in)
	if err != nil {
		return Outcome{}, err
	}
	to := "/services/" + url.PathEscape(s.Name)
	if v.Field("token") == "" {
		return Outcome{To: to}, nil
	}
	issued, err := v.API.IssueToken(v.Context(), s.ID, api.TokenCreate{Name: s.Name, Duration: cmp.Or(v.Field("token_duration"), "30d")})
	return Outcome{Fragment: "fragment-service-made", Data: struct {
		Service api.Service
		Issued  api.TokenIssued
	}{s, issued}}, err
}
