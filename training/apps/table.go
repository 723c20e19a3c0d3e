package apps

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Protocol is what an app speaks.
type Protocol string

// The protocols. The door opens HTTP alone; TCP goes through a tunnel.
const (
	HTTP Protocol = "http"
	TCP  Protocol = "tcp"
)

// Source says who names an app.
type Source string

// The sources.
const (
	BuiltIn   Source = "built-in"   // the appliance's own
	Image     Source = "image"      // a label of the image
	Preopen   Source = "preopen"    // the session's owner, with --preopen
	WellKnown Source = "well-known" // nobody: it is there where its program is
)

// The labels of an image.
const (
	// LabelPorts is NAME:PROTOCOL:PORT[,...]; the protocol http, tcp or preopen.
	LabelPorts = "ai.backend.service-ports"
	// LabelLine, with the name of an app behind it, is the line for /bin/sh that starts it.
	LabelLine = "run.palisade.app."
)

// Terminal is the app that every session has.
const Terminal = "terminal"

// The variables that a line finds set.
const (
	envName = "PALISADE_APP"
	envPort = "PALISADE_APP_PORT"
	envBase = "PALISADE_APP_BASE" // /sessions/ID/apps/NAME/
)

// App is one program of a session.
type App struct {
	Name     string
	Title    string // for people
	Protocol Protocol
	Port     int    // in the session; 0: the door answers itself
	Line     string // starts it, by /bin/sh; "": whoever is in the session does
	Program  string // what must be there for Line; "": not known
	// Strip: it is not told where it is reached, and finds itself at /.
	Strip  bool
	Source Source
}

// Path is where the door opens an app of a session.
func Path(session, app string) string { return "/sessions/" + session + "/apps/" + app + "/" }

// wellKnown are the programs that are found by being there. Each is told its base path, or finds its way from relative
// ones; what it listens on is the session's own loopback, where it needs no password: whoever else is in the session is the
// same user, and the door has its own log-in.
func wellKnown() []App {
	return []App{
		{
			Name: "jupyter", Title: "Jupyter Notebook", Port: 8888, Program: "jupyter-notebook",
			// The old server and the new one each take their own settings, and leave the other's.
			Line: jupyter("jupyter-notebook", "NotebookApp") + " --ServerApp.base_url=\"$PALISADE_APP_BASE\"" +
				" --ServerApp.token= --ServerApp.password= --ServerApp.allow_remote_access=True --IdentityProvider.token=",
		},
		{Name: "jupyterlab", Title: "JupyterLab", Port: 8889, Program: "jupyter-lab", Line: jupyter("jupyter-lab", "ServerApp") + " --IdentityProvider.token="},
		{
			Name: "code-server", Title: "VS Code (code-server)", Port: 8180, Program: "code-server", Strip: true,
			Line: `exec code-server --auth none --bind-addr "127.0.0.1:$PALISADE_APP_PORT" --disable-telemetry --disable-update-check "${HOME:-/}"`,
		},
		{
			Name: "tensorboard", Title: "TensorBoard", Port: 6006, Program: "tensorboard",
			Line: `exec tensorboard --host 127.0.0.1 --port "$PALISADE_APP_PORT" --path_prefix "${PALISADE_APP_BASE%/}" --logdir "${PALISADE_TENSORBOARD_LOGDIR:-${HOME:-/}}"`,
		},
	}
}

func jupyter(program, class string) string {
	return fmt.Sprintf(`exec %s --allow-root --no-browser --ip=127.0.0.1 --port="$PALISADE_APP_PORT" --port-retries=0`+
		` --%[2]s.base_url="$PALISADE_APP_BASE" --%[2]s.token= --%[2]s.password= --%[2]s.allow_remote_access=True`, program, class)
}

// aliases are other names by which people ask for an app.
func aliases() map[string]string {
	return map[string]string{
		"vscode": "code-server", "code": "code-server", "codeserver": "code-server", "notebook": "jupyter", "jupyter-notebook": "jupyter",
		"lab": "jupyterlab", "jupyter-lab": "jupyterlab", "ttyd": Terminal,
	}
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// firstFree is the first port given to an app whose image names none.
const firstFree = 7801

// Table is all that a session may have, by what its image's labels say and which ports its owner has opened, and what of
// the labels cannot be understood. Names and ports are given once, in this order:
//  1. the terminal, which needs nothing of the session but a shell;
//  2. what the image names, in its order, then by name what it has a line for alone;
//  3. the ports that the owner has opened, by their numbers;
//  4. well-known programs, which are there or not.
func Table(labels map[string]string, preopen []int) (table []App, problems []string) {
	table = []App{{Name: Terminal, Title: "Terminal", Protocol: HTTP, Source: BuiltIn}}
	named, problems := named(labels) // 2
	for _, app := range named {
		if taken(table, app) {
			problems = append(problems, fmt.Sprintf("app %s at port %d: the name or the port is taken", app.Name, app.Port))
			continue
		}
		table = append(table, app)
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		name, is := strings.CutPrefix(name, LabelLine)
		if !is || has(table, name) {
			continue
		}
		app := describe(App{Name: name, Protocol: HTTP, Source: Image, Line: labels[LabelLine+name]})
		if !goodName.MatchString(name) || strings.TrimSpace(app.Line) == "" {
			problems = append(problems, fmt.Sprintf("%s%s: no name of an app, or no line", LabelLine, name))
			continue
		}
		if app.Port == 0 || taken(table, app) {
			app.Port = free(table)
		}
		table = append(table, app)
	}
	for _, port := range slices.Sorted(slices.Values(preopen)) { // 3
		name := strconv.Itoa(port)
		app := App{Name: name, Title: "Port " + name, Protocol: HTTP, Port: port, Strip: true, Source: Preopen}
		if !taken(table, app) {
			table = append(table, app)
		}
	}
	for _, app := range wellKnown() { // 4
		app.Protocol, app.Source = HTTP, WellKnown
		if _, found := Find(table, app.Name); !found && !taken(table, app) {
			table = append(table, app)
		}
	}
	return table, problems
}

// named reads LabelPorts.
func named(labels map[string]string) (list []App, problems []string) {
	for _, field := range entries(labels[LabelPorts]) {
		parts := strings.SplitN(field, ":", 3)
		if len(parts) != 3 {
			problems = append(problems, fmt.Sprintf("%s: %q is not NAME:PROTOCOL:PORT", LabelPorts, field))
			continue
		}
		name, protocol := strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1])
		first, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(parts[2]), "[]"), ",")
		port, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || port < 1 || port > 65535 || !goodName.MatchString(name) {
			problems = append(problems, fmt.Sprintf("%s: %q is not NAME:PROTOCOL:PORT", LabelPorts, field))
			continue
		}
		app := App{Name: name, Protocol: HTTP, Source: Image}
		switch protocol {
		case "http":
			app = describe(App{Name: name, Protocol: HTTP, Source: Image, Line: labels[LabelLine+name]})
		case "preopen":
			app.Strip, app.Line = true, labels[LabelLine+name]
		case "tcp", "vnc", "rdp":
			app.Protocol, app.Line = TCP, labels[LabelLine+name]
		case "pty", "internal":
			continue // of the image's own runner
		default:
			problems = append(problems, fmt.Sprintf("%s: %q: protocol %q is none of http, tcp, preopen", LabelPorts, field, protocol))
			continue
		}
		app.Port = port
		if app.Title == "" {
			app.Title = name
		}
		list = append(list, app)
	}
	return list, problems
}

// entries are what commas divide, but for those in brackets.
func entries(text string) (list []string) {
	depth, from := 0, 0
	for i, c := range text + "," {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && (depth <= 0 || i == len(text)):
			if field := strings.TrimSpace(text[from:i]); field != "" {
				list = append(list, field)
			}
			from = min(i+1, len(text))
		}
	}
	return list
}

// describe fills in what is known of an app of that name. One whose line does not care where it is reached finds itself
// at /.
func describe(app App) App {
	for _, known := range wellKnown() {
		if known.Name != resolve(app.Name) {
			continue
		}
		if app.Line == "" {
			known.Name, known.Protocol, known.Source = app.Name, app.Protocol, app.Source
			return known
		}
		app.Title, app.Port, app.Strip = known.Title, known.Port, known.Strip
		return app
	}
	app.Title = app.Name
	app.Strip = !strings.Contains(app.Line, envBase)
	return app
}

func resolve(name string) string {
	if is, found := aliases()[name]; found {
		return is
	}
	return name
}

// Aliases are the other names by which an app is found.
func Aliases(name string) []string {
	var list []string
	for other, is := range aliases() {
		if is == resolve(name) && other != name {
			list = append(list, other)
		}
	}
	slices.Sort(list)
	return list
}

// Find returns the app of that name, or of one that means the same.
func Find(table []App, name string) (App, bool) {
	for _, same := range []func(string) bool{
		func(n string) bool { return n == name },
		func(n string) bool { return resolve(n) == resolve(name) },
	} {
		if at := slices.IndexFunc(table, func(a App) bool { return same(a.Name) }); at >= 0 {
			return table[at], true
		}
	}
	return App{}, false
}

func has(table []App, name string) bool {
	return slices.ContainsFunc(table, func(a App) bool { return a.Name == name })
}

func taken(table []App, app App) bool {
	return slices.ContainsFunc(table, func(a App) bool { return a.Name == app.Name || a.Port == app.Port && app.Port != 0 })
}

func free(table []App) int {
	port := firstFree
	for slices.ContainsFunc(table, func(a App) bool { return a.Port == port }) {
		port++
	}
	return port
}

// base is the first part of a path that the door serves: /sessions/ID/apps/NAME/, with what is behind it. ok is false
// where it is none; the last slash may be missing.
func base(of string) (session, app, rest string, ok bool) {
	tail, is := strings.CutPrefix(of, "/sessions/")
	if !is {
		return "", "", "", false
	}
	parts := strings.SplitN(tail, "/", 4)
	if len(parts) < 3 || parts[1] != "apps" || !goodName.MatchString(parts[0]) || !goodName.MatchString(parts[2]) {
		return "", "", "", false
	}
	if len(parts) == 4 {
		rest = "/" + parts[3]
	}
	return parts[0], parts[2], rest, true
}
