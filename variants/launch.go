package variants

import "github.com/palisade-run/palisade/catalog"

// LaunchSpec is all that a runtime must know to start an engine and all that a prober must know to
// watch it. It is resolved once, when a service's revision is made, and kept with the revision: every
// replica runs the same thing, and a rollback runs what ran before.
type LaunchSpec struct {
	Variant   string               `json:"variant"`
	ModelName string               `json:"model_name"`        // what clients ask for
	Port      int                  `json:"port"`              // the route's port, as the session sees it
	Health    *catalog.HealthCheck `json:"health,omitempty"`  // nil: healthy once the port accepts
	Mount     string               `json:"mount"`             // where the model folder is mounted, read-only
	Scratch   []string             `json:"scratch,omitempty"` // directories that must exist, empty and writable
	Env       map[string]string    `json:"env,omitempty"`
	Processes []Process            `json:"processes"` // at least one; the first is the one that is routed to
	Metrics   Metrics              `json:"metrics"`
	// Span is how it is started in several containers, of which the first runs Processes; nil: it has one.
	Span *Span `json:"span,omitempty"`
}

// Span is one engine in several containers, which may be on several boxes. In words and environment of all of them names in
// braces still stand for what is known only when they have their places: see Place.
type Span struct {
	Nodes  int       `json:"nodes"`  // how many containers
	Worker []Process `json:"worker"` // what each but the first runs
}

// Process is one started item of a definition.
type Process struct {
	Name     string           `json:"name"`
	PreStart []catalog.Action `json:"pre_start,omitempty"` // templates are expanded, paths are absolute
	Argv     []string         `json:"argv,omitempty"`      // empty: the image's own command
	// Shell is set when Argv is a shell, -c and a line of it.
	Shell string `json:"shell,omitempty"`
	// ShellFallback is set when Argv[0] is a shell that the file did not name: a runtime that does not
	// find it in the image uses this one.
	ShellFallback string            `json:"shell_fallback,omitempty"`
	WorkDir       string            `json:"work_dir"` // "": the image's own, for the image's own command
	Port          int               `json:"port"`
	Env           map[string]string `json:"env,omitempty"` // beyond LaunchSpec.Env: BACKEND_MODEL_NAME, BACKEND_MODEL_PATH
	// Together: of one of several containers, it is started when all of them run and what Await names takes connections:
	// HOST:PORT, or several with commas between them.
	Together bool     `json:"together,omitempty"`
	Await    []string `json:"await,omitempty"`
	// Socket is a TCP port that takes connections from before anything of the session runs; it is handed over as systemd hands over
	// sockets: descriptor 3, with LISTEN_FDS=1. Who connects before the process is up waits, and is not refused. Where somebody else
	// has the port nothing is handed over. 0: none.
	Socket int `json:"socket,omitempty"`
}

// Metrics says where an engine shows its figures and what it calls them.
type Metrics struct {
	Path string `json:"path,omitempty"` // "" where the engine has none
	Port int    `json:"port,omitempty"` // 0: the route's port
	// Names leads from our word (running, waiting, kv_usage, prompt_tokens, ...) to the engine's names for
	// it, over its versions: the first one that is there counts.
	Names map[string][]string `json:"names,omitempty"`
}
