package hubtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Where a request is on its way: what a fault is for.
type Where int

// The places of a request.
const (
	Info    Where = iota // /api/models/NAME[/revision/REVISION]
	Tree                 // /api/models/NAME/tree/REVISION
	Resolve              // /NAME/resolve/REVISION/FILE on the hub
	Store                // the bytes of large files, on the other host
)

type answer struct {
	status        int
	code, message string
}

func (h *Hub) serveHub(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	h.note(Request{Method: r.Method, Path: r.URL.RequestURI(), Range: r.Header.Get("Range"), Token: token})
	name, where, revision, file, ok := parse(r.URL.EscapedPath())
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, answer{http.StatusNotFound, "", "Not Found"})
		return
	}
	h.broken(where, file, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash, tree, gated, no := h.look(name, revision, token, where == Resolve)
		if no.status != 0 {
			refuse(w, no)
			return
		}
		w.Header().Set("X-Repo-Commit", hash)
		switch where {
		case Info:
			serveInfo(w, name, hash, tree, gated)
		case Tree:
			h.serveTree(w, r, tree)
		default:
			h.serveFile(w, r, tree, file)
		}
	})).ServeHTTP(w, r)
}

// parse takes an escaped path apart; a revision may hold slashes only as %2F.
func parse(escaped string) (name string, where Where, revision, file string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	api := len(parts) > 2 && parts[0] == "api" && parts[1] == "models"
	if api {
		parts = parts[2:]
	}
	at := len(parts)
	for i, p := range parts {
		if i > 0 && (api && (p == "revision" || p == "tree") || !api && p == "resolve") {
			at = i
			break
		}
	}
	if at > 2 || at == len(parts)-1 || !api && at == len(parts) {
		return "", 0, "", "", false
	}
	name, revision = strings.Join(parts[:at], "/"), "main"
	if at < len(parts) {
		revision, _ = url.PathUnescape(parts[at+1])
		file, _ = url.PathUnescape(strings.Join(parts[at+2:], "/"))
	}
	switch {
	case !api:
		where = Resolve
	case at < len(parts) && parts[at] == "tree":
		where = Tree
	}
	return name, where, revision, file, where != Resolve || file != ""
}

// look finds a commit, or says why not, in the real hub's words and codes.
func (h *Hub) look(name, revision, token string, files bool) (hash string, tree commit, gated bool, no answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if token != "" && !h.tokens[token] {
		return "", nil, false, answer{http.StatusUnauthorized, "", "Invalid credentials in Authorization header"}
	}
	r := h.repos[name]
	if r == nil || r.private && !r.gate[token] {
		if token == "" { // the real one does not tell who did not log in whether it is there
			return "", nil, false, answer{http.StatusUnauthorized, "RepoNotFound", "Invalid username or password."}
		}
		return "", nil, false, answer{http.StatusNotFound, "RepoNotFound", "Repository not found"}
	}
	if gated = r.gate != nil && !r.private; gated && files && !r.gate[token] {
		status, more := http.StatusForbidden, fmt.Sprintf(" and you are not in the authorized list. Visit %s/%s to ask for access.", h.front.URL, name)
		if token == "" {
			status, more = http.StatusUnauthorized, ". You must have access to it and be authenticated to access it. Please log in."
		}
		return "", nil, true, answer{status, "GatedRepo", "Access to model " + name + " is restricted" + more}
	}
	hash = revision
	if to, ok := r.refs[revision]; ok {
		hash = to
	}
	tree, ok := r.commits[hash]
	if !ok {
		return "", nil, gated, answer{http.StatusNotFound, "RevisionNotFound", "Invalid rev id: " + revision}
	}
	return hash, tree, gated, answer{}
}

func refuse(w http.ResponseWriter, a answer) {
	if a.code != "" {
		w.Header().Set("X-Error-Code", a.code)
	}
	w.Header().Set("X-Error-Message", a.message)
	write(w, a.status, map[string]string{"error": a.message})
}

func write(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // who asked may have gone
}

func serveInfo(w http.ResponseWriter, name, hash string, tree commit, gated bool) {
	type sibling struct {
		Name string `json:"rfilename"`
	}
	siblings := []sibling{}
	for _, c := range tree {
		siblings = append(siblings, sibling{c.name})
	}
	var gate any = false
	if gated {
		gate = "manual"
	}
	write(w, http.StatusOK, map[string]any{"id": name, "modelId": name, "sha": hash, "private": false, "gated": gate, "disabled": false, "siblings": siblings})
}

// serveTree answers a page; directories are entries, too.
func (h *Hub) serveTree(w http.ResponseWriter, r *http.Request, tree commit) {
	type pointer struct {
		OID     string `json:"oid"`
		Bytes   int64  `json:"size"`
		Pointer int    `json:"pointerSize"`
	}
	type entry struct {
		Type  string   `json:"type"`
		OID   string   `json:"oid"`
		Bytes int64    `json:"size"`
		Path  string   `json:"path"`
		LFS   *pointer `json:"lfs,omitempty"`
	}
	entries, dirs := []entry{}, map[string]bool{}
	for _, c := range tree {
		if d := path.Dir(c.name); d != "." && !dirs[d] {
			dirs[d] = true
			entries = append(entries, entry{Type: "directory", OID: c.git, Path: d})
		}
		e := entry{Type: "file", OID: c.git, Bytes: c.bytes, Path: c.name}
		if c.lfs {
			e.LFS = &pointer{c.sha256, c.bytes, 134}
		}
		entries = append(entries, e)
	}
	size := h.PageSize
	if asked, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && asked > 0 && (size == 0 || asked < size) {
		size = asked
	}
	if size == 0 {
		size = 1000
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	from = min(max(from, 0), len(entries))
	to := min(from+size, len(entries))
	if to < len(entries) {
		next := *r.URL
		query := next.Query()
		query.Set("cursor", strconv.Itoa(to))
		next.RawQuery = query.Encode()
		w.Header().Set("Link", fmt.Sprintf("<%s%s>; rel=\"next\"", h.front.URL, next.RequestURI()))
	}
	write(w, http.StatusOK, entries[from:to])
}

func (h *Hub) serveFile(w http.ResponseWriter, r *http.Request, tree commit, file string) {
	for _, c := range tree {
		if c.name != file {
			continue
		}
		if !c.lfs {
			w.Header().Set("ETag", strconv.Quote(c.git))
			h.serveContent(w, r, c)
			return
		}
		w.Header().Set("X-Linked-ETag", strconv.Quote(c.sha256))
		w.Header().Set("X-Linked-Size", strconv.FormatInt(c.bytes, 10))
		w.Header().Set("Location", h.grant(c))
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, "Found. Redirecting to the store\n")
		return
	}
	refuse(w, answer{http.StatusNotFound, "EntryNotFound", "Entry not found"})
}

// grant makes a signed address of the store.
func (h *Hub) grant(c content) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	signature := strconv.Itoa(len(h.grants) + 1)
	h.grants[signature] = c
	return h.store.URL + "/repos/" + c.sha256 + "?X-Amz-Signature=" + signature
}

// Expire ends all addresses of the store that were given out so far.
func (h *Hub) Expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for signature := range h.grants {
		h.grants[signature] = content{}
	}
}

func (h *Hub) serveStore(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	h.note(Request{Method: r.Method, Path: r.URL.RequestURI(), Range: r.Header.Get("Range"), Store: true, Token: token})
	if token != "" { // as S3 has it; and it must not have come here
		http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	c := h.grants[r.URL.Query().Get("X-Amz-Signature")]
	h.mu.Unlock()
	if c.sha256 == "" || r.URL.Path != "/repos/"+c.sha256 {
		http.Error(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", http.StatusForbidden)
		return
	}
	h.broken(Store, c.name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", strconv.Quote("store-"+c.sha256[:16]))
		h.serveContent(w, r, c)
	})).ServeHTTP(w, r)
}
