package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/spelling"
	"github.com/palisade-run/palisade/sessions"
)

// Images are what containers are made of. *containerd.Runtime is one.
type Images interface {
	Images(ctx context.Context) ([]sessions.Image, error)
	// Refresh pulls an image though one of that name may be here.
	Refresh(ctx context.Context, ref string, progress func(sessions.Progress)) (sessions.Image, error)
	Import(ctx context.Context, archive io.Reader) ([]sessions.Image, error)
	// Export writes nothing before it is sure that there is something to write.
	Export(ctx context.Context, ref string, w io.Writer) error
	RemoveImage(ctx context.Context, ref string) error
	// Prune removes what used does not claim and is older than olderThan.
	Prune(ctx context.Context, used func(name string) bool, olderThan time.Duration, now time.Time) ([]sessions.Image, error)
}

// wantImages refuses where the runtime keeps none.
func (s *server) wantImages() error {
	if s.Images != nil {
		return nil
	}
	return &hinted{
		fmt.Errorf("this appliance runs plain processes of its box, which need no images: %w", sessions.ErrNotSupported),
		"start it with --runtime containerd to run container images",
	}
}

// maxImageUsers are told of those that need an image; more are counted.
const maxImageUsers = 20

func image(img sessions.Image, users map[string][]string) api.Image {
	out := api.Image{
		Name: img.Name, Digest: img.Digest, Size: img.Size, CreatedAt: img.CreatedAt.UTC(), Platforms: img.Platforms, UsedBy: clipped(users[img.Name], maxImageUsers),
	}
	if out.Platforms == nil {
		out.Platforms = []string{}
	}
	if out.UsedBy == nil {
		out.UsedBy = []string{}
	}
	return out
}

func images(all []sessions.Image, users map[string][]string) []api.Image {
	out := []api.Image{}
	for _, img := range all {
		out = append(out, image(img, users))
	}
	return out
}

// fullName is how an image is kept: busybox is docker.io/library/busybox:latest. What is no image's name stays.
func fullName(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

// imageUsers says, for each image by its full name, who needs it: sessions that live, and services with the revisions
// that they run or would go back to. Projects do not matter: images are the box's.
func (s *server) imageUsers(ctx context.Context) (map[string][]string, error) {
	return s.imageUsersAs(ctx, func(string) bool { return true })
}

// imageUsersSeen is imageUsers without the names of what is in projects that who asks has no part in.
func (s *server) imageUsersSeen(ctx context.Context) (map[string][]string, error) {
	a := actorOf(ctx)
	return s.imageUsersAs(ctx, func(project string) bool { return s.rights.Sees(a, project) })
}

func (s *server) imageUsersAs(ctx context.Context, sees func(project string) bool) (map[string][]string, error) {
	users, names, there := map[string][]string{}, map[string]string{}, map[[2]string]bool{}
	add := func(ref, project, who string) {
		if !sees(project) {
			who = anotherProject
		}
		name, known := names[ref] // thousands have one image
		if !known {
			name = fullName(ref)
			names[ref] = name
		}
		if one := [2]string{name, who}; !there[one] {
			there[one] = true
			users[name] = append(users[name], who)
		}
	}
	for _, v := range s.Services.Services("") {
		add(v.Recipe.Image, v.Project, "service "+v.Name)
		if v.GoodRevision == 0 || v.GoodRevision == v.Revision {
			continue
		}
		revisions, err := s.Revisions.Revisions(ctx, v.Project, v.ID)
		if err != nil {
			return nil, err
		}
		for _, r := range revisions {
			if r.Number == v.GoodRevision {
				add(r.Recipe.Image, v.Project, fmt.Sprintf("service %s (revision %d)", v.Name, r.Number))
			}
		}
	}
	s.Sessions.EachSession("", sessions.SessionFilter{Live: true}, func(v *sessions.Session) { add(v.Image, v.Project, "session "+v.ID) })
	for _, all := range users {
		slices.Sort(all) // services first
	}
	return users, nil
}

func (s *server) listImages(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if err := firstError(p.err, s.wantImages); err != nil {
		return err
	}
	ctx := c.Request.Context()
	all, err := s.Images.Images(ctx)
	if err != nil {
		return err
	}
	users, err := s.imageUsersSeen(ctx)
	if err != nil {
		return err
	}
	return respondPage(c, p, images(all, users), func(i api.Image) string { return i.Name })
}

// pullImage sends a PullProgress a line, so that no one in between takes it for dead.
func (s *server) pullImage(c *gin.Context) error {
	var in api.ImagePull
	if err := firstError(query(c).err, func() error { return firstError(s.wantImages(), func() error { return decode(c, &in) }) }); err != nil {
		return err
	}
	if in.Image == "" {
		return badField("image", "as in docker.io/vllm/vllm-openai:latest", "is needed")
	}
	if err := s.imageFrom(c.Request.Context(), in.Image); err != nil {
		return err
	}
	return s.tellImage(c, func(ctx context.Context, tell func(sessions.Progress)) (sessions.Image, error) {
		return s.Images.Refresh(ctx, in.Image, tell)
	})
}

// tellImage answers with a PullProgress a line while come brings an image, at least one in pingEvery.
func (s *server) tellImage(c *gin.Context, come func(context.Context, func(sessions.Progress)) (sessions.Image, error)) error {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	news, done := make(chan sessions.Progress), make(chan struct{})
	var got sessions.Image
	var failed error
	go func() {
		defer close(done)
		got, failed = come(ctx, func(p sessions.Progress) {
			select {
			case news <- p:
			case <-ctx.Done():
			}
		})
	}()
	// However this ends, the pull has ended before.
	defer func() { cancel(); <-done }()
	send := newLines(c)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var last api.PullProgress
	for {
		select {
		case p := <-news:
			last = api.PullProgress{Done: p.Done, Total: p.Total, Message: p.Message}
		case <-ping.C:
		case <-done:
			if failed != nil && !send.begun {
				return oneMistake{failed}
			}
			return send.write(s.pullEnd(ctx, last, got, failed))
		}
		if err := send.write(last); err != nil {
			return err
		}
	}
}

// pullEnd is the last line of a pull.
func (s *server) pullEnd(ctx context.Context, last api.PullProgress, got sessions.Image, failed error) api.PullProgress {
	if failed != nil {
		last.Problem = problemOf(ctx, oneMistake{failed})
		last.Problem.RequestID = requestIDOf(ctx)
		if last.Problem.Status >= 500 {
			s.Log.ErrorContext(ctx, "an image did not come to be", "request_id", requestIDOf(ctx), "error", failed)
		}
		return last
	}
	users, err := s.imageUsers(ctx)
	if err != nil {
		s.Log.WarnContext(ctx, "who uses the image is not known", "error", err)
	}
	last.Image = new(image(got, users))
	return last
}

// oneMistake is an error whose lines are one: what a registry answers may have several, and there is one thing to do.
type oneMistake struct{ error }

func (e oneMistake) Unwrap() error { return e.error }
func (e oneMistake) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }

// lines sends JSON values, one a line, each at once.
type lines struct {
	c     *gin.Context
	rc    *http.ResponseController
	begun bool
}

func newLines(c *gin.Context) *lines { return &lines{c: c, rc: http.NewResponseController(c.Writer)} }

func (l *lines) write(v any) error {
	if !l.begun {
		l.begun = true
		l.c.Header("Content-Type", "application/x-ndjson")
		l.c.Header("X-Accel-Buffering", "no")
		l.c.Writer.WriteHeader(http.StatusOK)
	}
	_ = l.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := json.NewEncoder(l.c.Writer).Encode(v); err != nil {
		return err
	}
	return l.rc.Flush()
}

// importImages reads the body as an archive, as it comes.
func (s *server) importImages(c *gin.Context) error {
	if err := firstError(query(c).err, s.wantImages); err != nil {
		return err
	}
	ctx := c.Request.Context()
	got, err := s.Images.Import(ctx, c.Request.Body)
	if err != nil {
		return err
	}
	users, err := s.imageUsers(ctx)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.Page[api.Image]{Items: images(got, users)})
}

// wantRef is the image that a request must name.
func (s *server) wantRef(p *params) (string, error) {
	if err := firstError(p.err, s.wantImages); err != nil {
		return "", err
	}
	if p.text("ref") == "" {
		return "", badField("?ref", "as in ?ref=busybox:latest", "is needed")
	}
	return p.text("ref"), nil
}

// exportImage sends an archive; one that cannot be finished is broken off.
func (s *server) exportImage(c *gin.Context) error {
	ref, err := s.wantRef(query(c, "ref"))
	if err != nil {
		return err
	}
	return s.nearImage(c.Request.Context(), ref, s.Images.Export(c.Request.Context(), ref, &archiveWriter{c: c, rc: http.NewResponseController(c.Writer)}))
}

// archiveWriter begins the answer with the first byte: until then a problem can be told.
type archiveWriter struct {
	c     *gin.Context
	rc    *http.ResponseController
	kind  string // its type; "" is a tar
	begun bool
}

func (w *archiveWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.c.Header("Content-Type", cmp.Or(w.kind, "application/x-tar"))
		if w.c.Writer.Header().Get("Content-Disposition") == "" {
			w.c.Header("Content-Disposition", "attachment")
		}
		w.c.Writer.WriteHeader(http.StatusOK)
	}
	_ = w.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return w.c.Writer.Write(p)
}

// nearImage adds which image may have been meant: one with another tag, or with a name that is nearly the same.
func (s *server) nearImage(ctx context.Context, ref string, err error) error {
	if !errors.Is(err, sessions.ErrNoImage) {
		return err
	}
	all, listErr := s.Images.Images(ctx)
	if listErr != nil {
		return err // it says enough
	}
	var names, tags []string
	repository, _, _ := cutTag(shortName(ref))
	for _, img := range all {
		name := shortName(img.Name)
		if of, _, ok := cutTag(name); ok && of == repository {
			tags = append(tags, name)
		}
		names = append(names, name)
	}
	switch near := spelling.Nearest(shortName(ref), names); {
	case near != "":
		return &hinted{err, "did you mean \"" + near + "\"?"}
	case len(tags) > 0:
		return &hinted{err, "there is " + strings.Join(clipped(tags, 8), ", ")}
	}
	return &hinted{err, "those that there are: palisade image list"}
}

// cutTag splits name:tag; a port is no tag.
func cutTag(name string) (repository, tag string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// shortName is how people write an image's name: busybox:latest. What all names begin with says nothing of how near two
// are.
func shortName(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

func (s *server) removeImage(c *gin.Context) error {
	ref, err := s.wantRef(query(c, "ref"))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	users, err := s.imageUsers(ctx)
	if err != nil {
		return err
	}
	if who := users[fullName(ref)]; len(who) > 0 {
		p := api.NewProblem(api.KindInUse, http.StatusConflict, "image %s is used by %s", ref, strings.Join(who, ", "))
		p.Hint = "end what uses it first, or give it another image: palisade service update NAME --image IMAGE"
		return p
	}
	if err := s.Images.RemoveImage(ctx, ref); err != nil {
		return s.nearImage(ctx, ref, err)
	}
	return noContent(c)
}

func (s *server) pruneImages(c *gin.Context) error {
	var in api.ImagePrune
	if err := firstError(query(c).err, func() error { return firstError(s.wantImages(), func() error { return decode(c, &in) }) }); err != nil {
		return err
	}
	if math.IsNaN(in.OlderThan) || in.OlderThan < 0 || in.OlderThan > maxSeconds {
		return badField("older_than", "", "%v: must be a number of seconds, 0 or more", in.OlderThan)
	}
	ctx := c.Request.Context()
	users, err := s.imageUsers(ctx)
	if err != nil {
		return err
	}
	used := func(name string) bool { return len(users[name]) > 0 }
	removed, err := s.Images.Prune(ctx, used, time.Duration(in.OlderThan*float64(time.Second)), s.Now())
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.ImagesPruned{Removed: images(removed, nil)})
}
