package admin

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pelletier/go-toml/v2"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/training/pipeline"
)

// listDirectory answers with a part of a directory, as people look at one.
func (s *server) listDirectory(c *gin.Context) error {
	p := query(c, "path", "sort", "reverse", "match", "offset", "limit")
	q := folders.ListQuery{
		Order: folders.ListOrder(p.text("sort")), Reverse: p.flag("reverse"), Match: p.text("match"),
		Offset: p.number("offset", 0, 0, 10_000_000), Limit: p.number("limit", api.DefaultLimit, 1, api.MaxLimit),
	}
	switch q.Order {
	case "", folders.OrderName, folders.OrderSize, folders.OrderTime:
	default:
		return badField("?sort", "name, size or time", "%q is no order", q.Order)
	}
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	dir := p.text("path")
	found, err := s.Files.Directory(f.Folder, dir, q)
	if err != nil {
		return err
	}
	out := api.Directory{Path: strings.Trim(path.Clean("/"+dir), "/"), Items: []api.Entry{}, Offset: q.Offset, Directories: found.Directories, Files: found.Files}
	for i := range found.Entries {
		out.Items = append(out.Items, entryAt(out.Path, &found.Entries[i]))
	}
	return respond(c, http.StatusOK, out)
}

// entryAt shows an entry of a directory.
func entryAt(dir string, e *folders.Entry) api.Entry {
	item := api.Entry{Path: path.Join(dir, e.Name), Type: "file", Size: e.Size, ModTime: e.Modified.UTC(), Link: e.Link, Executable: e.Executable}
	if e.Dir {
		item.Type, item.Size = "directory", 0
	} else {
		item.ETag = etagOf(e.Modified, e.Size)
	}
	return item
}

// shownTypes are what a browser shows of a folder's files, by what they begin with: pictures that cannot run anything.
var shownTypes = []struct{ begins, media string }{
	{"\x89PNG\r\n\x1a\n", "image/png"}, {"\xff\xd8\xff", "image/jpeg"}, {"GIF87a", "image/gif"}, {"GIF89a", "image/gif"},
}

// shownType is the media type of a picture that begins so; "" of anything else.
func shownType(begin []byte) string {
	for _, t := range shownTypes {
		if bytes.HasPrefix(begin, []byte(t.begins)) {
			return t.media
		}
	}
	if len(begin) >= 12 && string(begin[:4]) == "RIFF" && string(begin[8:12]) == "WEBP" {
		return "image/webp"
	}
	return ""
}

// handOut sets how a file of a folder reaches a browser. What a folder holds is anyone's: a browser must neither guess its type
// nor run it as a page of ours. show has a picture shown instead of saved.
func handOut(c *gin.Context, name string, file io.ReaderAt, show bool) error {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(path.Base(name)))
	if !show {
		return nil
	}
	begin := make([]byte, 12)
	n, err := file.ReadAt(begin, 0)
	if media := shownType(begin[:n]); media != "" {
		h.Set("Content-Type", media)
		h.Set("Content-Disposition", "inline")
		return nil
	}
	for _, set := range []string{"Content-Type", "Content-Disposition"} {
		h.Del(set)
	}
	if err != nil && n == 0 && err != io.EOF {
		return err
	}
	p := api.NewProblem(api.KindMediaType, http.StatusUnsupportedMediaType, "%s is no picture that is shown: PNG, JPEG, GIF and WebP are", path.Base(name))
	p.Hint = "leave ?show=true out to save it"
	return p
}

// seenVersion reads If-Match and If-None-Match: what a file is to be before it is replaced.
func seenVersion(c *gin.Context) (*folders.Version, error) {
	if c.GetHeader("If-None-Match") == "*" {
		return &folders.Version{}, nil
	}
	match := c.GetHeader("If-Match")
	if match == "" {
		return nil, nil //nolint:nilnil // nobody said which
	}
	at, size, _ := strings.Cut(strings.Trim(match, `"`), "-")
	nanos, err := strconv.ParseInt(at, 36, 64)
	bytes, err2 := strconv.ParseInt(size, 36, 64)
	if err != nil || err2 != nil {
		return nil, badField("If-Match", "take it from the ETag of the file", "%q is no ETag", match)
	}
	return &folders.Version{Modified: time.Unix(0, nanos), Size: bytes}, nil
}

// validateFile says what is wrong with a text, by what its name says that it is.
func (s *server) validateFile(c *gin.Context) error {
	var in api.Validate
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if in.File == "" {
		return badField("file", "as in model-definition.yaml", "is needed")
	}
	name := path.Base(in.File)
	kind, problems := validate(name, []byte(in.Text))
	if problems.Err() != nil {
		p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s cannot be used", name)
		p.Errors = fieldErrors(problems)
		return p
	}
	out := api.Validation{Kind: kind, Warnings: []api.FieldError{}}
	out.Warnings = append(out.Warnings, fieldErrors(problems)...)
	return respond(c, http.StatusOK, out)
}

// validate looks at a text. In order:
//  1. files that have a meaning of their own, by name;
//  2. others by how they are written: YAML, JSON (which is YAML), TOML;
//  3. what is neither is good.
func validate(name string, text []byte) (kind string, ps catalog.Problems) {
	lower := strings.ToLower(name)
	ext := path.Ext(lower)
	yaml := ext == ".yaml" || ext == ".yml"
	switch { // 1
	case yaml && strings.Contains(lower, "model-definition"):
		_, ps = catalog.ParseDefinition(name, text)
		return "model-definition", ps
	case yaml && strings.TrimSuffix(lower, ext) == "recipe":
		_, ps = recipe.Parse(name, text)
		return "recipe", ps
	case yaml && strings.Contains(lower, "pipeline"):
		_, ps = pipeline.Parse(name, text)
		return "pipeline", ps
	}
	switch { // 2
	case yaml || ext == ".json":
		if len(bytes.TrimSpace(text)) > 0 {
			ps = catalog.ReadDocument(name, text).Problems()
		}
		return ext[1:], ps
	case ext == ".toml":
		return "toml", tomlProblems(name, text)
	}
	return "", nil // 3
}

func tomlProblems(name string, text []byte) catalog.Problems {
	var into map[string]any
	err := toml.Unmarshal(text, &into)
	if err == nil {
		return nil
	}
	p := catalog.Problem{Severity: catalog.SeverityError, File: name, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	if at, ok := err.(*toml.DecodeError); ok { //nolint:errorlint // as the package returns it
		p.Line, p.Column = at.Position()
	}
	return catalog.Problems{p}
}
