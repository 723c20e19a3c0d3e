// Package static owns the files that pages load: style sheets, scripts, icons. Those of others are as their packages on
// npm have them; VENDORED.md says which, and a test holds them against its sums. It knows nothing of pages.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed css js vendor icons
var embedded embed.FS

// Files are all of them, each compressed once, when it is first asked for. They are not changed after Load.
type Files struct {
	version string // of all files together
	files   map[string]file
	icons   map[string]template.HTML
}

type file struct {
	plain  []byte
	packed func() []byte // nil where it is no shorter
	media  string
}

// Load reads the files that the program carries.
func Load() (*Files, error) {
	f := &Files{files: map[string]file{}, icons: map[string]template.HTML{}}
	var names []string
	err := fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the files of the console: %w", err)
	}
	slices.Sort(names)
	all := sha256.New()
	for _, name := range names {
		content, err := embedded.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("the files of the console: %w", err)
		}
		fmt.Fprintf(all, "%s %d\n", name, len(content))
		all.Write(content)
		if icon, ok := strings.CutPrefix(name, "icons/"); ok {
			f.icons[strings.TrimSuffix(icon, ".svg")] = drawn(string(content))
			continue
		}
		f.files[name] = file{content, sync.OnceValue(func() []byte { return pack(content) }), mime.TypeByExtension(path.Ext(name))}
	}
	f.version = hex.EncodeToString(all.Sum(nil)[:6])
	return f, nil
}

// drawn is an icon as it stands in a page: decoration, which is not read out.
func drawn(svg string) template.HTML {
	svg = strings.Join(strings.Fields(svg), " ")
	return template.HTML(strings.Replace(svg, "<svg ", `<svg aria-hidden="true" focusable="false" `, 1)) //nolint:gosec // a file of ours
}

func pack(content []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := z.Write(content); err != nil || z.Close() != nil || b.Len() >= len(content) {
		return nil
	}
	return b.Bytes()
}

// Path is where a file is found below the handler: it changes with the files, so that browsers may keep them for ever.
func (f *Files) Path(name string) (string, error) {
	if _, ok := f.files[name]; !ok {
		return "", fmt.Errorf("the console has no file %s", name)
	}
	return f.version + "/" + name, nil
}

// Icon is an icon of Tabler's, by its name: "server". An unknown one is an error: a template is wrong.
func (f *Files) Icon(name string) (template.HTML, error) {
	icon, ok := f.icons[name]
	if !ok {
		return "", fmt.Errorf("the console has no icon %s: copy it to static/icons and list it in VENDORED.md", name)
	}
	return icon, nil
}

// ServeHTTP answers VERSION/NAME.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	one, ok := f.files[name]
	if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", one.media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	// A page of an older program may still ask under its own version: it gets what there is, and keeps it not.
	if h.Set("Cache-Control", "public, max-age=31536000, immutable"); version != f.version {
		h.Set("Cache-Control", "no-cache")
	}
	body := one.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		if packed := one.packed(); packed != nil {
			h.Set("Content-Encoding", "gzip")
			body = packed
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the browser may have gone
	}
}
