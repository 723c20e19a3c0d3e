package admintest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/sessions"
)

// Images keeps images without content. A pull follows a script that a word in the image's name chooses:
//
//	missing   its registry does not have it
//	denied    its registry wants a log-in
//	foreign   it is for another processor
//	huge      the disk is full in the middle
//	secret    it fails for reasons of the box
//	other     two layers, then it is there
//
// An archive is the image's name; "junk" is none, and "half" ends too early.
type Images struct {
	mu   sync.Mutex
	kept []sessions.Image
}

// failure is an error with a hint.
type failure struct {
	error
	hint string
}

func (f *failure) Unwrap() error { return f.error }

// Hint says what to do.
func (f *failure) Hint() string { return f.hint }

// Images implements admin.Images.
func (m *Images) Images(context.Context) ([]sessions.Image, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]sessions.Image{}, m.kept...), nil
}

func named(ref string) (string, error) {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", &failure{fmt.Errorf("image %q: %w: %w", ref, sessions.ErrInvalid, err), "an image is named [HOST/]PATH[:TAG]"}
	}
	return reference.TagNameOnly(n).String(), nil
}

// Refresh implements admin.Images.
func (m *Images) Refresh(ctx context.Context, ref string, progress func(sessions.Progress)) (sessions.Image, error) {
	name, err := named(ref)
	if err != nil {
		return sessions.Image{}, err
	}
	host, _, _ := strings.Cut(name, "/")
	progress(sessions.Progress{Message: "asking " + host})
	progress(sessions.Progress{Done: 1 << 20, Total: 4 << 20, Message: "layer 1 of 2"})
	switch {
	case strings.Contains(name, "missing"):
		err = &failure{fmt.Errorf("%w: %s knows nothing of that name and tag", sessions.ErrNoImage, host), "check the name and the tag"}
	case strings.Contains(name, "denied"):
		err = &failure{fmt.Errorf("%w: %s has nothing of that name without a log-in", sessions.ErrImageDenied, host), "palisade registry login " + host}
	case strings.Contains(name, "foreign"):
		err = fmt.Errorf("%w: it is there for linux/s390x, and this box is linux/amd64", sessions.ErrImagePlatform)
	case strings.Contains(name, "huge"):
		err = fmt.Errorf("the disk on which containerd keeps images is full: %w", syscall.ENOSPC)
	case strings.Contains(name, "secret"):
		err = errors.New("secret detail of the box")
	}
	if err != nil {
		return sessions.Image{}, fmt.Errorf("pulling %s: %w", ref, err)
	}
	progress(sessions.Progress{Done: 4 << 20, Total: 4 << 20, Message: "unpacking"})
	if ctx.Err() != nil {
		return sessions.Image{}, context.Cause(ctx)
	}
	return m.keep(name), nil
}

func (m *Images) keep(name string) sessions.Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := sha256.Sum256([]byte(name))
	img := sessions.Image{
		Name: name, Digest: fmt.Sprintf("sha256:%x", sum), Size: 4 << 20, CreatedAt: time.Now().UTC(), Platforms: []string{"linux/amd64"},
	}
	for i := range m.kept {
		if m.kept[i].Name == name {
			m.kept[i] = img
			return img
		}
	}
	m.kept = append(m.kept, img)
	return img
}

// Import implements admin.Images.
func (m *Images) Import(_ context.Context, archive io.Reader) ([]sessions.Image, error) {
	raw, err := io.ReadAll(archive)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(raw))
	name, err := named(text)
	if err != nil || text == "junk" || text == "half" {
		return nil, &failure{fmt.Errorf("importing images: it cannot be read as an archive of images: %w", sessions.ErrInvalid), "docker save makes one"}
	}
	return []sessions.Image{m.keep(name)}, nil
}

// Export implements admin.Images.
func (m *Images) Export(_ context.Context, ref string, w io.Writer) error {
	name, err := m.find(ref)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, name+"\n"); err != nil {
		return err
	}
	if strings.Contains(name, "half") {
		return errors.New("containerd went away")
	}
	return nil
}

func (m *Images) find(ref string) (string, error) {
	name, err := named(ref)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, img := range m.kept {
		if img.Name == name {
			return name, nil
		}
	}
	return "", fmt.Errorf("image %s: %w here", ref, sessions.ErrNoImage)
}

// RemoveImage implements admin.Images.
func (m *Images) RemoveImage(_ context.Context, ref string) error {
	name, err := m.find(ref)
	if err == nil {
		m.drop(func(img sessions.Image) bool { return img.Name == name })
	}
	return err
}

// Prune implements admin.Images.
func (m *Images) Prune(_ context.Context, used func(name string) bool, olderThan time.Duration, now time.Time) ([]sessions.Image, error) {
	return m.drop(func(img sessions.Image) bool { return !used(img.Name) && now.Sub(img.CreatedAt) >= olderThan }), nil
}

func (m *Images) drop(which func(sessions.Image) bool) []sessions.Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	var gone, kept []sessions.Image
	for _, img := range m.kept {
		if which(img) {
			gone = append(gone, img)
		} else {
			kept = append(kept, img)
		}
	}
	m.kept = kept
	return gone
}
