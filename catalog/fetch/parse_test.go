package fetch_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
)

func TestRefs(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for text, want := range map[string]fetch.Ref{
		"hf:Qwen/Qwen3-8B":                              {Scheme: "hf", Where: "Qwen/Qwen3-8B"},
		"hf://Qwen/Qwen3-8B":                            {Scheme: "hf", Where: "Qwen/Qwen3-8B"},
		"hf:Qwen/Qwen3-8B@refs/pr/1#*.json,a/*.gguf":    {Scheme: "hf", Where: "Qwen/Qwen3-8B", Revision: "refs/pr/1", Files: []string{"*.json", "a/*.gguf"}},
		"https://huggingface.co/Qwen/Qwen3-8B":          {Scheme: "hf", Where: "Qwen/Qwen3-8B"},
		"https://hf.co/Qwen/Qwen3-8B/tree/v2":           {Scheme: "hf", Where: "Qwen/Qwen3-8B", Revision: "v2"},
		"https://huggingface.co/a/b/resolve/main/c":     {Scheme: "http", Where: "https://huggingface.co/a/b/resolve/main/c"},
		"ngc:nvidia/nemo/llama:1.0":                     {Scheme: "ngc", Where: "nvidia/nemo/llama", Revision: "1.0"},
		"ngc:nvidia/llama":                              {Scheme: "ngc", Where: "nvidia/llama"},
		"oci:localhost:5000/models/x:v1":                {Scheme: "oci", Where: "localhost:5000/models/x", Revision: "v1"},
		"oci:localhost:5000/models/x":                   {Scheme: "oci", Where: "localhost:5000/models/x"},
		"oci:r.io/x:v1@sha256:" + sum:                   {Scheme: "oci", Where: "r.io/x", Revision: "sha256:" + sum},
		"s3://models/llama/8b/":                         {Scheme: "s3", Where: "models/llama/8b"},
		"s3://models#*.gguf":                            {Scheme: "s3", Where: "models", Files: []string{"*.gguf"}},
		"git+https://host/a/b.git@v1.0":                 {Scheme: "git", Where: "https://host/a/b.git", Revision: "v1.0"},
		"git+http://127.0.0.1:80/a":                     {Scheme: "git", Where: "http://127.0.0.1:80/a"},
		"https://host/x.gguf?y=1#sha256:" + sum:         {Scheme: "http", Where: "https://host/x.gguf?y=1", SHA256: sum},
		"https://host/x#sha256:" + strings.ToUpper(sum): {Scheme: "http", Where: "https://host/x", SHA256: sum},
		"/srv/models/x#1":                               {Scheme: "file", Where: "/srv/models/x#1"},
		"made:hello.gguf":                               {Scheme: "made", Where: "hello.gguf"},
		"file:///srv/../etc/":                           {Scheme: "file", Where: "/etc"},
	} {
		got, err := fetch.ParseRef(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if again, err := fetch.ParseRef(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: written %s, and read again %+v, %v", text, got, again, err)
		}
		if !fetch.IsRef(text) {
			t.Errorf("%s is taken for a name", text)
		}
	}
}

func TestWrongRefs(t *testing.T) {
	for _, text := range []string{
		"", "qwen3-8b", "qwen3-8b@2", "community/qwen", "./models/x", "ftp://host/x", "hf:", "hf:Qwen", "hf:a/b/c", "hf:a/..", "hf:a/b@", "hf:a/b@-x", "hf:a/b@../c", "hf:a/b#", "hf:a/b#../x", "hf:a/b#[",
		"ngc:x", "ngc:a/b/c/d", "ngc:a/b:", "oci:", "oci:host", "oci:host/", "oci:host/Name", "oci:host/a:", "oci:host/a@sha256:12", "oci:u@host/a", "oci:ho st/a", "s3:bucket", "s3://", "s3://Bucket", "s3://b/../c", "s3://b//c",
		"git+https://host", "git+https://host/", "git+https://u:p@host/a", "git+https://host/a@", "git+https://host/a?b", "https://", "https://host", "https://host/", "https://host/a/", "https://u:p@host/a", "https://host/x.git",
		"https://host/a#sha256:12", "https://host/a#md5:12", "/", "file:x", "made:", "made:../x", "made:a/b", "hf:a/b\n", "hf:a/b\x00", "/a\xff" + "b", "/" + strings.Repeat("a", 5000),
	} {
		ref, err := fetch.ParseRef(text)
		hinted, is := errors.AsType[interface {
			error
			Hint() string
		}](err)
		if !errors.Is(err, fetch.ErrRef) || !is || hinted.Hint() == "" {
			t.Errorf("%q is read as %+v, %v", text, ref, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: its password is shown: %v", text, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, text := range []string{"hf:a/b@c#d,e", "ngc:a/b/c:1", "oci:h:1/a/b:t", "s3://b/p", "git+https://h/p@r", "https://h/p#sha256:", "/a/b", "file:///x", "https://huggingface.co/a/b/tree/c#d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := fetch.ParseRef(text)
		if err != nil {
			return
		}
		again, err := fetch.ParseRef(ref.String())
		if err != nil || !reflect.DeepEqual(again, ref) {
			t.Errorf("%q is %+v, written %q, and read again %+v, %v", text, ref, ref.String(), again, err)
		}
	})
}

func TestPick(t *testing.T) {
	in := fetch.Listing{Files: []fetch.File{{Name: "README.md"}, {Name: "a.gguf"}, {Name: "sub/b.gguf"}, {Name: "sub/c.json"}}}
	for globs, want := range map[string]string{
		"": "README.md a.gguf sub/b.gguf sub/c.json", "*.gguf": "a.gguf sub/b.gguf", "sub/*": "sub/b.gguf sub/c.json", "a.*,c.*": "a.gguf sub/c.json", "*.bin": "", "*.gguf,*.bin": "a.gguf sub/b.gguf", "*.gguf,a.bin": "", "*.bin,*.pt": "",
	} {
		in.Ref.Files = nil
		if globs != "" {
			in.Ref.Files = strings.Split(globs, ",")
		}
		out, err := fetch.Pick(in)
		names := []string{}
		for _, f := range out.Files {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, fetch.ErrNotFound) {
			t.Errorf("%s: %q, %v; want %q", globs, got, err, want)
		}
	}
}

// TestPickOfManyNames has as many globs as files, as models have that are installed without a recipe.
func TestPickOfManyNames(t *testing.T) {
	in := fetch.Listing{Ref: fetch.Ref{Where: "x"}}
	for i := range 50_000 {
		name := fmt.Sprintf("dir/%d.bin", i)
		in.Files = append(in.Files, fetch.File{Name: name})
		in.Ref.Files = append(in.Ref.Files, name)
	}
	start := time.Now()
	if out, err := fetch.Pick(in); err != nil || len(out.Files) != len(in.Files) || time.Since(start) > 5*time.Second {
		t.Errorf("%d files, %v, after %v", len(out.Files), err, time.Since(start))
	}
	in.Ref.Files = append(in.Ref.Files, "dir/none.bin")
	if _, err := fetch.Pick(in); !errors.Is(err, fetch.ErrNotFound) {
		t.Error(err)
	}
}
