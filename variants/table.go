package variants

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

//go:embed builtin.yaml
var builtin []byte

// Custom is the variant that reads model-definition.yaml.
const Custom = "custom"

// Variant is how one engine is started and watched, as data.
type Variant struct {
	Name            string               `json:"name"`
	Title           string               `json:"title"`
	Description     string               `json:"description,omitempty"`
	BuiltIn         bool                 `json:"built_in"`
	ReadsDefinition bool                 `json:"reads_definition"` // port, health check and command come from the file
	FolderOptional  bool                 `json:"folder_optional"`  // works without a model folder
	ModelFile       string               `json:"model_file,omitempty"`
	Port            int                  `json:"port,omitempty"`
	Health          *catalog.HealthCheck `json:"health,omitempty"`
	Command         []string             `json:"command,omitempty"` // templates; empty: the image's own
	EnvArguments    []EnvArgument        `json:"env_arguments,omitempty"`
	Needs           []Need               `json:"needs,omitempty"`
	Env             map[string]string    `json:"env,omitempty"`        // templates; the owner's own win
	FolderEnv       map[string]string    `json:"folder_env,omitempty"` // the same, only with a model folder
	Scratch         []string             `json:"scratch,omitempty"`
	Metrics         Metrics              `json:"metrics"`
	Sizing          *SizingNames         `json:"sizing,omitempty"`     // nil: nothing is known of its memory
	MultiNode       *MultiNode           `json:"multi_node,omitempty"` // nil: it runs in one container
}

// EnvArgument turns an environment variable that the owner sets into arguments of the command: a flag
// and the value, or the value split into words as a shell does.
type EnvArgument struct {
	Env   string `json:"env"`
	Flag  string `json:"flag,omitempty"`
	Split bool   `json:"split,omitempty"`
}

// Need is an environment variable without which the engine does not start.
type Need struct {
	Env  string `json:"env"`
	Hint string `json:"hint,omitempty"`
}

// Table is the variants that there are. It does not change once loaded.
type Table struct {
	variants []Variant // in the order of the files
}

// Load reads the built-in variants and, unless ownerFile is "", those that the owner adds. A variant of
// the owner's that has an error is left out; the rest of the table is good in any case.
func Load(ownerFile string) (*Table, catalog.Problems) {
	t := new(Table)
	problems := t.read("builtin.yaml", builtin, true)
	if ownerFile == "" {
		return t, problems
	}
	src, err := readOwnerFile(ownerFile)
	if err != nil {
		return t, append(problems, catalog.Problem{
			Severity: catalog.SeverityError, File: ownerFile, Message: err.Error(),
			Hint: "name a YAML file of variants, or remove the setting",
		})
	}
	return t, append(problems, t.read(ownerFile, src, false)...)
}

func readOwnerFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, catalog.MaxDocumentSize+1))
}

// Lookup returns the variant of that name.
func (t *Table) Lookup(name string) (Variant, bool) {
	i := slices.IndexFunc(t.variants, func(v Variant) bool { return v.Name == name })
	if i < 0 {
		return Variant{}, false
	}
	return t.variants[i], true
}

// All returns every variant, built-in ones first.
func (t *Table) All() []Variant { return slices.Clone(t.variants) }

// Names returns the names of all variants, built-in ones first.
func (t *Table) Names() []string {
	names := make([]string, len(t.variants))
	for i, v := range t.variants {
		names[i] = v.Name
	}
	return names
}

var (
	variantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	metricName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
)

var variantKeys = []string{
	"title", "description", "extends", "reads_definition", "model_folder", "model_file", "port", "health_check",
	"command", "arguments_from_environment", "needs", "env", "folder_env", "scratch", "metrics", "sizing", "multi_node",
}

// read adds the variants of one file.
func (t *Table) read(file string, src []byte, builtIn bool) catalog.Problems {
	doc := catalog.ReadDocument(file, src)
	root := doc.Root()
	top, ok := root.Map()
	if !ok {
		if len(doc.Problems()) == 0 {
			root.Error("begin the file with variants:", "the file is empty")
		}
		return doc.Problems()
	}
	top.WarnUnknown("variants")
	field := top.Get("variants")
	entries, ok := field.Map()
	if !ok && !field.Given() {
		field.Error("begin the file with variants: and the names of the new variants below it", "is required")
	}
	for _, e := range entries.Entries() {
		if v, good := t.readVariant(doc, e, builtIn); good {
			t.variants = append(t.variants, v)
		}
	}
	return doc.Problems()
}

// readVariant reads one variant; not good when any error was found in it.
func (t *Table) readVariant(doc *catalog.Document, e catalog.MapEntry, builtIn bool) (v Variant, good bool) {
	before := doc.Errors()
	f := e.Value
	if !variantName.MatchString(e.Key) {
		f.Error("small letters, digits, - and ., for example my-engine", "%q cannot be the name of a variant", e.Key)
	}
	if other, taken := t.Lookup(e.Key); taken {
		hint := "choose another name"
		if other.BuiltIn {
			hint += ", and write extends: " + e.Key + " to begin with what the built-in one says"
		}
		f.Error(hint, "there is a variant %s already", e.Key)
	}
	fields, ok := f.Map()
	if !ok {
		if !f.Given() {
			f.Error("give it at least a port", "is empty")
		}
		return v, false
	}
	fields.WarnUnknown(variantKeys...)
	v = t.base(fields.Get("extends"))
	v.Name, v.BuiltIn = e.Key, builtIn
	if v.Title == "" || fields.Get("title").Given() {
		v.Title = e.Key
	}
	readVariantFields(&v, fields, builtIn)
	return v, doc.Errors() == before
}

// base returns what a variant begins with: nothing, or a copy of the one that it extends.
func (t *Table) base(f catalog.Field) Variant {
	name, ok := f.Text()
	if !ok {
		return Variant{}
	}
	v, ok := t.Lookup(name)
	switch {
	case !ok:
		f.Error("one of "+strings.Join(t.Names(), ", ")+", or one from above", "there is no variant %q", name)
	case v.ReadsDefinition:
		f.Error("a definition says all of that itself", "%s cannot be extended", name)
	}
	v.Env, v.FolderEnv = maps.Clone(v.Env), maps.Clone(v.FolderEnv)
	return v
}

func readVariantFields(v *Variant, m catalog.Map, builtIn bool) {
	if text, ok := m.Get("title").Text(); ok {
		v.Title = text
	}
	if text, ok := m.Get("description").Text(); ok {
		v.Description = text
	}
	if reads := m.Get("reads_definition"); reads.Given() {
		v.ReadsDefinition, _ = reads.Bool()
		if !builtIn {
			reads.Error("choose the variant custom for a folder with a definition", "only custom reads model definitions")
		}
	}
	readFolderNeed(v, m.Get("model_folder"))
	readModelFile(v, m.Get("model_file"))
	if port := m.Get("port"); !v.ReadsDefinition && (port.Given() || v.Port == 0) {
		v.Port = catalog.ReadPort(port)
	}
	if health := m.Get("health_check"); health.Given() || health.IsNull() {
		v.Health = catalog.ReadHealthCheck(health, catalog.DefaultHealthCheck())
	}
	readVariantCommand(v, m.Get("command"))
	if args := m.Get("arguments_from_environment"); args.Given() {
		v.EnvArguments = readEnvArguments(args)
	}
	if needs := m.Get("needs"); needs.Given() {
		v.Needs = readNeeds(needs)
	}
	v.Env = readEnv(v, v.Env, m.Get("env"))
	v.FolderEnv = readEnv(v, v.FolderEnv, m.Get("folder_env"))
	if scratch := m.Get("scratch"); scratch.Given() {
		v.Scratch = readScratch(scratch)
	}
	if metrics := m.Get("metrics"); metrics.Given() {
		v.Metrics = readMetrics(metrics)
	}
	if sizing := m.Get("sizing"); sizing.Given() || sizing.IsNull() {
		v.Sizing = readSizing(sizing, v.Name)
	}
	if spans := m.Get("multi_node"); spans.Given() || spans.IsNull() {
		v.MultiNode = readMultiNode(v, spans)
	}
}

func readFolderNeed(v *Variant, f catalog.Field) {
	switch text, ok := f.Text(); {
	case !ok:
	case text == "required" || text == "optional":
		v.FolderOptional = text == "optional"
	default:
		f.Error("required (the default) or optional", "is %q", text)
	}
}

func readModelFile(v *Variant, f catalog.Field) {
	text, ok := f.Text()
	if !ok {
		return
	}
	if text != "gguf" {
		f.Error("gguf: the first *.gguf of the folder, or the first shard of a split one", "is %q", text)
	}
	v.ModelFile = text
}

func readVariantCommand(v *Variant, f catalog.Field) {
	argv, ok := f.Texts()
	if !ok {
		return
	}
	if len(argv) == 0 {
		f.Error("leave it out for the image's own command", "is an empty list")
	}
	checkTemplates(v, f, argv)
	v.Command = argv
}

// checkTemplates is checkTemplate for each word of a list.
func checkTemplates(v *Variant, f catalog.Field, words []string, more ...string) {
	items, _ := f.Items("")
	for i, word := range words {
		checkTemplate(v, items[i], word, more...)
	}
}

// checkTemplate reports names that a template of v cannot use. It can use more than those of any.
func checkTemplate(v *Variant, f catalog.Field, text string, more ...string) {
	values := map[string]string{"ports[0]": "", "listen_address": "", "model_path": "", "model_name": ""}
	for _, name := range more {
		values[name] = ""
	}
	if v.ModelFile != "" {
		values["model_file"] = ""
	}
	_, unknown := expand(text, values)
	for _, name := range unknown {
		message, hint := unknownName(name, values)
		f.Error(hint, "%s", message)
	}
}

// unknownName says that a template's name has no value, and which ones have.
func unknownName(name string, values map[string]string) (message, hint string) {
	known := slices.Sorted(maps.Keys(values))
	return fmt.Sprintf("unknown name {%s}", name),
		"known names are {" + strings.Join(known, "}, {") + "}; write {{" + name + "}} for literal braces"
}
