package catalog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

// FuzzParseDefinition: nothing panics or hangs; every problem has a place and a message; what parses
// parses to the same again once it is written out.
func FuzzParseDefinition(f *testing.F) {
	files, err := filepath.Glob("testdata/definitions/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		def, ps := ParseDefinition("f.yaml", src)
		for _, p := range ps {
			if p.File != "f.yaml" || p.Message == "" {
				t.Errorf("%+v", p)
			}
			if len(src) <= MaxDocumentSize && (p.Line < 1 || p.Column < 1) {
				t.Errorf("no place: %s", p)
			}
		}
		if (def == nil) != (ps.Err() != nil) {
			t.Fatalf("definition %v with %v", def, ps)
		}
		ParseMetadata("f.yaml", src)
		if def == nil {
			return
		}
		written, err := yaml.Marshal(write(def))
		if err != nil {
			t.Fatal(err)
		}
		again, ps := ParseDefinition("again.yaml", written)
		if ps.Err() != nil {
			t.Fatalf("%v\n%s", ps, written)
		}
		if diff := cmp.Diff(def.Models, again.Models, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written and read again (-first +again):\n%s\n%s", diff, written)
		}
	})
}

// write is a definition as its owner could have written it, with nothing left to defaults.
func write(def *Definition) map[string]any {
	var models []map[string]any
	for _, m := range def.Models {
		out := map[string]any{"name": m.Name, "metadata": writeMetadata(m.Metadata)}
		if !m.PathDefaulted {
			out["model_path"] = m.Path
		}
		if m.Service != nil {
			out["service"] = writeService(m.Service)
		}
		models = append(models, out)
	}
	return map[string]any{"models": models}
}

func writeService(s *Service) map[string]any {
	out := map[string]any{"port": s.Port}
	if !s.ShellDefaulted {
		out["shell"] = s.Shell
	}
	switch {
	case len(s.Command.Argv) > 0:
		out["start_command"] = s.Command.Argv
	case s.Command.Line != "":
		out["start_command"] = s.Command.Line
	}
	if h := s.Health; h != nil {
		out["health_check"] = map[string]any{
			"path": h.Path, "interval": h.Interval.Seconds(), "max_retries": h.MaxRetries,
			"max_wait_time": h.MaxWait.Seconds(), "expected_status_code": h.ExpectedStatus,
			"initial_delay": h.InitialDelay.Seconds(),
		}
	}
	var actions []any
	for _, a := range s.PreStart {
		args := map[string]any{
			"command": a.Args.Command, "echo": a.Args.Echo, "ignore_error": a.Args.IgnoreError,
			"filename": a.Args.Filename, "body": a.Args.Body, "mode": a.Args.Mode, "append": a.Args.Append,
			"path": a.Args.Path, "message": a.Args.Message, "debug": a.Args.Debug,
		}
		if a.Args.Mode == "" {
			delete(args, "mode")
		}
		action := map[string]any{"action": a.Name, "args": args}
		if a.Ref != "" {
			action["ref"] = a.Ref
		}
		actions = append(actions, action)
	}
	out["pre_start_actions"] = actions
	return out
}

func writeMetadata(m Metadata) map[string]any {
	return map[string]any{
		"author": m.Author, "title": m.Title, "version": m.Version, "created_at": m.Created,
		"modified_at": m.LastModified, "description": m.Description, "task": m.Task,
		"category": m.Category, "architecture": m.Architecture, "framework": m.Framework,
		"label": m.Label, "license": m.License, "min_resource": m.MinResource,
	}
}
