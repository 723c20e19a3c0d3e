package admin

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bundle"
	"github.com/palisade-run/palisade/sessions"
)

// Bundles are models in one file: those that were brought here, and new ones of models that are installed.
type Bundles interface {
	List() []bundle.Held
	Check(ctx context.Context, r io.Reader, allowUnsigned bool) (bundle.Held, error)
	// GoOn takes in a bundle of which the first leftOut bytes of its files, which are here, do not come.
	GoOn(ctx context.Context, r io.Reader, leftOut int64, allowUnsigned bool) (bundle.Held, error)
	Remove(name string) error
	// Make prepares a bundle of a model.
	Make(ctx context.Context, project, model string, withImage bool) (*bundle.Made, error)
}

// longestCheck is the longest beginning of a bundle that is looked at, in bytes.
const longestCheck = 40 << 20

// longestRest is how much more of a bundle that is refused is read, in bytes.
const longestRest = 256 << 20

// readOut reads what is left of a body, up to so much of it. A browser that still sends when the answer comes, and finds the
// connection closed, shows nothing of the answer.
func readOut(body io.Reader, most int64) {
	_, _ = io.CopyN(io.Discard, body, most) // where it breaks off there is nobody to tell
}

func bundleOf(h bundle.Held) api.Bundle {
	out := api.Bundle{
		Name: h.Contents.Name, Version: h.Contents.Version, Title: h.Contents.Title, Source: bundle.Catalog + "/" + h.Contents.Name, Digest: h.Digest,
		License: api.BundleLicense(h.Contents.License), Origin: h.Contents.Origin, Variant: h.Contents.Variant,
		Files: len(h.Contents.Files), Bytes: h.Contents.Weight(), SignedBy: h.SignedBy, MadeAt: h.Contents.MadeAt, MadeBy: h.Contents.MadeBy,
		ReceivedAt: h.ReceivedAt, Here: h.Here,
	}
	if h.Contents.Image != nil {
		out.Image, out.ImageUsed = h.Contents.Image.Reference, !h.NoImage
	}
	return out
}

func (s *server) listBundles(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if err := firstError(p.err, s.wantBundles); err != nil {
		return err
	}
	items := []api.Bundle{}
	for _, h := range s.Bundles.List() {
		items = append(items, bundleOf(h))
	}
	return respondPage(c, p, items, func(b api.Bundle) string { return b.Name })
}

// wantBundles refuses where none are kept.
func (s *server) wantBundles() error {
	if s.Bundles == nil {
		return fmt.Errorf("this appliance keeps no models: %w", sessions.ErrNotSupported)
	}
	return nil
}

// allowUnsigned reads ?allow_unsigned.
func (s *server) allowUnsigned(p *params) (bool, error) {
	if err := firstError(p.err, s.wantBundles); err != nil {
		return false, err
	}
	return flagOf(p, "allow_unsigned", false)
}

func flagOf(p *params, name string, otherwise bool) (bool, error) {
	text := p.text(name)
	if text == "" {
		return otherwise, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, badField("?"+name, "true or false", "%q is neither", text)
	}
	return is, nil
}

func (s *server) checkBundle(c *gin.Context) error {
	allow, err := s.allowUnsigned(query(c, "allow_unsigned"))
	if err != nil {
		return err
	}
	body := http.MaxBytesReader(c.Writer, c.Request.Body, longestCheck)
	h, err := s.Bundles.Check(c.Request.Context(), body, allow)
	readOut(body, longestCheck)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, bundleOf(h))
}

// receiveBundle reads the body as it comes. Nothing changes before its last byte is verified.
func (s *server) receiveBundle(c *gin.Context) error {
	p := query(c, "allow_unsigned", "left_out")
	leftOut := p.number("left_out", 0, 0, math.MaxInt)
	allow, err := s.allowUnsigned(p)
	if err != nil {
		return err
	}
	h, err := s.Bundles.GoOn(c.Request.Context(), c.Request.Body, int64(leftOut), allow)
	if err != nil {
		readOut(c.Request.Body, longestRest)
		return err
	}
	return respond(c, http.StatusCreated, bundleOf(h))
}

func (s *server) removeBundle(c *gin.Context) error {
	if err := firstError(query(c).err, s.wantBundles); err != nil {
		return err
	}
	if err := s.Bundles.Remove(c.Param("name")); err != nil {
		return withNearest(err, c.Param("name"), func() []string {
			var names []string
			for _, h := range s.Bundles.List() {
				names = append(names, h.Contents.Name)
			}
			return names
		})
	}
	return noContent(c)
}

// makeBundle sends a model as a bundle; one that cannot be finished is broken off.
func (s *server) makeBundle(c *gin.Context) error {
	p := query(c, "image")
	if err := firstError(p.err, s.wantBundles); err != nil {
		return err
	}
	withImage, err := flagOf(p, "image", true)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	made, err := s.Bundles.Make(ctx, p.project(), c.Param("id"), withImage)
	if err != nil {
		return err
	}
	c.Header("Content-Length", strconv.FormatInt(made.Size(), 10))
	c.Header("Content-Disposition", fmt.Sprintf("attachment; filename=%q", made.Contents().Name+".bundle"))
	return made.Write(ctx, &archiveWriter{c: c, rc: http.NewResponseController(c.Writer)})
}
