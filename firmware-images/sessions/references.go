package sessionimages

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reference is what is known of images of others that do not say it themselves.
type Reference struct {
	Title  string   `yaml:"title"`
	Images []string `yaml:"images"` // of which it holds: names without a tag, by path.Match and part by part: nvcr.io/nvidia/pytorch
	Needs  string   `yaml:"needs"`  // what a box must have for them, for people
	Notes  string   `yaml:"notes"`  // what is good to know
	Create string   `yaml:"create"` // a command line that makes a session of one
	Apps   []App    `yaml:"apps"`
}

// References are the known images of others, in the order in which they are looked through.
func References() ([]Reference, error) {
	text, err := files.ReadFile("references.yaml")
	if err != nil {
		return nil, err
	}
	return readReferences(text)
}

func readReferences(text []byte) ([]Reference, error) {
	var list struct {
		References []Reference `yaml:"references"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("references.yaml: %w", err)
	}
	var wrong []error
	for _, r := range list.References {
		if r.Title == "" || len(r.Images) == 0 {
			wrong = append(wrong, fmt.Errorf("references.yaml: %q: title and images must be said", r.Title))
		}
		for _, pattern := range r.Images {
			if _, err := path.Match(pattern, "x"); err != nil {
				wrong = append(wrong, fmt.Errorf("references.yaml: %s: %q: %w", r.Title, pattern, err))
			}
		}
		for _, a := range r.Apps {
			if err := a.check(); err != nil {
				wrong = append(wrong, fmt.Errorf("references.yaml: %s: %w", r.Title, err))
			}
		}
	}
	return list.References, errors.Join(wrong...)
}

// Match is the first of list that holds of an image, by its name, with or without registry, tag and digest.
func Match(list []Reference, image string) (Reference, bool) {
	name := bare(image)
	for _, r := range list {
		if slices.ContainsFunc(r.Images, func(pattern string) bool {
			ok, err := path.Match(pattern, name)
			return err == nil && ok
		}) {
			return r, true
		}
	}
	return Reference{}, false
}

// Labels are those of an image, with what is known of its like where it does not say which apps it has.
func Labels(list []Reference, image string, own map[string]string) map[string]string {
	for label := range own {
		if label == LabelPorts || strings.HasPrefix(label, LabelApp) {
			return own
		}
	}
	known, ok := Match(list, image)
	if !ok {
		return own
	}
	return withApps(own, known.Apps)
}

// bare is an image's name without tag and digest, with the registry and library that docker leaves out left out.
func bare(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	name = strings.TrimPrefix(name, "docker.io/")
	return strings.TrimPrefix(name, "library/")
}
