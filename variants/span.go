package variants

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// MultiNode is how an engine is started in several containers, which may be on several boxes: the head, of rank 0, which
// answers requests, and its workers. An empty one runs the same in all of them, which go by their environment.
type MultiNode struct {
	Head   SpanPart `json:"head,omitzero"`
	Worker SpanPart `json:"worker,omitzero"`
	// Parallel are arguments that say how the model is spread, for head and workers, where the owner says nothing of it: no
	// argument of the variant's sizing that has to do with it.
	Parallel []string          `json:"parallel,omitempty"`
	Env      map[string]string `json:"env,omitempty"` // templates; the owner's own win
}

// SpanPart is what a head has of its own, or a worker.
type SpanPart struct {
	// Command is in place of the variant's; a worker's takes none of the arguments that the head has.
	Command   []string `json:"command,omitempty"`
	Arguments []string `json:"arguments,omitempty"` // behind all others
	Await     []string `json:"await,omitempty"`     // HOST:PORT: what must take connections before it is started
}

// Names that stand in the words of a Span until its containers have their places, and NodeAddress and HeadAddress until the
// container itself runs: only there names are resolved.
const (
	nameRank     = "{node_rank}"
	nameHeadPort = "{head_port}"
	nameNodePort = "{node_port}"
	nameWorkers  = "{workers}"
	NodeAddress  = "{node_address}"
	HeadAddress  = "{head_address}"
)

// spanNames are the names that templates of multi_node may use beyond those of any.
var spanNames = []string{"nodes", "devices", "all_devices", "node_rank", "head_port", "node_port", "workers", "node_address", "head_address"}

// span resolves what runs in each of several containers.
func (r *resolver) span() {
	m := r.variant.MultiNode
	if m == nil {
		r.fail("cluster_size", "leave it at 1; those that do: "+strings.Join(r.spanning(), ", "), "the runtime variant %s runs in one container", r.variant.Name)
		return
	}
	if len(r.spec.Processes) == 0 {
		return // what is wrong has been told
	}
	r.spec.Span = &Span{Nodes: r.req.Nodes}
	if r.variant.ReadsDefinition || len(r.spec.Processes[0].Argv) == 0 {
		r.spec.Span.Worker = slices.Clone(r.spec.Processes)
		return
	}
	r.values["nodes"], r.values["devices"] = strconv.Itoa(r.req.Nodes), strconv.Itoa(max(1, r.req.Devices))
	r.values["all_devices"] = strconv.Itoa(r.req.Nodes * max(1, r.req.Devices))
	for name, text := range m.Env {
		if _, said := r.req.Env[name]; !said {
			r.spec.Env[name], _ = expand(text, r.values)
		}
	}
	base := r.variant.Command
	if m.Head.Command != nil {
		base = m.Head.Command
	}
	shared := append(r.words(base), r.more...)
	if !r.saysParallel(shared) {
		shared = append(shared, r.words(m.Parallel)...)
	}
	head := r.spec.Processes[0]
	head.Together = true
	head.Argv, head.Await = slices.Concat(shared, r.words(m.Head.Arguments)), r.words(m.Head.Await)
	worker := head
	worker.Env, worker.Port, worker.Await = maps.Clone(head.Env), 0, r.words(m.Worker.Await)
	if m.Worker.Command != nil {
		shared = r.words(m.Worker.Command)
	}
	worker.Argv = slices.Concat(shared, r.words(m.Worker.Arguments))
	r.spec.Processes[0], r.spec.Span.Worker = head, []Process{worker}
}

// saysParallel reports whether the owner says how the model is spread.
func (r *resolver) saysParallel(argv []string) bool {
	n := r.variant.Sizing
	if n == nil {
		return false
	}
	c := command{names: *n, args: argv, env: func(name string) string { return r.spec.Env[name] }}
	return c.text(n.Tensor) != "" || c.text(n.Pipeline) != ""
}

// spanning are the variants that run in several containers.
func (r *resolver) spanning() []string {
	var names []string
	for _, v := range r.table.variants {
		if v.MultiNode != nil {
			names = append(names, v.Name)
		}
	}
	return names
}

// Workers is what each container but the first runs: nothing in it is routed to, or asked for its health.
func (l LaunchSpec) Workers() LaunchSpec {
	if l.Span == nil {
		return l
	}
	l.Processes, l.Span, l.Port, l.Health, l.Metrics = l.Span.Worker, nil, 0, nil, Metrics{}
	return l
}

// Place is what is known of a container when all containers of its engine have their places.
type Place struct {
	Rank     int      // from 0, the head's
	HeadPort int      // where the head may listen for its workers
	NodePort int      // where the container may listen for its head
	Workers  []string // HOST:PORT of each worker, by rank
}

// Placed are processes of an engine in several containers, with what is known now in place of the names of those that start together.
func (p Place) Placed(processes []Process) []Process {
	with := strings.NewReplacer(nameRank, strconv.Itoa(p.Rank), nameHeadPort, strconv.Itoa(p.HeadPort), nameNodePort, strconv.Itoa(p.NodePort),
		nameWorkers, strings.Join(p.Workers, ","))
	processes = slices.Clone(processes)
	for i := range processes {
		if !processes[i].Together {
			continue
		}
		processes[i].Argv, processes[i].Await = replaced(with, processes[i].Argv), replaced(with, processes[i].Await)
	}
	return processes
}

func replaced(with *strings.Replacer, words []string) []string {
	out := slices.Clone(words)
	for i, word := range out {
		out[i] = with.Replace(word)
	}
	return out
}

// readMultiNode reads how an engine is started in several containers. Null takes back what a variant began with.
func readMultiNode(v *Variant, f catalog.Field) *MultiNode {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown("head", "worker", "parallel", "env")
	out := &MultiNode{Head: readSpanPart(v, m.Get("head")), Worker: readSpanPart(v, m.Get("worker")), Env: readEnv(v, nil, m.Get("env"), spanNames...)}
	parallel := m.Get("parallel")
	if out.Parallel, ok = parallel.Texts(); ok {
		checkTemplates(v, parallel, out.Parallel, spanNames...)
	}
	return out
}

func readSpanPart(v *Variant, f catalog.Field) SpanPart {
	var part SpanPart
	m, ok := f.Map()
	if !ok {
		return part
	}
	lists := map[string]*[]string{"command": &part.Command, "arguments": &part.Arguments, "await": &part.Await}
	m.WarnUnknown(slices.Sorted(maps.Keys(lists))...)
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		list := m.Get(key)
		if *lists[key], ok = list.Texts(); ok {
			checkTemplates(v, list, *lists[key], spanNames...)
		}
	}
	if len(v.Command) == 0 && len(part.Arguments) > 0 && part.Command == nil {
		m.Get("arguments").Error("give it a command", "an image's own command takes no arguments")
	}
	return part
}
