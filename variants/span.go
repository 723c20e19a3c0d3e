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
	namePort     = "{ports[0]}"
	nameListen   = "{listen_address}"
)

// nameCommand is a word of a head's or a worker's command: those of the variant's own are in its place.
const nameCommand = "{command}"

// listenEverywhere is where an engine listens in a container with a network of its own.
const listenEverywhere = "0.0.0.0"

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
	if !r.together() {
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
		base = r.variant.own(m.Head.Command)
	}
	shared := append(r.words(base), r.more...)
	if !r.saysParallel(shared) {
		shared = append(shared, r.words(m.Parallel)...)
	}
	head := r.spec.Processes[0]
	head.Together = true
	head.Argv, head.Await = slices.Concat(shared, r.words(m.Head.Arguments)), r.words(m.Head.Await)
	worker := head
	worker.Env, worker.Await = maps.Clone(head.Env), r.words(m.Worker.Await)
	if m.Worker.Command != nil {
		shared = r.words(r.variant.own(m.Worker.Command))
	}
	worker.Argv = slices.Concat(shared, r.words(m.Worker.Arguments))
	if !r.spec.takesPort(worker) {
		worker.Port = 0
	}
	r.spec.Processes[0], r.spec.Span.Worker = head, []Process{worker}
}

// together reports whether own program starts the engine when all its containers run: it has a command to start.
func (r *resolver) together() bool {
	return r.req.Nodes > 1 && r.variant.MultiNode != nil && !r.variant.ReadsDefinition && len(r.variant.Command) > 0
}

// own is a command of a head or a worker with the variant's own where it is named.
func (v Variant) own(command []string) []string {
	var words []string
	for _, word := range command {
		if word == nameCommand {
			words = append(words, v.Command...)
		} else {
			words = append(words, word)
		}
	}
	return words
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
	// OwnPort is of a container that shares its box's ports: where its engine listens in place of the variant's port, and on loopback
	// alone. 0: it has a network of its own.
	OwnPort int
}

// Placed is what an engine in several containers runs in one of them, with what is known now in place of the names of processes
// that start together, and in the environment of those.
func (p Place) Placed(l LaunchSpec) LaunchSpec {
	if !slices.ContainsFunc(l.Processes, func(process Process) bool { return process.Together }) {
		return l
	}
	l.Port = l.PortAt(p.OwnPort)
	listen := listenEverywhere
	if p.OwnPort != 0 {
		listen = "127.0.0.1"
	}
	var env map[string]string
	l.Processes = slices.Clone(l.Processes)
	for i := range l.Processes {
		process := &l.Processes[i]
		if !process.Together {
			continue
		}
		if p.OwnPort != 0 && l.takesPort(*process) {
			process.Port = p.OwnPort
		}
		with := strings.NewReplacer(nameRank, strconv.Itoa(p.Rank), nameHeadPort, strconv.Itoa(p.HeadPort), nameNodePort, strconv.Itoa(p.NodePort),
			nameWorkers, strings.Join(p.Workers, ","), namePort, strconv.Itoa(process.Port), nameListen, listen)
		process.Argv, process.Await = replaced(with, process.Argv), replaced(with, process.Await)
		if env == nil { // all that start together have the one
			env = make(map[string]string, len(l.Env))
			for name, value := range l.Env {
				env[name] = with.Replace(value)
			}
		}
	}
	l.Env = env
	return l
}

// PortAt is the port of a route whose container shares its box's ports, of which one is its own: that one, where the engine takes the
// port that it is told. Of an own of 0 it is the variant's.
func (l LaunchSpec) PortAt(own int) int {
	if own != 0 && l.Port != 0 && len(l.Processes) > 0 && l.takesPort(l.Processes[0]) {
		return own
	}
	return l.Port
}

// FixedPort reports whether the containers of an engine could not share a box's ports: more than one of them wants the same one.
func (l LaunchSpec) FixedPort() bool {
	return l.Span != nil && slices.ContainsFunc(l.Span.Worker, func(p Process) bool { return p.Port != 0 && !l.takesPort(p) })
}

// takesPort reports whether a process listens where it is told.
func (l LaunchSpec) takesPort(p Process) bool {
	names := func(text string) bool { return strings.Contains(text, namePort) }
	return p.Together && (slices.ContainsFunc(p.Argv, names) || slices.ContainsFunc(slices.Collect(maps.Values(l.Env)), names))
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
		if *lists[key], ok = list.Texts(); !ok {
			continue
		}
		items, _ := list.Items("")
		for i, word := range *lists[key] {
			if key != "command" || word != nameCommand {
				checkTemplate(v, items[i], word, spanNames...)
			} else if len(v.Command) == 0 {
				items[i].Error("say its words", "%s: the variant has no command of its own", nameCommand)
			}
		}
	}
	if len(v.Command) == 0 && len(part.Arguments) > 0 && part.Command == nil {
		m.Get("arguments").Error("give it a command", "an image's own command takes no arguments")
	}
	return part
}
