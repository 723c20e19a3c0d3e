package apps

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

//go:embed static
var embedded embed.FS

// static are the files of the terminal's page.
type static struct {
	files map[string]file // by name
	page  *template.Template
}

type file struct {
	content []byte
	etag    string
}

func readStatic() (static, error) {
	s := static{files: map[string]file{}}
	entries, err := fs.ReadDir(embedded, "static")
	if err != nil {
		return s, fmt.Errorf("the files of the terminal: %w", err)
	}
	for _, e := range entries {
		content, err := embedded.ReadFile(path.Join("static", e.Name()))
		if err != nil {
			return s, fmt.Errorf("the files of the terminal: %w", err)
		}
		sum := sha256.Sum256(content)
		s.files[e.Name()] = file{content, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	s.page, err = template.New("terminal").Parse(string(s.files["terminal.html"].content))
	return s, err
}

// terminalPolicy lets the page run its own files alone, and speak with where it came from. xterm.js writes style elements.
const terminalPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"

// terminal answers below /sessions/ID/apps/terminal/: the page, its files, how the session is, and the line to the shell.
func (a *Apps) terminal(w http.ResponseWriter, r *http.Request, v visit) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	name := strings.TrimPrefix(v.rest, "/")
	if name == "ws" {
		a.Terminal(w, r, v.s, v.by)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		a.refuse(w, r, refusal{status: http.StatusMethodNotAllowed, title: "Not possible", text: r.Method + " is not possible here."})
		return
	}
	switch asset, found := a.static.files[name]; {
	case name == "":
		a.terminalPage(w, r, v.s)
	case name == "status":
		// That it is answered at all says that the session runs, and that whoever asks is known.
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		fmt.Fprintf(w, "{\"session\":%q,\"status\":%q}\n", v.s.ID, v.s.Status)
	case found && name != "terminal.html" && !strings.HasSuffix(name, ".md"):
		h.Set("Cache-Control", "private, no-cache")
		h.Set("ETag", asset.etag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(asset.content))
	default:
		a.refuse(w, r, refusal{status: http.StatusNotFound, title: "Nothing here", text: "The terminal has no " + name + "."})
	}
}

func (a *Apps) terminalPage(w http.ResponseWriter, r *http.Request, s sessions.Session) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", terminalPolicy)
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	_ = a.static.page.Execute(w, s) // as in refuse
}
