package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/bundle"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/catalog/signature"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
)

// openGoods opens the files of models of this box, and what it has of folders of others. They stay open from life to life.
func (s *seat) openGoods() (err error) {
	rate, err := s.Config.Cluster.Rate()
	if err != nil {
		return err
	}
	log := s.Log.With("room", "goods")
	if s.blobs, err = blobs.Open(filepath.Join(s.Config.Data, "blobs"), log); err != nil {
		return err
	}
	d := goods.Deps{
		Self: s.name(), Dir: filepath.Join(s.Config.Data, "goods"), Blobs: s.blobs, Folders: s.folder, Boxes: s.otherBoxes,
		Transport: s.doors.Transport, Rate: rate, Keep: reserve, Log: log,
	}
	if s.runtime.containerd != nil {
		d.Registry = s.runtime.containerd.Registry()
	}
	s.goods, err = goods.New(d)
	return err
}

// homes tells whether folders have homes: where all boxes have the same disk for them they have none.
func (s *seat) homes() bool { return s != nil && !s.Config.Cluster.SharedFolders }

// folder is a folder's row, here or elsewhere, as this life reads it.
func (s *seat) folder(ctx context.Context, id string) (folders.Folder, error) {
	d := s.life.Load()
	if d == nil || d.folders == nil {
		return folders.Folder{}, errors.New("this box is between two parts in its cluster, and cannot look up folders just now")
	}
	return d.folders.Record(ctx, id)
}

// otherBoxes are those that are heard of.
func (s *seat) otherBoxes() (out []goods.Box) {
	for _, n := range s.roster.Nodes() {
		if n.Alive == nil || n.Name == s.name() {
			continue
		}
		b := goods.Box{Name: n.Name}
		if n.Inventory != nil {
			b.Has = n.Inventory.Folders
		}
		out = append(out, b)
	}
	return out
}

// near is a folder where this box has it, brought where it has its home on another one.
func (s *seat) near(ctx context.Context, f folders.Folder) (folders.Folder, error) {
	if f.Home == "" || f.Home == s.name() {
		return f, nil
	}
	dir, err := s.goods.Folder(ctx, goods.Want{ID: f.ID, Name: f.Name, Home: f.Home, Sealed: f.Sealed}, nil)
	f.Path = dir
	return f, err
}

// mirrors are the boxes that have an image.
func (s *seat) mirrors(ctx context.Context, image string) (out []containerd.Mirror) {
	if s.goods == nil {
		return nil
	}
	for _, from := range s.goods.Images(ctx, image) {
		out = append(out, containerd.Mirror{Host: from.Box, Path: from.Path, Client: &http.Client{Transport: from.Transport}})
	}
	return out
}

const (
	sweepGoodsEvery = 10 * time.Minute
	keepGoods       = 24 * time.Hour // what came and nobody has taken up yet
)

// tendGoods removes what came from other boxes and nobody needs any more.
func (s *seat) tendGoods(ctx context.Context) {
	tick := time.NewTicker(sweepGoodsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.sweepGoods(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("what came from other boxes was not swept; it is tried again", "error", err)
		}
	}
}

func (s *seat) sweepGoods(ctx context.Context) error {
	d := s.life.Load()
	if d == nil {
		return nil
	}
	all, err := s.runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("finding what runs here: %w", err)
	}
	lives := func(id string) bool {
		return slices.ContainsFunc(all, func(in sessions.Instance) bool { return in.ID == id })
	}
	if err := s.goods.Sweep(ctx, lives); err != nil || !d.follows() {
		return err // who leads sweeps files beside: its installs know what they need
	}
	shelf, _, err := bundle.OpenShelf(filepath.Join(s.Config.Data, "bundles"), bundle.Around{
		Blobs: s.blobs, Now: time.Now, Keys: func(context.Context) ([]signature.Key, error) { return nil, nil },
	})
	if err != nil {
		return err
	}
	_, err = s.blobs.Sweep(ctx, shelf.Uses, time.Now().Add(-keepGoods))
	return err
}

// bring brings the folders that a session needs to the box where it is to run.
func (f *fleetRunner) bring(ctx context.Context, s sessions.Session, progress func(sessions.Progress)) error {
	node := s.Claim.Node
	if !slices.ContainsFunc(s.Mounts, func(m sessions.Mount) bool { return m.Folder.Home != "" && m.Folder.Home != node }) {
		return nil
	}
	if node == f.seat.name() {
		return f.seat.goods.Bring(ctx, s.Mounts, progress)
	}
	return f.seat.goods.BringTo(ctx, node, s.Mounts, progress)
}

// glimpse is what is to be known of a folder of another box.
func (d *daemon) glimpse() func(ctx context.Context, f folders.Folder) (string, error) {
	if d.seat == nil {
		return nil
	}
	return d.seat.goods.Glimpse
}
