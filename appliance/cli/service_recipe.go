package cli

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// recipeFlags are the flags that say what a service runs and how it is treated.
type recipeFlags struct {
	variant, definition, destination string
	env, resources, options, mounts  []string
	selector                         []string
	public                           bool
	priority                         int
	clusterSize                      int
	clusterMode                      string

	unhealthyTTL, grace, startTimeout time.Duration
	onUnhealthy                       string
	surge, unavailable                int

	routing routingFlags
}

func (r *recipeFlags) add(a *app, cmd *cobra.Command, create bool) {
	f := cmd.Flags()
	variant := ""
	if create {
		variant = "custom"
	}
	f.StringVar(&r.variant, "runtime-variant", variant, "kind of engine; see: palisade runtimes")
	f.StringArrayVarP(&r.env, "env", "e", nil, "environment NAME=VALUE; NAME alone passes this shell's on (repeatable)")
	f.StringArrayVarP(&r.resources, "resource", "r", nil, "resources SLOT=AMOUNT: cpu=4, mem=32g, cuda.device=1, cuda.shares=0.5 (repeatable)")
	f.StringArrayVar(&r.options, "resource-opts", nil, "resource options NAME=VALUE: shmem=2g (repeatable)")
	f.StringArrayVar(&r.selector, "selector", nil, "labels that its node must have, NAME=VALUE (repeatable)")
	f.IntVar(&r.clusterSize, "cluster-size", 1, "containers of each route, each with all of the resources: an engine that is larger than a box, or a device")
	f.StringVar(&r.clusterMode, "cluster-mode", "single-node", "where the containers of a route may be: single-node, or multi-node, on as few boxes as it can be")
	f.IntVar(&r.priority, "priority", 10, "place of its routes in the queue: 0 to 100, higher first")
	f.StringArrayVarP(&r.mounts, "mount", "v", nil,
		"extra folder: NAME, NAME:PATH, NAME:PATH:ro, NAME/SUB:PATH for a directory in it, or type=bind,source=NAME,target=PATH,permission=ro (repeatable)")
	f.StringVar(&r.definition, "model-definition-path", "", "definition file, from the folder's root")
	f.StringVar(&r.destination, "model-mount-destination", "", "where the model folder is seen (default /models)")
	f.BoolVar(&r.public, "public", false, "anyone may use it, without a token")
	f.Var(newDuration(&r.unhealthyTTL, time.Minute), "unhealthy-ttl", "a route unhealthy for longer is replaced")
	f.StringVar(&r.onUnhealthy, "on-unhealthy", "replace", "what becomes of a route that stays unhealthy: replace, or hold (for a person to look at)")
	f.Var(newDuration(&r.grace, 30*time.Second), "termination-grace", "time to finish requests, and from SIGTERM to SIGKILL")
	f.Var(newDuration(&r.startTimeout, 30*time.Minute), "start-timeout", "time from start to the first healthy probe")
	f.IntVar(&r.surge, "max-surge", 1, "routes more than wanted during an update")
	f.IntVar(&r.unavailable, "max-unavailable", 0, "routes fewer than wanted during an update")
	r.routing.add(cmd)
	_ = cmd.RegisterFlagCompletionFunc("runtime-variant", a.completeAt(-1, a.variantNames))
	_ = cmd.RegisterFlagCompletionFunc("cluster-mode", fixedWords("single-node", "multi-node"))
	_ = cmd.RegisterFlagCompletionFunc("on-unhealthy", fixedWords("replace", "hold"))
}

// policy returns what the flags say of the policy; nil when they say nothing.
func (r *recipeFlags) policy(cmd *cobra.Command) *api.Policy {
	p, changed := &api.Policy{}, false
	given := func(name string) bool {
		changed = changed || cmd.Flags().Changed(name)
		return cmd.Flags().Changed(name)
	}
	if given("unhealthy-ttl") {
		p.UnhealthyTTL = new(r.unhealthyTTL.Seconds())
	}
	if given("on-unhealthy") {
		p.OnUnhealthy = &r.onUnhealthy
	}
	if given("termination-grace") {
		p.TerminationGrace = new(r.grace.Seconds())
	}
	if given("start-timeout") {
		p.StartTimeout = new(r.startTimeout.Seconds())
	}
	if given("max-surge") {
		p.MaxSurge = &r.surge
	}
	if given("max-unavailable") {
		p.MaxUnavailable = &r.unavailable
	}
	if !changed {
		return nil
	}
	return p
}

func (r *recipeFlags) create(a *app, cmd *cobra.Command, args []string) (api.ServiceCreate, error) {
	in := api.ServiceCreate{
		Image: args[0], RuntimeVariant: r.variant, OpenToPublic: r.public,
		ModelDefinitionPath: r.definition, ModelMount: r.destination, Policy: r.policy(cmd), Routing: r.routing.routing(cmd),
	}
	if r.clusterSize != 1 {
		in.ClusterSize, in.ClusterMode = r.clusterSize, r.clusterMode
	} else if cmd.Flags().Changed("cluster-mode") {
		return in, &usageError{message: "--cluster-mode says where several containers are, and there is one", hint: "add --cluster-size N"}
	}
	if len(args) > 1 {
		in.Folder = args[1]
	}
	if len(args) > 2 {
		n, err := count(args[2])
		if err != nil {
			return in, err
		}
		in.Replicas = &n
	}
	var err error
	if in.Environ, err = pairs("-e", r.env, a.LookupEnv); err != nil {
		return in, err
	}
	if in.Resources, err = pairs("-r", r.resources, nil); err != nil {
		return in, err
	}
	if in.ResourceOpts, err = pairs("--resource-opts", r.options, nil); err != nil {
		return in, err
	}
	if in.Selector, err = pairs("--selector", r.selector, nil); err != nil {
		return in, err
	}
	in.Priority = ifGiven(cmd.Flags().Changed("priority"), r.priority)
	in.Mounts, err = r.mountList()
	return in, err
}

func (r *recipeFlags) mountList() ([]api.Mount, error) {
	var out []api.Mount
	for _, word := range r.mounts {
		m, err := parseMount(word)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// parseMount reads NAME, NAME:PATH, NAME:PATH:ro|rw, and type=bind,source=NAME,target=PATH,permission=ro|rw.
func parseMount(word string) (api.Mount, error) {
	bad := func(format string, args ...any) (api.Mount, error) {
		return api.Mount{}, &usageError{
			message: fmt.Sprintf("--mount %q: ", word) + fmt.Sprintf(format, args...),
			hint:    "write NAME, NAME:PATH, NAME:PATH:ro, or type=bind,source=NAME,target=PATH,permission=ro",
		}
	}
	var m api.Mount
	permission := "rw"
	if strings.Contains(word, "=") {
		for part := range strings.SplitSeq(word, ",") {
			key, value, _ := strings.Cut(part, "=")
			switch key {
			case "type":
				if value != "bind" {
					return bad("type %q: only bind is known", value)
				}
			case "source", "src":
				m.Folder = value
			case "target", "dst", "destination":
				m.Target = value
			case "permission", "perm":
				permission = value
			case "readonly", "ro":
				permission = "ro"
			default:
				return bad("unknown key %q", key)
			}
		}
	} else {
		parts := strings.Split(word, ":")
		if len(parts) > 3 {
			return bad("too many colons")
		}
		m.Folder = parts[0]
		if len(parts) > 1 {
			m.Target = parts[1]
		}
		if len(parts) > 2 {
			permission = parts[2]
		}
	}
	switch {
	case m.Folder == "":
		return bad("no folder named")
	case strings.HasPrefix(m.Folder, "/") || strings.HasPrefix(m.Folder, "."):
		return api.Mount{}, &usageError{
			message: fmt.Sprintf("--mount %q: sessions see folders, not any directory of the box", word),
			hint: "make it a folder: palisade folder import " + shellWord(m.Folder) + " --name NAME, where it is on the appliance's box; from elsewhere:\n" +
				"palisade folder create NAME --usage data, then palisade folder cp " + shellWord(strings.TrimSuffix(m.Folder, "/")+"/.") + " NAME:",
		}
	case m.Target != "" && !strings.HasPrefix(m.Target, "/"):
		return bad("the path in the session must be absolute, not %q", m.Target)
	case permission != "ro" && permission != "rw" && permission != "wd":
		return bad("permission %q: must be ro, rw or wd", permission)
	}
	m.ReadOnly = permission == "ro"
	return m, nil
}

func (a *app) serviceUpdate() *cobra.Command {
	var r recipeFlags
	var w waitFlags
	var name, image, folder string
	var replicas int
	var reload bool
	var unset unsetFlags
	cmd := &cobra.Command{
		Use: "update SERVICE", Short: "Change a service; what runs is replaced without losing a request",
		Long: "Change a service. A change of what runs makes a new revision, which replaces the old one route by\n" +
			"route; one that does not get healthy is rolled back. How requests find their routes (--balance,\n" +
			"--max-in-flight, --max-held, --repeat-guard, ...) counts at once and replaces nothing.\n" +
			"What no flag names stays as it is.",
		Args: words("SERVICE", 1, 1), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := r.update(a, cmd, unset)
			if err != nil {
				return err
			}
			given := cmd.Flags().Changed
			in.Name, in.Image, in.Folder = ifGiven(given("name"), name), ifGiven(given("image"), image), ifGiven(given("folder"), folder)
			in.Replicas, in.Reload = ifGiven(given("replicas"), replicas), reload
			if reflect.ValueOf(in).IsZero() {
				return &usageError{message: "nothing to change", hint: "name what to change, for example: -e NAME=VALUE, --image IMAGE; see: " + cmd.CommandPath() + " --help"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.UpdateService(cmd.Context(), args[0], in, 0)
			if err != nil {
				return inFlags(err, flagsOfRouting())
			}
			a.warn(s.Warnings)
			if in.Replicas != nil {
				a.notePause(s)
			}
			if w.wait {
				if s, err = a.waitForService(cmd.Context(), c, s, w.timeout); err != nil {
					return err
				}
			}
			return a.showService(s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "new name")
	f.StringVar(&image, "image", "", "new image")
	f.StringVar(&folder, "folder", "", "new model folder")
	f.IntVar(&replicas, "replicas", 0, "number of routes")
	f.BoolVar(&reload, "reload", false, "read the model definition again, though nothing else changes")
	f.StringArrayVar(&unset.env, "unset-env", nil, "take a variable of the environment away (repeatable)")
	f.StringArrayVar(&unset.resources, "unset-resource", nil, "take a resource away (repeatable)")
	f.StringArrayVar(&unset.selector, "unset-selector", nil, "take a label that its node must have away (repeatable)")
	r.add(a, cmd, false)
	w.add(cmd)
	_ = cmd.RegisterFlagCompletionFunc("folder", a.completeAt(-1, a.folderNames))
	return cmd
}

func ifGiven[T any](given bool, v T) *T {
	if !given {
		return nil
	}
	return &v
}

func (r *recipeFlags) update(a *app, cmd *cobra.Command, unset unsetFlags) (api.ServiceUpdate, error) {
	given := cmd.Flags().Changed
	in := api.ServiceUpdate{
		OpenToPublic: ifGiven(given("public"), r.public), Policy: r.policy(cmd), Routing: r.routing.routing(cmd),
		RuntimeVariant:      ifGiven(given("runtime-variant"), r.variant),
		ModelDefinitionPath: ifGiven(given("model-definition-path"), r.definition),
		ModelMount:          ifGiven(given("model-mount-destination"), r.destination),
		Priority:            ifGiven(given("priority"), r.priority),
		ClusterSize:         ifGiven(given("cluster-size"), r.clusterSize),
		ClusterMode:         ifGiven(given("cluster-mode"), r.clusterMode),
	}
	for _, m := range []struct {
		flag   string
		words  []string
		lookup func(string) (string, bool)
		into   *map[string]*string
	}{
		{"-e", r.env, a.LookupEnv, &in.Environ},
		{"-r", r.resources, nil, &in.Resources},
		{"--resource-opts", r.options, nil, &in.ResourceOpts},
		{"--selector", r.selector, nil, &in.Selector},
	} {
		values, err := pairs(m.flag, m.words, m.lookup)
		if err != nil {
			return in, err
		}
		for k, v := range values {
			if *m.into == nil {
				*m.into = map[string]*string{}
			}
			(*m.into)[k] = &v
		}
	}
	for _, u := range []struct {
		names []string
		into  *map[string]*string
	}{{unset.env, &in.Environ}, {unset.resources, &in.Resources}, {unset.selector, &in.Selector}} {
		for _, name := range u.names {
			if *u.into == nil {
				*u.into = map[string]*string{}
			}
			(*u.into)[name] = nil
		}
	}
	if given("mount") {
		mounts, err := r.mountList()
		if err != nil {
			return in, err
		}
		in.Mounts = &mounts
	}
	return in, nil
}

// unsetFlags name what an update takes away.
type unsetFlags struct{ env, resources, selector []string }
