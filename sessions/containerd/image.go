package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/sessions"
)

// hostImage is the word for plain processes of the box, which is no image.
const hostImage = "host"

// imageName reads an image's name as docker does: busybox is docker.io/library/busybox:latest.
func imageName(image string) (reference.Named, error) {
	if image == hostImage {
		return nil, &Error{
			Err:  fmt.Errorf("image %q stands for plain processes of the box, which containerd does not run: %w", image, sessions.ErrInvalid),
			What: "name a container image, as in ghcr.io/ggml-org/llama.cpp:server, or start palisade with --runtime process",
		}
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, &Error{
			Err:  fmt.Errorf("image %q: %w: %w", image, sessions.ErrInvalid, err),
			What: "an image is named [HOST[:PORT]/]PATH[:TAG][@DIGEST], in small letters, as in docker.io/vllm/vllm-openai:latest",
		}
	}
	return reference.TagNameOnly(named), nil
}

// CheckImage implements sessions.ImageChecker: it refuses what no registry can have.
func (r *Runtime) CheckImage(image string) error {
	_, err := imageName(image)
	return err
}

// image returns what is here under a name, ready to be started. ErrNoImage where there is none.
func (r *Runtime) image(ctx context.Context, ref string) (client.Image, error) {
	named, err := imageName(ref)
	if err != nil {
		return nil, err
	}
	img, err := r.client.ImageService().Get(r.in(ctx), named.String())
	if err != nil {
		return nil, noImage(named, err)
	}
	return client.NewImageWithPlatform(r.client, img, platforms.Default()), nil
}

// noImage makes an error of the image service one that people understand.
func noImage(named reference.Named, err error) error {
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking for image %s: %w", named, down(err))
	}
	return &Error{
		Err:  fmt.Errorf("image %s: %w here", reference.FamiliarString(named), sessions.ErrNoImage),
		What: "palisade image list shows what is here; palisade image pull brings another",
	}
}

// Images implements sessions.Images.
func (r *Runtime) Images(ctx context.Context) ([]sessions.Image, error) {
	ctx = r.in(ctx)
	all, err := r.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", down(err))
	}
	out := make([]sessions.Image, 0, len(all))
	for _, img := range all {
		out = append(out, r.describe(ctx, img))
	}
	slices.SortFunc(out, func(a, b sessions.Image) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// describe says what is known of an image. Of one whose content is gone that is its name and digest.
func (r *Runtime) describe(ctx context.Context, img images.Image) sessions.Image {
	out := sessions.Image{
		Name: img.Name, Digest: img.Target.Digest.String(), CreatedAt: img.UpdatedAt, Labels: img.Labels, Platforms: []string{},
	}
	store := r.client.ContentStore()
	manifest, err := images.Manifest(ctx, store, img.Target, platforms.Default())
	if err != nil {
		return out
	}
	for _, layer := range manifest.Layers {
		out.Size += layer.Size
	}
	have, err := availablePlatforms(ctx, store, img.Target, true)
	if err == nil {
		out.Platforms = have
	}
	return out
}

// availablePlatforms lists what an image, or index of images, is for. With here, only what has been fetched counts.
func availablePlatforms(ctx context.Context, store content.Provider, target ocispec.Descriptor, here bool) ([]string, error) {
	out := []string{}
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		switch {
		case images.IsIndexType(d.MediaType):
			children, err := images.Children(ctx, store, d)
			if here && errdefs.IsNotFound(err) {
				return nil, nil
			}
			return children, err
		case !images.IsManifestType(d.MediaType):
			return nil, nil
		}
		if d.Platform != nil && !here {
			out = append(out, platforms.Format(platforms.Normalize(*d.Platform)))
			return nil, nil
		}
		children, err := images.Children(ctx, store, d)
		if err != nil {
			if here && errdefs.IsNotFound(err) {
				return nil, nil
			}
			return nil, err
		}
		for _, c := range children {
			if images.IsConfigType(c.MediaType) {
				p, err := images.ConfigPlatform(ctx, store, c)
				if err == nil {
					out = append(out, platforms.Format(platforms.Normalize(p)))
				}
			}
		}
		return nil, nil
	}), target)
	// What signs or attests an image is listed beside it, for the platform "unknown".
	out = slices.DeleteFunc(out, func(p string) bool { return p == "" || p == "unknown" || p == "unknown/unknown" })
	slices.Sort(out)
	return slices.Compact(out), err
}

// RemoveImage implements sessions.Images. Containers that were made of it keep what they need.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	named, err := imageName(ref)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, askFor, errors.New("it is being pulled, or something is being started of it"))
	defer cancel()
	done, err := r.uses.remove(waiting, named.String())
	if err != nil {
		return &Error{fmt.Errorf("removing image %s: %w", reference.FamiliarString(named), err), "try again once that is done"}
	}
	defer done()
	// Synchronous: when it returns, containerd's collector has run and the space is free.
	if err := r.client.ImageService().Delete(r.in(ctx), named.String(), images.SynchronousDelete()); err != nil {
		return noImage(named, err)
	}
	r.log.Info("image removed", "image", named.String())
	return nil
}

// Prune removes images that nobody has pulled or imported since olderThan before now and that used, which is asked for
// each by its full name, does not claim; nor those that something is just being started of, or was asked to be pulled
// for: since used was made up, that may have come. It returns what it has removed; containerd's collector frees the space.
func (r *Runtime) Prune(ctx context.Context, used func(name string) bool, olderThan time.Duration, now time.Time) ([]sessions.Image, error) {
	all, err := r.Images(ctx)
	if err != nil {
		return nil, err
	}
	removed := []sessions.Image{}
	var errs []error
	for _, img := range prunable(all, used, olderThan, now) {
		done, unused := r.uses.removeUnused(img.Name, now)
		if !unused {
			continue
		}
		err := r.client.ImageService().Delete(r.in(ctx), img.Name)
		done()
		switch {
		case errdefs.IsNotFound(err):
		case err != nil:
			errs = append(errs, fmt.Errorf("removing image %s: %w", img.Name, down(err)))
		default:
			removed = append(removed, img)
			r.log.Info("image removed: nothing uses it", "image", img.Name, "since", img.CreatedAt)
		}
	}
	if len(removed) > 0 {
		errs = append(errs, r.collect(ctx))
	}
	return removed, errors.Join(errs...)
}

// prunable is Prune's decision.
func prunable(all []sessions.Image, used func(name string) bool, olderThan time.Duration, now time.Time) []sessions.Image {
	return slices.DeleteFunc(slices.Clone(all), func(img sessions.Image) bool {
		return now.Sub(img.CreatedAt) < olderThan || used(img.Name)
	})
}
