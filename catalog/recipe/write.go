package recipe

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// The file as it is written: in the order of its keys, without what says nothing.
type (
	written struct {
		Schema      int               `yaml:"schema"`
		Name        string            `yaml:"name"`
		Version     string            `yaml:"version"`
		Title       string            `yaml:"title"`
		Description string            `yaml:"description"`
		License     writtenLicense    `yaml:"license"`
		Publisher   string            `yaml:"publisher,omitempty"`
		Homepage    string            `yaml:"homepage,omitempty"`
		Tags        []string          `yaml:"tags,omitempty,flow"`
		Task        Task              `yaml:"task"`
		Inputs      []string          `yaml:"inputs,flow"`
		Outputs     []string          `yaml:"outputs,flow"`
		Parameters  int64             `yaml:"parameters,omitempty"`
		Active      int64             `yaml:"active,omitempty"`
		Context     int               `yaml:"context,omitempty"`
		Sources     []writtenSource   `yaml:"sources,omitempty"`
		Variants    []writtenVariant  `yaml:"variants"`
		SmokeTest   *writtenSmokeTest `yaml:"smoke_test,omitempty"`
		Verified    []writtenVerified `yaml:"verified,omitempty"`
	}
	writtenLicense struct {
		ID     string `yaml:"id"`
		URL    string `yaml:"url,omitempty"`
		Accept bool   `yaml:"accept,omitempty"`
	}
	writtenSource struct {
		Name     string            `yaml:"name"`
		From     string            `yaml:"from"`
		Mirrors  []string          `yaml:"mirrors,omitempty"`
		Files    []string          `yaml:"files,omitempty,flow"`
		Checksum map[string]string `yaml:"checksum,omitempty"`
		Bytes    int64             `yaml:"bytes,omitempty"`
		Secret   string            `yaml:"secret,omitempty"`
	}
	writtenVariant struct {
		Name         string            `yaml:"name"`
		Runtime      string            `yaml:"runtime"`
		Images       []writtenImage    `yaml:"images,omitempty"`
		Accelerators []string          `yaml:"accelerators,flow"`
		Minimum      string            `yaml:"minimum,omitempty"`
		Platforms    []string          `yaml:"platforms,omitempty,flow"`
		Source       string            `yaml:"source,omitempty"`
		Model        string            `yaml:"model,omitempty"`
		Quantization string            `yaml:"quantization,omitempty"`
		Context      int               `yaml:"context,omitempty"`
		Concurrency  int               `yaml:"concurrency,omitempty"`
		Environment  map[string]string `yaml:"environment,omitempty"`
		Arguments    []string          `yaml:"arguments,omitempty,flow"`
		Memory       writtenMemory     `yaml:"memory,flow"`
		MinimumNeeds map[string]string `yaml:"minimum_needs,omitempty,flow"`
		Recommended  map[string]string `yaml:"recommended,omitempty,flow"`
		Secrets      []string          `yaml:"secrets,omitempty,flow"`
	}
	writtenImage struct {
		Accelerator string `yaml:"accelerator,omitempty"`
		Platform    string `yaml:"platform,omitempty"`
		Reference   string `yaml:"reference"`
	}
	writtenMemory struct {
		Weights  int64 `yaml:"weights"`
		Cache    int64 `yaml:"cache,omitempty"`
		Overhead int64 `yaml:"overhead,omitempty"`
	}
	writtenSmokeTest struct {
		Method     string            `yaml:"method"`
		Path       string            `yaml:"path"`
		Body       string            `yaml:"body,omitempty"`
		Form       map[string]string `yaml:"form,omitempty"`
		Status     int               `yaml:"status"`
		Holds      []string          `yaml:"holds,omitempty"`
		MaxSeconds int               `yaml:"max_seconds,omitempty"`
	}
	writtenVerified struct {
		What string `yaml:"what"`
		On   string `yaml:"on"`
		With string `yaml:"with,omitempty"`
		Date string `yaml:"date"`
	}
)

// Write is the recipe as a recipe.yaml, which Parse reads as the same.
func Write(r Recipe) ([]byte, error) {
	out := written{
		Schema: Schema, Name: r.Name, Version: r.Version, Title: r.Title, Description: r.Description, License: writtenLicense(r.License),
		Publisher: r.Publisher, Homepage: r.Homepage, Tags: r.Tags, Task: r.Task, Inputs: r.Inputs, Outputs: r.Outputs,
		Parameters: r.Parameters, Active: r.Active, Context: r.Context,
	}
	for _, s := range r.Sources {
		out.Sources = append(out.Sources, writtenSource(s))
	}
	for _, v := range r.Variants {
		w := writtenVariant{
			Name: v.Name, Runtime: v.Runtime, Accelerators: v.Accelerators, Minimum: v.Minimum, Platforms: v.Platforms, Source: v.Source,
			Model: v.Model, Quantization: v.Quantization, Context: v.Context, Concurrency: v.Concurrency, Environment: v.Environment,
			Arguments: v.Arguments, Memory: writtenMemory(v.Memory), MinimumNeeds: v.MinimumNeeds, Recommended: v.Recommended, Secrets: v.Secrets,
		}
		for _, i := range v.Images {
			w.Images = append(w.Images, writtenImage(i))
		}
		out.Variants = append(out.Variants, w)
	}
	if r.SmokeTest != nil {
		t := writtenSmokeTest(*r.SmokeTest)
		out.SmokeTest = &t
	}
	for _, v := range r.Verified {
		out.Verified = append(out.Verified, writtenVerified(v))
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("writing recipe %s: %w", r.Name, err)
	}
	return b.Bytes(), enc.Close()
}
