package console

import (
	"bytes"
	"net/http"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/preview"
)

// editing is a file that is edited.
type editing struct {
	*browsing
	ETag  string
	Text  string
	CRLF  bool   // its lines end in both
	Check string // where the API checks it
}

// editData reads a file whole. One that is no text, or too long, is not edited here.
func editData(v *View) (any, error) {
	b, err := newBrowsing(v)
	if err != nil {
		return nil, err
	}
	head, err := v.API.FileHead(v.Context(), b.Folder.ID, b.Path, previewSize)
	if err != nil {
		return nil, err
	}
	kind := preview.Of(b.Name, head.Bytes)
	if kind == preview.Binary || kind == preview.Image || !head.Whole() || !utf8.Valid(head.Bytes) {
		p := api.NewProblem(api.KindMediaType, http.StatusUnsupportedMediaType, "%s", v.Say("folders.not_editable", b.Name))
		p.Hint = v.Say("folders.not_editable_hint")
		return nil, p
	}
	e := &editing{browsing: b, ETag: head.ETag, Check: checkOf(b.Name)}
	e.CRLF = bytes.Contains(head.Bytes, []byte("\r\n"))
	e.Text = strings.ReplaceAll(string(head.Bytes), "\r\n", "\n")
	return e, nil
}

// checkOf is where the API checks a file of that name; "" where there is nothing to check.
func checkOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json", ".toml":
		return api.Prefix + "/validate"
	}
	return ""
}

// saveFile writes a file where it still is what was edited. Browsers send lines that end in both; it keeps its own.
func saveFile(v *View) (Outcome, error) {
	text := strings.ReplaceAll(v.Field("text"), "\r\n", "\n")
	if v.Field("crlf") != "" {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	e, err := v.API.ReplaceFile(v.Context(), v.PathValue("id"), v.Field("path"), v.Field("etag"), []byte(text))
	if isKind(err, api.KindPrecondition) {
		p := problemOf(err)
		p.Hint = v.Say("folders.changed_hint")
		return Outcome{}, p
	}
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Fragment: "fragment-file-version", Data: e}, nil
}
