package sessionimages

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Prefix stands before a shipped image's name: palisade/base.
const Prefix = "palisade/"

// Definition says what is in an image. What its From has is in it too.
type Definition struct {
	Name     string            `yaml:"-"`        // its directory's; with Prefix the image's
	Summary  string            `yaml:"summary"`  // one line for people
	From     string            `yaml:"from"`     // name of the definition that this one adds to; "": none
	Release  string            `yaml:"release"`  // Debian's, such as bookworm, and one of the image's tags; that of From where it has one
	Packages []string          `yaml:"packages"` // Debian's
	Without  []string          `yaml:"without"`  // of these packages, shell patterns of paths; * goes over slashes
	Tree     *Tree             `yaml:"tree"`     // what is not Debian's; nil: nothing
	Env      map[string]string `yaml:"env"`      // beside that of From
	Apps     []App             `yaml:"apps"`     // beside those of From
	Labels   map[string]string `yaml:"labels"`   // beside those of From and those that Apps come to
	User     string            `yaml:"user"`     // who its processes run as; that of From where it has one
	Workdir  string            `yaml:"workdir"`  // where they start; that of From where it has one
}

// Tree is a directory that is fetched on the box and built in a root of its own, which is thrown away.
type Tree struct {
	Path     string   `yaml:"path"`     // of the directory in the image
	Packages []string `yaml:"packages"` // Debian's, in the root that it is built in
}

// App is a program of an image that people reach through the appliance.
type App struct {
	Name     string `yaml:"name"`
	Protocol string `yaml:"protocol"` // http, tcp or preopen; "": http
	Port     int    `yaml:"port"`
	Command  string `yaml:"command"` // a line for /bin/sh; "": something else starts it
}

// Labels that say which apps an image has.
const (
	LabelPorts = "ai.backend.service-ports" // NAME:PROTOCOL:PORT[,...]
	LabelApp   = "run.palisade.app."        // with an app's name: the line for /bin/sh that starts it
)

// Scripts that may lie beside image.yaml.
const (
	ScriptSetup = "setup.sh" // run in the image's root at the end
	ScriptFetch = "fetch.sh" // run on the box, in the directory that will be Tree's /build
	ScriptBuild = "build.sh" // run in Tree's root
	FilesDir    = "files"    // copied into the image's root before setup.sh
)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Names are those of the images that there are definitions of, each after the one that it adds to.
func Names() ([]string, error) {
	found, err := fs.Glob(files, "*/image.yaml")
	if err != nil {
		return nil, err
	}
	depth := map[string]int{}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = path.Dir(f)
		chain, err := Load(names[i])
		if err != nil {
			return nil, err
		}
		depth[names[i]] = len(chain)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(depth[a], depth[b]), cmp.Compare(a, b)) })
	return names, nil
}

// Load reads a definition and those that it adds to. The first one stands by itself; the last is the one asked for, and has
// everything of the others but their packages and scripts.
func Load(name string) ([]Definition, error) { return load(files, name) }

func load(from fs.FS, name string) ([]Definition, error) {
	var chain []Definition
	for next := name; next != ""; {
		if slices.ContainsFunc(chain, func(d Definition) bool { return d.Name == next }) {
			return nil, fmt.Errorf("image %s adds to itself, by way of %s", name, next)
		}
		d, err := read(from, next)
		if err != nil {
			return nil, err
		}
		chain = append(chain, d)
		next = d.From
	}
	slices.Reverse(chain)
	for i := range chain[1:] {
		chain[i+1] = chain[i+1].over(chain[i])
	}
	if last := chain[len(chain)-1]; last.Release == "" || last.User == "" || last.Workdir == "" {
		return nil, fmt.Errorf("image %s: release, user and workdir must be said, by it or by what it adds to", name)
	}
	return chain, nil
}

// over is d with what it leaves to the one that it adds to.
func (d Definition) over(from Definition) Definition {
	d.Release = cmp.Or(d.Release, from.Release)
	d.User = cmp.Or(d.User, from.User)
	d.Workdir = cmp.Or(d.Workdir, from.Workdir)
	d.Env = merged(from.Env, d.Env)
	d.Labels = merged(from.Labels, d.Labels)
	d.Apps = append(slices.Clone(from.Apps), d.Apps...)
	return d
}

func merged(below, above map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, below)
	maps.Copy(out, above)
	return out
}

func read(from fs.FS, name string) (Definition, error) {
	if !nameForm.MatchString(name) {
		return Definition{}, fmt.Errorf("no image is called %q: a name has small letters, digits and hyphens", name)
	}
	text, err := fs.ReadFile(from, name+"/image.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return Definition{}, fmt.Errorf("no image is called %q", name)
	}
	if err != nil {
		return Definition{}, err
	}
	d := Definition{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return Definition{}, fmt.Errorf("%s/image.yaml: %w", name, err)
	}
	d.Name = name
	if err := d.check(); err != nil {
		return Definition{}, fmt.Errorf("%s/image.yaml: %w", name, err)
	}
	return d, nil
}

var packageForm = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

func (d Definition) check() error {
	var wrong []error
	packages := slices.Clone(d.Packages)
	if d.Tree != nil {
		packages = append(packages, d.Tree.Packages...)
		if !path.IsAbs(d.Tree.Path) || path.Clean(d.Tree.Path) != d.Tree.Path || d.Tree.Path == "/" {
			wrong = append(wrong, fmt.Errorf("tree.path: %q is not the whole path of a directory", d.Tree.Path))
		}
	}
	for _, p := range packages {
		if !packageForm.MatchString(p) {
			wrong = append(wrong, fmt.Errorf("packages: %q is not the name of one of Debian's", p))
		}
	}
	for _, pattern := range d.Without {
		if !path.IsAbs(pattern) || strings.ContainsAny(pattern, "\n,") {
			wrong = append(wrong, fmt.Errorf("without: %q is not the whole path of files", pattern))
		}
	}
	if d.From != "" && d.Release != "" {
		wrong = append(wrong, errors.New("release: is that of what it adds to"))
	}
	for _, a := range d.Apps {
		wrong = append(wrong, a.check())
	}
	return errors.Join(wrong...)
}

func (a App) check() error {
	switch {
	case !nameForm.MatchString(a.Name):
		return fmt.Errorf("apps: %q: a name has small letters, digits and hyphens", a.Name)
	case !slices.Contains([]string{"", "http", "tcp", "preopen"}, a.Protocol):
		return fmt.Errorf("apps: %s: protocol is http, tcp or preopen, not %q", a.Name, a.Protocol)
	case a.Port < 1 || a.Port > 65535:
		return fmt.Errorf("apps: %s: port %d: from 1 to 65535", a.Name, a.Port)
	case strings.ContainsAny(a.Command, "\n\x00"):
		return fmt.Errorf("apps: %s: command is one line", a.Name)
	}
	return nil
}

// AllLabels are the image's labels.
func (d Definition) AllLabels() map[string]string { return withApps(d.Labels, d.Apps) }

func withApps(labels map[string]string, apps []App) map[string]string {
	out := merged(labels, nil)
	var ports []string
	for _, a := range apps {
		ports = append(ports, fmt.Sprintf("%s:%s:%d", a.Name, cmp.Or(a.Protocol, "http"), a.Port))
		if a.Command != "" {
			out[LabelApp+a.Name] = a.Command
		}
	}
	if len(ports) > 0 {
		out[LabelPorts] = strings.Join(ports, ",")
	}
	return out
}

// Open returns what lies beside image.yaml: its scripts, and what FilesDir has.
func Open(name string) (fs.FS, error) { return fs.Sub(files, name) }

// Digest tells two states of the definitions of a chain apart: it is another one when any file of any of them is.
func Digest(chain []Definition) (string, error) {
	h := sha256.New()
	for _, d := range chain {
		err := fs.WalkDir(files, d.Name, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, file)
			fmt.Fprintf(h, "%s %d\n%s", file, len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
