package goods

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
)

// Files are the folders whose home is here, as other boxes use them. *folders.Keeper is one.
type Files interface {
	Carry(ctx context.Context, op folders.Operation, body io.Reader) (any, error)
	Open(f folders.Folder, path string) (folders.File, error)
}

const (
	pathCarry = pathPrefix + "carry" // POST, the operation in a header: what came of it
	pathOpen  = pathPrefix + "open"  // GET ?folder&path: bytes, in ranges

	operationHeader = "Palisade-Operation" // base64 of JSON
	modeHeader      = "Palisade-Mode"      // of a file, in octal
	modifiedHeader  = "Palisade-Modified"  // to the nanosecond

	// carryPatience is for what goes through all of a folder, or takes in a large file. Who asks breaks it off before.
	carryPatience = 6 * time.Hour

	longestOutcome = 256 << 20 // bytes: the list of a directory of a million entries
)

// outcome is what came of an operation. There may be something though there is an error.
type outcome struct {
	Out   json.RawMessage `json:"out,omitempty"`
	Fault *said           `json:"fault,omitempty"`
}

func (g *Goods) serveCarry(w http.ResponseWriter, r *http.Request) error {
	var op folders.Operation
	raw, err := base64.StdEncoding.DecodeString(r.Header.Get(operationHeader))
	if err == nil {
		err = json.Unmarshal(raw, &op)
	}
	if err != nil {
		return &fault{kind: folders.ErrInvalid, text: "what another box asks for cannot be read: " + err.Error()}
	}
	files := g.files.Load()
	if files == nil {
		return away("the next try may find it ready", "box "+g.Self+" is just starting")
	}
	var o outcome
	out, failed := (*files).Carry(r.Context(), op, r.Body)
	if out != nil {
		if o.Out, err = json.Marshal(out); err != nil {
			return err
		}
	}
	if failed != nil {
		o.Fault = saidOf(failed)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(o)
}

// Carry implements folders.Elsewhere.
func (g *Goods) Carry(ctx context.Context, box string, op folders.Operation, body io.Reader, out any) error {
	raw, err := json.Marshal(op)
	if err != nil {
		return err
	}
	header := http.Header{operationHeader: {base64.StdEncoding.EncodeToString(raw)}}
	answer, err := g.ask(ctx, box, call{method: http.MethodPost, path: pathCarry, header: header, body: body, patience: carryPatience})
	if err != nil {
		return g.homeAway(ctx, box, err)
	}
	defer answer.Body.Close()
	var o outcome
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestOutcome)).Decode(&o); err != nil {
		return g.homeAway(ctx, box, fmt.Errorf("reading what box %s says: %w", box, err))
	}
	if len(o.Out) > 0 && out != nil {
		if err := json.Unmarshal(o.Out, out); err != nil {
			return fmt.Errorf("reading what box %s says: %w", box, err)
		}
	}
	if o.Fault != nil {
		return o.Fault.remote()
	}
	return nil
}

// homeAway says that a folder's home cannot be asked, where that is what is wrong.
func (g *Goods) homeAway(ctx context.Context, box string, err error) error {
	if _, is := errors.AsType[*fault](err); is || ctx.Err() != nil && context.Cause(ctx) != nil && errors.Is(err, context.Canceled) {
		return err
	}
	return away("its files are on that box alone: palisade cluster status shows whether it answers", fmt.Sprintf("box %s, the folder's home, cannot be asked: %v", box, err))
}

func (g *Goods) serveOpen(w http.ResponseWriter, r *http.Request) error {
	f, err := g.homeOf(r, r.FormValue("folder"))
	if err != nil {
		return err
	}
	files := g.files.Load()
	if files == nil {
		return away("the next try may find it ready", "box "+g.Self+" is just starting")
	}
	file, err := (*files).Open(f, r.FormValue("path"))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set(modeHeader, strconv.FormatUint(uint64(info.Mode().Perm()), 8))
	h.Set(modifiedHeader, info.ModTime().UTC().Format(time.RFC3339Nano))
	h.Set("ETag", fmt.Sprintf(`"%d-%d"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(w, r, "", time.Time{}, file)
	return nil
}

// Open implements folders.Elsewhere.
func (g *Goods) Open(ctx context.Context, box, folder, name string) (folders.File, error) {
	f := &far{Goods: g, ctx: ctx, box: box, query: url.Values{"folder": {folder}, "path": {name}}, name: path.Base(name)}
	answer, err := g.ask(ctx, box, call{method: http.MethodHead, path: pathOpen, query: f.query})
	if err == nil {
		defer answer.Body.Close()
		return f, f.learn(answer)
	}
	if _, is := errors.AsType[*fault](err); is {
		return nil, err
	}
	// An answer to HEAD has no words: the same is asked as GET.
	answer, err = g.ask(ctx, box, call{method: http.MethodGet, path: pathOpen, query: f.query, header: http.Header{"Range": {"bytes=0-0"}}})
	if err == nil {
		return f, errors.Join(f.learn(answer), answer.Body.Close())
	}
	return nil, g.homeAway(ctx, box, err)
}

// far is a file on another box.
type far struct {
	*Goods
	ctx   context.Context //nolint:containedctx // of who opened it
	box   string
	query url.Values
	name  string

	size     int64
	mode     fs.FileMode
	modified time.Time
	tag      string

	mu   sync.Mutex
	at   int64         // where Read goes on
	body io.ReadCloser // that comes from there; nil: none does
}

func (f *far) learn(answer *http.Response) error {
	size := answer.ContentLength
	if answer.StatusCode == http.StatusPartialContent {
		if _, err := fmt.Sscanf(answer.Header.Get("Content-Range"), "bytes 0-0/%d", &size); err != nil {
			return fmt.Errorf("reading how long %s is: %w", f.name, err)
		}
	}
	mode, err := strconv.ParseUint(answer.Header.Get(modeHeader), 8, 32)
	if err == nil {
		f.modified, err = time.Parse(time.RFC3339Nano, answer.Header.Get(modifiedHeader))
	}
	if err != nil || size < 0 {
		return errors.Join(fmt.Errorf("box %s does not say what %s is", f.box, f.name), err)
	}
	f.size, f.mode, f.tag = size, fs.FileMode(mode), answer.Header.Get("ETag")
	return nil
}

// piece asks for the bytes from an offset; last -1: to the end.
func (f *far) piece(offset, last int64) (io.ReadCloser, error) {
	span := fmt.Sprintf("bytes=%d-", offset)
	if last >= 0 {
		span += strconv.FormatInt(last, 10)
	}
	answer, err := f.ask(f.ctx, f.box, call{method: http.MethodGet, path: pathOpen, query: f.query, header: http.Header{"Range": {span}, "If-Match": {f.tag}}})
	if err != nil {
		return nil, f.homeAway(f.ctx, f.box, err)
	}
	if answer.StatusCode != http.StatusPartialContent {
		return nil, errors.Join(&fault{kind: folders.ErrChanged, text: f.name + " has been changed meanwhile", hint: "begin again"}, answer.Body.Close())
	}
	return answer.Body, nil
}

// ReadAt implements io.ReaderAt.
func (f *far) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= f.size {
		return 0, io.EOF
	}
	want := min(int64(len(p)), f.size-offset)
	if want == 0 {
		return 0, nil
	}
	body, err := f.piece(offset, offset+want-1)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := io.ReadFull(body, p[:want])
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Read implements io.Reader.
func (f *far) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at >= f.size {
		return 0, io.EOF
	}
	if f.body == nil {
		body, err := f.piece(f.at, -1)
		if err != nil {
			return 0, err
		}
		f.body = body
	}
	n, err := f.body.Read(p)
	f.at += int64(n)
	if errors.Is(err, io.EOF) && f.at < f.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Seek implements io.Seeker.
func (f *far) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("%s: %w: before its beginning", f.name, fs.ErrInvalid)
	}
	if offset != f.at && f.body != nil {
		_ = f.body.Close()
		f.body = nil
	}
	f.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (f *far) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.body == nil {
		return nil
	}
	return f.body.Close()
}

// Stat is the file as it was when it was opened.
func (f *far) Stat() (fs.FileInfo, error) { return farInfo{f}, nil }

type farInfo struct{ f *far }

func (i farInfo) Name() string       { return i.f.name }
func (i farInfo) Size() int64        { return i.f.size }
func (i farInfo) Mode() fs.FileMode  { return i.f.mode }
func (i farInfo) ModTime() time.Time { return i.f.modified }
func (i farInfo) IsDir() bool        { return false }
func (i farInfo) Sys() any           { return nil }
