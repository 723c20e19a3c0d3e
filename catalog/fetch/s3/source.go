package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// What is read of a store at most, and how much at once.
const (
	mostFiles = 100_000
	mostAsked = 2_000 // objects whose checksums are asked for one by one
	atOnce    = 8
	awayFor   = 5 * time.Second // what a store that is busy is left alone for; it says no time itself
)

// amazon is the store where nothing else is said.
const amazon = "https://s3.amazonaws.com"

// Settings are how a store is spoken to.
type Settings struct {
	Endpoint string // https://HOST[:PORT]; empty: Amazon's
	Region   string // empty: the store is asked
	Key      string // access key; empty: the store is open to all
	Secret   string
	Session  string // token of keys that last for a while
}

// Config is what a Source asks of others.
type Config struct {
	// Settings says how the store of a bucket is spoken to; it is asked for every listing.
	Settings func(ctx context.Context, bucket string) (Settings, error)
	// Transport is the way there; nil: one with the bounds of this package.
	Transport http.RoundTripper
}

// Source reads models from stores. It is a fetch.Source.
type Source struct{ cfg Config }

// New makes a Source.
func New(cfg Config) *Source {
	if cfg.Transport == nil {
		cfg.Transport = web.Patient(nil)
	}
	return &Source{cfg}
}

// client is the way to a bucket.
func (s *Source) client(ctx context.Context, bucket string) (*minio.Core, Settings, error) {
	var set Settings
	if s.cfg.Settings != nil {
		var err error
		if set, err = s.cfg.Settings(ctx, bucket); err != nil {
			return nil, set, fmt.Errorf("looking for the keys of the store of bucket %s: %w", bucket, err)
		}
	}
	if set.Endpoint == "" {
		set.Endpoint = amazon
	}
	at, err := url.Parse(set.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || strings.Trim(at.Path, "/") != "" || at.User != nil {
		return nil, set, &hinted{fmt.Errorf("%q is not the address of a store", set.Endpoint), "it is written https://HOST or https://HOST:PORT: palisade secret set AWS_ENDPOINT_URL"}
	}
	keys := credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	if set.Key != "" {
		keys = credentials.NewStaticV4(set.Key, set.Secret, set.Session)
	}
	client, err := minio.NewCore(at.Host, &minio.Options{
		Creds: keys, Secure: at.Scheme == "https", Transport: s.cfg.Transport, Region: set.Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, set, fmt.Errorf("the store at %s: %w", set.Endpoint, err)
	}
	return client, set, nil
}

// List implements fetch.Source. Objects below the prefix are the files; one that is called as the prefix is the only file.
// A store has no revision: each file has its ETag, and its checksum where the store keeps one.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	bucket, prefix, _ := strings.Cut(ref.Where, "/")
	prefix = strings.Trim(prefix, "/")
	client, set, err := s.client(ctx, bucket)
	if err != nil {
		return fetch.Listing{}, err
	}
	files, err := below(ctx, client, bucket, prefix)
	if err == nil && len(files) == 0 && prefix != "" {
		files, err = single(ctx, client, bucket, prefix)
	}
	if err == nil {
		err = checksums(ctx, client, bucket, files)
	}
	if err != nil {
		return fetch.Listing{}, fmt.Errorf("listing s3://%s: %w", ref.Where, explain(err, set))
	}
	if len(files) == 0 {
		return fetch.Listing{}, &hinted{fmt.Errorf("s3://%s: nothing is there: %w", ref.Where, fetch.ErrNotFound), "look at the prefix; it is written without the bucket's host"}
	}
	slices.SortFunc(files, func(a, b fetch.File) int { return strings.Compare(a.Name, b.Name) })
	return fetch.Listing{Ref: ref, Files: files}, nil
}

// below are the objects below a prefix.
func below(ctx context.Context, client *minio.Core, bucket, prefix string) ([]fetch.File, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what lists
	cut := ""
	if prefix != "" {
		cut = prefix + "/"
	}
	var files []fetch.File
	for object := range client.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: cut, Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		if strings.HasSuffix(object.Key, "/") {
			continue // what stands for a directory
		}
		name := strings.TrimPrefix(object.Key, cut)
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00\n") {
			return nil, &hinted{fmt.Errorf("the object %q has a name that no file can have here", object.Key), "rename it in the store, or install from a prefix without it"}
		}
		files = append(files, fetch.File{Name: name, Bytes: object.Size, At: at(bucket, object.Key), ETag: object.ETag})
		if len(files) > mostFiles {
			return nil, fmt.Errorf("there are more than %d objects", mostFiles)
		}
	}
	return files, ctx.Err()
}

// single is the one object of a name, when there is one.
func single(ctx context.Context, client *minio.Core, bucket, key string) ([]fetch.File, error) {
	object, err := client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	if err != nil {
		if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
			return nil, nil
		}
		return nil, err
	}
	return []fetch.File{{Name: path.Base(key), Bytes: object.Size, At: at(bucket, key), ETag: object.ETag}}, nil
}

// at is where an object is. The bucket is of it: by this and the ETag files are taken for the same.
func at(bucket, key string) string { return bucket + "/" + key }

func keyOf(f fetch.File) string {
	_, key, _ := strings.Cut(f.At, "/")
	return key
}

// checksums asks for the SHA-256 of objects, which stores keep where they were given it. What they do not say, or will not,
// is none: files are told apart by their ETags then.
func checksums(ctx context.Context, client *minio.Core, bucket string, files []fetch.File) error {
	if len(files) > mostAsked {
		return nil
	}
	var all sync.WaitGroup
	next := make(chan *fetch.File)
	for range min(atOnce, len(files)) {
		all.Go(func() {
			for f := range next {
				object, err := client.StatObject(ctx, bucket, keyOf(*f), minio.StatObjectOptions{Checksum: true})
				if err == nil && object.ETag == f.ETag {
					f.SHA256 = wholeSHA256(object)
				}
			}
		})
	}
	for i := range files {
		next <- &files[i]
	}
	close(next)
	all.Wait()
	return ctx.Err()
}

// wholeSHA256 is the checksum of an object, not of its parts' checksums ("...-3"), or "".
func wholeSHA256(object minio.ObjectInfo) string {
	if object.ChecksumMode == "COMPOSITE" || strings.Contains(object.ChecksumSHA256, "-") {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(object.ChecksumSHA256)
	if err != nil || len(raw) != 32 {
		return ""
	}
	return hex.EncodeToString(raw)
}

// Open implements fetch.Source.
func (s *Source) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	bucket, _, _ := strings.Cut(in.Ref.Where, "/")
	client, set, err := s.client(ctx, bucket)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > f.Bytes {
		return nil, fmt.Errorf("there is no byte %d in %d", offset, f.Bytes)
	}
	if length < 0 || length > f.Bytes-offset {
		length = f.Bytes - offset
	}
	if length == 0 {
		return http.NoBody, nil
	}
	body, err := part{bucket, f, offset, length}.open(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("opening s3://%s: %w", f.At, explain(err, set))
	}
	return body, nil
}

// part is what is wanted of an object.
type part struct {
	bucket         string
	f              fetch.File
	offset, length int64
}

func (p part) open(ctx context.Context, client *minio.Core) (io.ReadCloser, error) {
	f, offset, length := p.f, p.offset, p.length
	var how minio.GetObjectOptions
	if f.ETag != "" {
		if err := how.SetMatchETag(f.ETag); err != nil {
			return nil, err
		}
	}
	if offset > 0 || length < f.Bytes {
		if err := how.SetRange(offset, offset+length-1); err != nil {
			return nil, err
		}
	}
	body, object, header, err := client.GetObject(ctx, p.bucket, keyOf(f), how)
	if err != nil {
		return nil, err
	}
	answered := header.Get("Content-Range")
	switch {
	case f.ETag != "" && object.ETag != f.ETag:
		err = fmt.Errorf("its ETag is %q, was %q: %w", object.ETag, f.ETag, fetch.ErrChanged)
	case answered == "" && offset > 0:
		err = fmt.Errorf("the store sends only whole objects: %w", fetch.ErrNoRange)
	case answered != "" && answered != fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, f.Bytes), answered == "" && object.Size != f.Bytes:
		err = fmt.Errorf("the store answers with %q of %d bytes, %d were listed: %w", answered, object.Size, f.Bytes, fetch.ErrChanged)
	}
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return &exactly{body: body, left: length}, nil
}

// exactly reads as many bytes as are left, and no more: fewer is a way that was cut off.
type exactly struct {
	body io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.body.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (e *exactly) Close() error { return e.body.Close() }

// explain gives an error its kind and says what to do about it.
func explain(err error, set Settings) error {
	answered, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		if _, is := errors.AsType[net.Error](err); is && !errors.Is(err, context.Canceled) {
			return &hinted{fmt.Errorf("the store at %s cannot be reached: %w", set.Endpoint, err), "palisade secret set AWS_ENDPOINT_URL says where it is"}
		}
		return err
	}
	switch {
	case answered.StatusCode == http.StatusTooManyRequests || answered.StatusCode == http.StatusServiceUnavailable:
		return &fetch.Later{After: awayFor, Err: err}
	case answered.StatusCode == http.StatusPreconditionFailed || answered.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %w", fetch.ErrChanged, err)
	case answered.Code == minio.InvalidAccessKeyID || answered.StatusCode == http.StatusUnauthorized || answered.StatusCode == http.StatusForbidden:
		hint := "its keys may not read it, or are wrong: palisade secret set AWS_ACCESS_KEY_ID, and AWS_SECRET_ACCESS_KEY"
		if set.Key == "" {
			hint = "give its keys: palisade secret set AWS_ACCESS_KEY_ID, and AWS_SECRET_ACCESS_KEY"
		}
		return &hinted{fmt.Errorf("%w: %w", fetch.ErrDenied, err), hint}
	case answered.Code == minio.NoSuchBucket:
		return &hinted{fmt.Errorf("%w: %w", fetch.ErrNotFound, err), "the store is " + set.Endpoint + "; another one is named by palisade secret set AWS_ENDPOINT_URL"}
	case answered.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", fetch.ErrNotFound, err)
	}
	return err
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Unwrap gives what it wraps.
func (h *hinted) Unwrap() error { return h.error }

// Hint says what to do.
func (h *hinted) Hint() string { return h.hint }
