package catalog

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// DefaultModelPath is where a definition's model is when it does not say.
const DefaultModelPath = "/models"

// ParseDefinition reads a model-definition.yaml, which file names in messages. It returns every
// problem at once, in the order of their places, and no definition when one of them is an error;
// warnings leave the definition good. It never fails on unknown keys: those are warnings, see Strict.
func ParseDefinition(file string, src []byte) (*Definition, Problems) {
	d := ReadDocument(file, src)
	def := &Definition{file: file, places: d.places}
	def.Models = readModels(d)
	ps := d.Problems()
	if ps.Err() != nil {
		return nil, ps
	}
	return def, ps
}

// ParseMetadata reads no more than the first model's name and metadata, for the model card. Variants
// other than custom do not use the rest of the file, so nothing in it stops a start: all problems are
// warnings.
func ParseMetadata(file string, src []byte) (name string, meta Metadata, ps Problems) {
	d := ReadDocument(file, src)
	if top, ok := d.Root().Map(); ok {
		if models, ok := top.Get("models").Items("a list of models"); ok && len(models) > 0 {
			if model, ok := models[0].Map(); ok {
				name, _ = model.Get("name").Text()
				meta = readMetadata(model.Get("metadata"))
			}
		}
	}
	ps = d.Problems()
	for i := range ps {
		ps[i].Severity = SeverityWarning
	}
	return name, meta, ps
}

func readModels(d *Document) []Model {
	if d.root == nil {
		return nil // said already
	}
	root := d.Root()
	if root.IsNull() {
		root.Error("begin with models:", "the file is empty")
		return nil
	}
	if root.node.kind != dict {
		root.Error("begin the file with models: and put the list below it", "the top level is %s; a map is wanted", root.node.describe())
		return nil
	}
	top, _ := root.Map()
	misplaced := topLevel.check(top)
	field := top.Get("models")
	if !field.Given() {
		if len(misplaced) == 0 {
			field.Error("begin the file with models: and a list of one or more", "is required")
		}
		return nil
	}
	items, ok := field.Items("a list of one or more models")
	if !ok {
		return nil
	}
	if len(items) == 0 {
		field.Error("", "is an empty list; one or more models are wanted")
	}
	models := make([]Model, len(items))
	for i, item := range items {
		models[i] = readModel(item)
	}
	checkPorts(items, models)
	return models
}

// checkPorts warns of models that cannot run side by side: they share one session and its address.
func checkPorts(items []Field, models []Model) {
	taken := make(map[int]int)
	for i, m := range models {
		if m.Service == nil || m.Service.Port == 0 {
			continue
		}
		if first, ok := taken[m.Service.Port]; ok {
			port := items[i].doc.at(items[i].path + ".service.port")
			port.Warn("give every model of a file a port of its own", "is also the port of models[%d], in the same session", first)
			continue
		}
		taken[m.Service.Port] = i
	}
}

func readModel(f Field) Model {
	m := Model{Path: DefaultModelPath, PathDefaulted: true}
	if f.IsNull() {
		f.Error("remove the empty item, or give the model a name", "is null; a model is wanted")
		return m
	}
	fields, ok := f.Map()
	if !ok {
		return m
	}
	misplaced := modelLevel.check(fields)
	m.Name = readName(fields.Get("name"), misplaced["name"])
	if text, ok := fields.Get("model_path").Text(); ok {
		m.Path, m.PathDefaulted = readModelPath(fields.Get("model_path"), text), false
	}
	if service := fields.Get("service"); service.Given() {
		m.Service = readService(service, misplaced)
	}
	m.Metadata = readMetadata(fields.Get("metadata"))
	return m
}

func readName(f Field, misplaced bool) string {
	name, ok := f.Text()
	switch {
	case !f.Given():
		if !misplaced {
			f.Error("name: my-model", "is required")
		}
	case !ok: // said already
	case strings.TrimSpace(name) == "":
		f.Error("", "is empty")
	case strings.ContainsFunc(name, unicode.IsControl):
		f.Error("write the name in one line", "holds a control character")
	}
	return name
}

func readModelPath(f Field, text string) string {
	switch {
	case text == "":
		f.Error("leave it out for "+DefaultModelPath, "is empty")
	case strings.ContainsFunc(text, unicode.IsControl):
		f.Error("", "holds a control character")
	case slices.Contains(strings.Split(text, "/"), ".."):
		f.Error("write the path as the session sees it, for example "+DefaultModelPath+"/llama", "may not hold ..")
	}
	return path.Clean(text)
}
