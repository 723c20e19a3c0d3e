package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/folders"
)

func folderUpload(u folders.Upload) api.FolderUpload {
	return api.FolderUpload{
		ID: u.ID, Path: u.Path, Size: u.Size, Offset: u.Offset, Digest: u.Digest, CreatedBy: u.By, CreatedAt: u.CreatedAt.UTC(), TouchedAt: u.TouchedAt.UTC(),
	}
}

// respondUpload tells where an upload goes on, in the body and, for who reads no body, in a header.
func respondUpload(c *gin.Context, status int, u folders.Upload) error {
	c.Header(api.HeaderOffset, strconv.FormatInt(u.Offset, 10))
	return respond(c, status, folderUpload(u))
}

func (s *server) beginUpload(c *gin.Context) error {
	var in api.UploadCreate
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	spec := folders.UploadSpec{Path: in.Path, Size: in.Size, Executable: in.Executable, By: actorOf(ctx).Name, Checksum: folders.Checksum(in.Checksum)}
	if in.ModTime != nil {
		spec.Modified = *in.ModTime
	}
	u, err := s.Files.BeginUpload(ctx, f.Folder, spec)
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/folders/"+f.ID+"/uploads/"+u.ID)
	return respondUpload(c, http.StatusCreated, u)
}

func (s *server) listUploads(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	f, err := s.findFolder(c, p, folders.ReadOnly)
	if err != nil {
		return err
	}
	all, err := s.Files.Uploads(c.Request.Context(), f.Folder)
	if err != nil {
		return err
	}
	items := []api.FolderUpload{}
	for _, u := range all {
		items = append(items, folderUpload(u))
	}
	return respondPage(c, p, items, func(u api.FolderUpload) string { return u.Path + "\x00" + u.ID })
}

func (s *server) getUpload(c *gin.Context) error {
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err != nil {
		return err
	}
	u, err := s.Files.Upload(c.Request.Context(), f.Folder, c.Param("uid"))
	if err != nil {
		return err
	}
	return respondUpload(c, http.StatusOK, u)
}

func (s *server) appendUpload(c *gin.Context) error {
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err != nil {
		return err
	}
	chunk := folders.Chunk{Body: c.Request.Body}
	if chunk.Offset, err = strconv.ParseInt(c.GetHeader(api.HeaderOffset), 10, 64); err != nil || chunk.Offset < 0 {
		return badField(api.HeaderOffset, "the header says where the part begins, as in Upload-Offset: 0", "%q is no number of bytes", c.GetHeader(api.HeaderOffset))
	}
	if chunk.CRC32C, err = crcOf(c.GetHeader(api.HeaderChecksum)); err != nil {
		return err
	}
	u, err := s.Files.Append(c.Request.Context(), f.Folder, c.Param("uid"), chunk)
	if errors.Is(err, folders.ErrOffset) {
		c.Header(api.HeaderOffset, strconv.FormatInt(u.Offset, 10))
	}
	if err != nil {
		return err
	}
	return respondUpload(c, http.StatusOK, u)
}

// crcOf reads "crc32c BASE64", big-endian.
func crcOf(text string) (*uint32, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nobody said one
	}
	name, sum, _ := strings.Cut(text, " ")
	raw, err := base64.StdEncoding.DecodeString(sum)
	if name != "crc32c" || err != nil || len(raw) != 4 {
		return nil, badField(api.HeaderChecksum, "write crc32c and the base64 of its four bytes", "%q is no checksum", text)
	}
	return new(uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])), nil
}

func (s *server) finishUpload(c *gin.Context) error {
	var in api.UploadFinish
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	w, err := s.Files.FinishUpload(c.Request.Context(), f.Folder, c.Param("uid"), in.Digest)
	if err != nil {
		return err
	}
	return s.respondWritten(c, f.Folder, w)
}

func (s *server) dropUpload(c *gin.Context) error {
	f, err := s.findFolder(c, query(c), folders.ReadWrite)
	if err != nil {
		return err
	}
	if err := s.Files.DropUpload(c.Request.Context(), f.Folder, c.Param("uid")); err != nil {
		return err
	}
	return noContent(c)
}

// respondWritten shows a file that was just written.
func (s *server) respondWritten(c *gin.Context, f folders.Folder, w folders.Written) error {
	out := api.Entry{Path: w.Path, Type: "file", Size: w.Size, ModTime: s.Now().UTC()}
	if sum, found := strings.CutPrefix(w.Digest, "sha256:"); found {
		out.SHA256 = sum
	}
	if file, err := s.Files.Open(f, w.Path); err == nil { // else it is gone again
		if info, err := file.Stat(); err == nil {
			out.ModTime, out.ETag, out.Executable = info.ModTime().UTC(), etagOf(info.ModTime(), info.Size()), info.Mode()&0o100 != 0
		}
		_ = file.Close()
	}
	return respond(c, http.StatusOK, out)
}

// digestIn reads the SHA-256 that a request says its body has (RFC 9530), as "sha256:HEX"; "" where it says none.
func digestIn(c *gin.Context) (string, error) {
	for _, name := range []string{"Content-Digest", "Repr-Digest"} {
		for member := range strings.SplitSeq(c.GetHeader(name), ",") {
			algorithm, value, _ := strings.Cut(strings.TrimSpace(member), "=")
			if !strings.EqualFold(algorithm, "sha-256") {
				continue
			}
			raw, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
			if err != nil || len(raw) != sha256.Size {
				return "", badField(name, "write sha-256=:BASE64:", "%q is no digest", c.GetHeader(name))
			}
			return "sha256:" + hex.EncodeToString(raw), nil
		}
	}
	return "", nil
}

// wantedDigest is the sum that a request would have of what is sent (RFC 9530); nil where it wants none that is known. The
// cheap one where both will do: it tells what a line has damaged.
func wantedDigest(want string) (string, hash.Hash) {
	weight := map[string]string{}
	for member := range strings.SplitSeq(want, ",") {
		name, w, _ := strings.Cut(strings.TrimSpace(member), "=")
		weight[strings.ToLower(name)] = strings.TrimSpace(w)
	}
	switch c, s := weight["crc32c"], weight["sha-256"]; {
	case c != "" && c != "0" && c >= s:
		return "crc32c", crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case s != "" && s != "0":
		return "sha-256", sha256.New()
	}
	return "", nil
}

// digesting sums what is sent, and says so behind it. There can be no Content-Length then.
type digesting struct {
	http.ResponseWriter
	name    string // sha-256, crc32c
	sum     hash.Hash
	refused bool
}

func (w *digesting) WriteHeader(status int) {
	if status == http.StatusOK || status == http.StatusPartialContent {
		w.Header().Del("Content-Length")
		w.Header().Set("Trailer", "Content-Digest") // said before: a small answer has none otherwise
	} else {
		w.refused = true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *digesting) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	_, _ = w.sum.Write(p[:n])
	return n, err
}

// ReadFrom reads large pieces: a small one at a time costs more than summing it.
func (w *digesting) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256<<10))
}

// end sends the sum.
func (w *digesting) end() {
	if !w.refused {
		w.Header().Set("Content-Digest", w.name+"=:"+base64.StdEncoding.EncodeToString(w.sum.Sum(nil))+":")
	}
}
