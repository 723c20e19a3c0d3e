package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// revised is a revision with what it changed.
type revised struct {
	api.Revision
	Changes []change
	First   bool
}

// change is one field of a recipe that became another.
type change struct{ Field, Was, Is string }

func revisionsTab(v *View, d *servicePage) error {
	all, err := v.API.Revisions(v.Context(), v.PathValue("id"))
	if err != nil {
		return err
	}
	for i, r := range all {
		one := revised{Revision: r, First: i == 0}
		if i > 0 {
			one.Changes = diffRecipes(all[i-1].Recipe, r.Recipe)
		}
		d.Revisions = append(d.Revisions, one)
	}
	slices.Reverse(d.Revisions)
	return nil
}

// diffRecipes says what is different. Values that may be secrets are not said.
func diffRecipes(was, is api.Recipe) []change {
	before, after := fieldsOf(was), fieldsOf(is)
	names := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]string{before, after} {
			for name := range m {
				if !yield(name) {
					return
				}
			}
		}
	}))
	var out []change
	for _, name := range names {
		if before[name] == after[name] {
			continue
		}
		c := change{name, before[name], after[name]}
		if env, is := strings.CutPrefix(name, "environ."); is && hidesValue(env) {
			c.Was, c.Is = covered(c.Was), covered(c.Is)
		}
		out = append(out, c)
	}
	return out
}

// fieldsOf is a recipe, flat.
func fieldsOf(r api.Recipe) map[string]string {
	out := map[string]string{
		"image": r.Image, "folder": cmp.Or(r.FolderName, r.Folder), "runtime_variant": r.RuntimeVariant,
		"model_definition_path": r.ModelDefinitionPath, "model_mount_destination": r.ModelMount,
	}
	for prefix, m := range map[string]map[string]string{"environ.": r.Environ, "resources.": r.Resources, "resource_opts.": r.ResourceOpts, "selector.": r.Selector} {
		for k, v := range m {
			out[prefix+k] = v
		}
	}
	if r.ClusterSize > 1 {
		out["cluster_size"], out["cluster_mode"] = strconv.Itoa(r.ClusterSize), r.ClusterMode
	}
	for i, m := range r.Mounts {
		word := m.Folder + " → " + m.Target
		if m.ReadOnly {
			word += " (ro)"
		}
		out[fmt.Sprintf("mounts[%d]", i)] = word
	}
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

// secretWords are parts of names of variables whose values are not shown.
func secretWords() []string {
	return []string{"TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH", "PRIVATE"}
}

// hidesValue tells whether a variable's value is likely to open something. One that names a kept secret shows that name alone,
// but whether it does is not to be seen from here.
func hidesValue(name string) bool {
	upper := strings.ToUpper(name)
	return slices.ContainsFunc(secretWords(), func(w string) bool { return strings.Contains(upper, w) })
}

// covered is what stands for a value that is not shown.
func covered(value string) string {
	if value == "" {
		return ""
	}
	return "••••••"
}

func rollBackService(v *View) (Outcome, error) {
	number := 0
	if word := v.Field("revision"); word != "" {
		n, err := strconv.Atoi(word)
		if err != nil {
			return Outcome{}, badInput("revision", v.Say("services.form.number"))
		}
		number = n
	}
	s, err := v.API.RollBack(v.Context(), v.PathValue("id"), number)
	return Outcome{Toast: v.Say("services.rolled_back", s.Revision)}, err
}

// eventKinds are those that can be looked for.
func eventKinds() []string {
	return []string{"created", "updated", "scaled", "autoscaled", "started", "ended", "failed", "accept", "cleared", "destroying"}
}

// mostEvents is how many a page has.
const mostEvents = 200

func eventsTab(v *View, d *servicePage) (err error) {
	d.EventKind = v.Parameter("kind")
	d.Events, err = v.API.Events(v.Context(), v.PathValue("id"), d.EventKind, mostEvents)
	return err
}

// EventKinds are the kinds to choose from: the known ones, and those that there are.
func (d *servicePage) EventKinds() []string {
	kinds := eventKinds()
	for _, e := range d.Events {
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}
