package console

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/preview"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// Bounds of what a page reads of a file, and shows of a directory.
const (
	pageEntries = 200
	previewSize = 1 << 20
	wholeSize   = 16 << 20 // of a notebook, which is of no use in parts
	headerSize  = 8 << 20  // of weights
)

// crumb is a directory on the way to what is shown.
type crumb struct{ Name, Path string }

// browsing is a directory of a folder, or a file.
type browsing struct {
	Folder api.Folder
	Path   string // of what is shown, without slashes at its ends
	Name   string // the last of it
	Up     string // the directory above
	Crumbs []crumb

	// Of a directory.
	Listing  *api.Directory
	Sort     string
	Reverse  bool
	Match    string
	From, To int // the entries that are shown, counted from 1
	All      int
	Before   string // address of the part before; "" none
	After    string
	Uploads  []api.FolderUpload // that are not finished, of the viewer

	File *filePage

	project string // in which the viewer works
}

// filePage is a file.
type filePage struct {
	Kind  preview.Kind
	Entry api.FileHead
	Edit  bool // it can be edited here
	Twice bool // it is shown as what it is, or as text

	Lines    preview.Lines
	Table    preview.TableHead
	Notebook preview.NotebookOf
	Weights  preview.Weights
	Markdown string
	Failed   bool // it is not what its name says
}

// May says whether the viewer has a permission for the folder: "ro", "rw", "wd", "owner".
func (b *browsing) May(want string) bool { return permitted(b.Folder.Permission, want) }

func permitted(has, want string) bool {
	order := map[string]int{"ro": 1, "rw": 2, "wd": 3, "owner": 4}
	return order[has] >= order[want]
}

// Save is where the API has a file: to be saved.
func (b *browsing) Save(name string) string {
	q := url.Values{"path": {name}, "project": {b.project}}
	return api.Prefix + "/folders/" + url.PathEscape(b.Folder.ID) + "/files?" + q.Encode()
}

// Picture is where the API has a picture, to be shown.
func (b *browsing) Picture() string { return b.Save(b.Path) + "&show=true" }

// Label is an entry's name in its directory.
func (b *browsing) Label(e api.Entry) string { return path.Base(e.Path) }

// Icon is what an entry is drawn as.
func (b *browsing) Icon(e api.Entry) string {
	if e.Type == "directory" {
		return "folder"
	}
	return ui.FileIcon(e.Path)
}

// Otherwise reports whether the file can be shown in two ways.
func (b *browsing) Otherwise() bool { return b.File.Twice }

// Crumbed is the way to what is shown.
func (b *browsing) Crumbed() *browsing { return b }

// At is the address of a path of the folder, with a slash at the end of a directory.
func (b *browsing) At(name string, dir bool) string {
	return folderAddress(b.Folder.ID, "files", name, dir)
}

// Editor is where a file of the folder is edited.
func (b *browsing) Editor(name string) string { return folderAddress(b.Folder.ID, "edit", name, false) }

func folderAddress(folder, what, name string, dir bool) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, url.PathEscape(part))
	}
	at := "/folders/" + url.PathEscape(folder) + "/" + what + "/" + strings.Join(parts, "/")
	if dir && name != "" {
		at += "/"
	}
	return at
}

func newBrowsing(v *View) (*browsing, error) {
	f, err := v.API.Folder(v.Context(), v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	b := &browsing{Folder: f, project: v.Project, Path: strings.Trim(v.PathValue("path"), "/")}
	b.Name = path.Base(b.Path)
	at := ""
	for part := range strings.SplitSeq(b.Path, "/") {
		if part != "" {
			b.Up, at = at, path.Join(at, part)
			b.Crumbs = append(b.Crumbs, crumb{part, at})
		}
	}
	return b, nil
}

// browseData shows a directory where the address ends in a slash, else a file; and what it really is where that is wrong.
func browseData(v *View) (any, error) {
	b, err := newBrowsing(v)
	if err != nil {
		return nil, err
	}
	if b.Path == "" || strings.HasSuffix(v.PathValue("path"), "/") {
		err = b.list(v)
		if b.Path != "" && isKind(err, api.KindInvalid) && b.show(v) == nil {
			return b, nil
		}
		return b, err
	}
	if err = b.show(v); isKind(err, api.KindInvalid) && b.list(v) == nil {
		return b, nil
	}
	return b, err
}

func isKind(err error, kind string) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Kind() == kind
}

// list fills in a part of a directory.
func (b *browsing) list(v *View) error {
	b.Sort, b.Reverse, b.Match = v.Parameter("sort"), v.Parameter("reverse") == "true", v.Parameter("match")
	offset, _ := strconv.Atoi(v.Parameter("offset")) // what is no number is the beginning
	offset = max(offset, 0) / pageEntries * pageEntries
	d, err := v.API.Directory(v.Context(), b.Folder.ID, api.DirectoryQuery{Path: b.Path, Sort: b.Sort, Reverse: b.Reverse, Match: b.Match, Offset: offset, Limit: pageEntries})
	if err != nil {
		return err
	}
	b.Listing, b.All = &d, d.Directories+d.Files
	b.From, b.To = min(offset+1, b.All), offset+len(d.Items)
	if offset > 0 {
		b.Before = v.With("offset", strconv.Itoa(offset-pageEntries))
	}
	if b.To < b.All {
		b.After = v.With("offset", strconv.Itoa(offset+pageEntries))
	}
	if !b.May("rw") {
		return nil
	}
	uploads, err := v.API.FolderUploads(v.Context(), b.Folder.ID)
	for _, u := range uploads {
		if u.CreatedBy == v.Me.Name {
			b.Uploads = append(b.Uploads, u)
		}
	}
	return err
}

// show fills in a file.
func (b *browsing) show(v *View) error {
	head, err := v.API.FileHead(v.Context(), b.Folder.ID, b.Path, previewSize)
	if err != nil {
		return err
	}
	f := &filePage{Entry: head, Kind: preview.Of(b.Name, head.Bytes)}
	b.File = f
	f.Twice = f.Kind == preview.Markdown || f.Kind == preview.Table || f.Kind == preview.Notebook
	text := f.Kind == preview.Text || f.Kind == preview.Markdown || f.Kind == preview.Table || f.Kind == preview.Empty
	f.Edit = text && head.Whole() && b.May("rw")
	more := !head.Whole()
	switch f.Kind {
	case preview.Notebook, preview.GGUF, preview.Safetensors:
		return b.parse(v)
	case preview.Table:
		if v.Parameter("view") != "text" {
			f.Table = preview.TableOf(b.Name, head.Bytes, more)
			return nil
		}
		f.Kind, f.Lines = preview.Text, preview.LinesOf(head.Bytes, more)
	case preview.Markdown:
		if v.Parameter("view") != "text" {
			f.Markdown = string(head.Bytes)
			return nil
		}
		f.Kind, f.Lines = preview.Text, preview.LinesOf(head.Bytes, more)
	case preview.Text:
		f.Lines = preview.LinesOf(head.Bytes, more)
	}
	return nil
}

// parse reads what is of no use line by line.
func (b *browsing) parse(v *View) error {
	f := b.File
	most := int64(headerSize)
	if f.Kind == preview.Notebook {
		most = wholeSize
	}
	if !f.Entry.Whole() {
		head, err := v.API.FileHead(v.Context(), b.Folder.ID, b.Path, most)
		if err != nil {
			return err
		}
		f.Entry = head
	}
	var err error
	switch f.Kind {
	case preview.Notebook:
		if f.Notebook, err = preview.ReadNotebook(f.Entry.Bytes); err != nil || v.Parameter("view") == "text" {
			f.Failed = err != nil
			f.Kind, f.Lines = preview.Text, preview.LinesOf(f.Entry.Bytes[:min(len(f.Entry.Bytes), previewSize)], len(f.Entry.Bytes) > previewSize)
		}
	case preview.GGUF:
		f.Weights, err = preview.ReadGGUF(f.Entry.Bytes)
	default:
		f.Weights, err = preview.ReadSafetensors(f.Entry.Bytes)
	}
	if err != nil && f.Kind != preview.Text {
		f.Kind, f.Failed = preview.Binary, true
	}
	f.Entry.Bytes = nil
	return nil
}

func makeDirectory(v *View) (Outcome, error) {
	name := path.Join(v.Field("at"), strings.Trim(v.Field("name"), "/"))
	if strings.Trim(v.Field("name"), "/ ") == "" {
		return Outcome{}, fieldProblem("name", v.Say("folders.name_needed"))
	}
	if v.Field("what") == "file" {
		if _, err := v.API.ReplaceFile(v.Context(), v.PathValue("id"), name, "", nil); err != nil {
			return Outcome{}, err
		}
		return Outcome{To: folderAddress(v.PathValue("id"), "edit", name, false)}, nil
	}
	if err := v.API.MakeDirectory(v.Context(), v.PathValue("id"), name); err != nil {
		return Outcome{}, err
	}
	return Outcome{To: folderAddress(v.PathValue("id"), "files", name, true)}, nil
}

func fieldProblem(field, message string) error {
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", message)
	p.Errors = []api.FieldError{{Field: field, Message: message}}
	return p
}

// moveEntry gives an entry another path: one that begins with / from the folder's root, else from where it is.
func moveEntry(v *View) (Outcome, error) {
	from, to := v.Field("from"), strings.TrimSpace(v.Field("to"))
	if strings.Trim(to, "/") == "" {
		return Outcome{}, fieldProblem("to", v.Say("folders.name_needed"))
	}
	if !strings.HasPrefix(to, "/") {
		to = path.Dir(from) + "/" + to // not joined: what leads out of the folder is the API's to refuse
		to = strings.TrimPrefix(to, "./")
	}
	if err := v.API.MoveEntry(v.Context(), v.PathValue("id"), api.EntryMove{From: from, To: strings.TrimPrefix(to, "/")}); err != nil {
		return Outcome{}, err
	}
	return Outcome{To: folderAddress(v.PathValue("id"), "files", parent(from), true)}, nil
}

func parent(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

func deleteEntry(v *View) (Outcome, error) {
	name := v.Field("path")
	return Outcome{To: folderAddress(v.PathValue("id"), "files", parent(name), true)}, v.API.RemoveEntry(v.Context(), v.PathValue("id"), name)
}
