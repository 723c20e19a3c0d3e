package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// partSize is how much of a file goes over at a time. What is cut off in the middle of it is sent again.
const partSize = 16 << 20

// Upload is one file that goes into a folder.
type Upload struct {
	Path       string      // in the folder; directories on the way are made
	Body       io.ReaderAt // it must not change meanwhile
	Size       int64
	Executable bool
	Modified   time.Time // what the file is to have; zero: when it is there
}

// Upload writes one file: it is there as a whole, as it was read here by its checksum, or not at all. It goes on by itself
// when the connection is cut, and where an earlier call for the same file was. progress, which may be nil, is told how far
// it is, by one goroutine.
func (c *Client) Upload(ctx context.Context, ref string, u Upload, progress Progress) (Entry, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	up := &uploading{c: c, ref: ref, Upload: u, tell: progress, sum: xxhash.New()}
	if u.Size <= partSize {
		return up.whole(ctx)
	}
	return up.parts(ctx)
}

// uploading is one upload under way.
type uploading struct {
	Upload
	c    *Client
	ref  string
	tell Progress
	id   string
	sum  hash.Hash // of what was read
}

// whole sends a small file in one request.
func (u *uploading) whole(ctx context.Context) (out Entry, err error) {
	body := make([]byte, u.Size)
	if n, err := u.Body.ReadAt(body, 0); int64(n) < u.Size {
		return out, u.short(int64(n), err)
	}
	sum := sha256.Sum256(body)
	q := url.Values{"path": {u.Path}, "executable": {strconv.FormatBool(u.Executable)}}
	if !u.Modified.IsZero() {
		q.Set("mod_time", u.Modified.UTC().Format(time.RFC3339Nano))
	}
	err = patiently(ctx, func() (bool, error) {
		k := call{
			method: http.MethodPut, path: folderPath(u.ref, "/files"), query: q, body: bytes.NewReader(body), size: u.Size,
			header: http.Header{
				"Content-Type": {"application/octet-stream"}, "Content-Digest": {"sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"},
			},
		}
		if u.Size == 0 {
			k.body = http.NoBody
		}
		resp, err := u.c.send(ctx, k)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		return true, decodeAnswer(resp, &out)
	})
	u.tell(u.Size, u.Size)
	return out, err
}

// short says that there is less to read than there was.
func (u *uploading) short(n int64, err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("the file became shorter meanwhile: %d bytes at first, %d now", u.Size, n)
}

// parts sends a large file bit by bit.
func (u *uploading) parts(ctx context.Context) (Entry, error) {
	at := int64(0)
	err := patiently(ctx, func() (_ bool, err error) {
		at, err = u.begin(ctx)
		return true, err
	})
	if err != nil {
		return Entry{}, err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	used := make(chan []byte, 2)
	for range cap(used) {
		used <- make([]byte, partSize)
	}
	for p := range u.read(reading, at, used) {
		if p.err == nil {
			p.err = u.send(ctx, p)
		}
		if p.err != nil {
			return Entry{}, p.err
		}
		used <- p.bytes[:partSize]
	}
	if ctx.Err() != nil {
		return Entry{}, context.Cause(ctx)
	}
	return u.finish(ctx)
}

// begin begins, or goes on with what is there of the file, when it is the beginning of this one, and returns how much that is.
func (u *uploading) begin(ctx context.Context) (at int64, err error) {
	var there FolderUpload
	in := UploadCreate{Path: u.Path, Size: u.Size, Executable: &u.Executable, Checksum: "xxh64"}
	if !u.Modified.IsZero() {
		in.ModTime = &u.Modified
	}
	post := call{method: http.MethodPost, path: folderPath(u.ref, "/uploads"), in: in}
	if err := u.ask(ctx, post, &there); err != nil {
		return 0, err
	}
	same := xxhash.New()
	if _, err := io.Copy(same, io.NewSectionReader(u.Body, 0, there.Offset)); err != nil {
		return 0, err
	}
	if digestOf(same) != there.Digest {
		if err := u.c.unary(ctx, call{method: http.MethodDelete, path: u.path(there.ID)}, nil); err != nil {
			return 0, err
		}
		if err := u.ask(ctx, post, &there); err != nil {
			return 0, err
		}
		if same.Reset(); there.Offset != 0 {
			return 0, fmt.Errorf("uploading %s: somebody else uploads it at the same time", u.Path)
		}
	}
	u.id, u.sum = there.ID, same
	u.tell(there.Offset, u.Size)
	return there.Offset, nil
}

func digestOf(sum hash.Hash) string { return "xxh64:" + hex.EncodeToString(sum.Sum(nil)) }

// ask is unary for what may take long: what was there before the box failed is read again first.
func (u *uploading) ask(ctx context.Context, k call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	resp, err := u.c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decodeAnswer(resp, out)
}

func (u *uploading) path(id string) string { return folderPath(u.ref, "/uploads/"+seg(id)) }

// piece is a part that is read, and what it is compared by.
type piece struct {
	at    int64
	bytes []byte
	crc   string
	err   error
}

// read reads what follows, one part ahead of what is sent: sending waits for the appliance, and reading for the disk. Who
// takes a piece gives its bytes back when they are sent. It ends with the file, or with ctx.
func (u *uploading) read(ctx context.Context, from int64, used <-chan []byte) <-chan piece {
	pieces := make(chan piece)
	go func() {
		defer close(pieces)
		for at := from; at < u.Size; {
			var p piece
			select {
			case buf := <-used:
				p = piece{at: at, bytes: buf[:min(partSize, u.Size-at)]}
			case <-ctx.Done():
				return
			}
			if n, err := u.Body.ReadAt(p.bytes, at); n < len(p.bytes) {
				p.err = u.short(at+int64(n), err)
			}
			_, _ = u.sum.Write(p.bytes)
			var crc [4]byte
			binary.BigEndian.PutUint32(crc[:], crc32.Checksum(p.bytes, crc32.MakeTable(crc32.Castagnoli)))
			p.crc = base64.StdEncoding.EncodeToString(crc[:])
			select {
			case pieces <- p:
			case <-ctx.Done():
				return
			}
			at += int64(len(p.bytes))
		}
	}()
	return pieces
}

// send sends a part, for as long as it takes.
func (u *uploading) send(ctx context.Context, p piece) error {
	after := p.at + int64(len(p.bytes))
	sent := false
	return patiently(ctx, func() (bool, error) {
		if sent { // and nobody said whether it came
			var there FolderUpload
			if err := u.c.unary(ctx, call{method: http.MethodGet, path: u.path(u.id)}, &there); err != nil {
				return false, err
			}
			if there.Offset == after {
				return true, nil
			}
			if there.Offset != p.at {
				return true, fmt.Errorf("uploading %s: it is at byte %d, not at %d: somebody else uploads it at the same time", u.Path, there.Offset, p.at)
			}
		}
		sent = true
		resp, err := u.c.send(ctx, call{
			method: http.MethodPatch, path: u.path(u.id), size: int64(len(p.bytes)),
			body: &counted{r: bytes.NewReader(p.bytes), total: u.Size, done: p.at, tell: u.tell},
			header: http.Header{
				"Content-Type": {"application/octet-stream"}, HeaderOffset: {strconv.FormatInt(p.at, 10)}, HeaderChecksum: {"crc32c " + p.crc},
			},
		})
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return true, nil
	})
}

// finish has the file put into its place.
func (u *uploading) finish(ctx context.Context) (out Entry, err error) {
	again := false
	err = patiently(ctx, func() (bool, error) {
		k := call{method: http.MethodPost, path: u.path(u.id) + "/finish", in: UploadFinish{Digest: digestOf(u.sum)}}
		err := u.ask(ctx, k, &out)
		if again && errors.Is(err, KindError(KindNotFound)) {
			// It may have been done, and the answer lost.
			if there, found := u.there(ctx); found && there.Size == u.Size && (u.Modified.IsZero() || there.ModTime.Equal(u.Modified)) {
				out = there
				return true, nil
			}
		}
		again = true
		return err == nil, err
	})
	return out, err
}

// there is the file as the folder has it now.
func (u *uploading) there(ctx context.Context) (Entry, bool) {
	entries, err := u.c.Entries(ctx, u.ref, parentOf(u.Path), false)
	for _, e := range entries {
		if err == nil && "/"+e.Path == cleanPath(u.Path) {
			return e, true
		}
	}
	return Entry{}, false
}
