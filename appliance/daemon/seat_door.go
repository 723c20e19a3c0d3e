package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
)

// openDoor opens the port for other boxes.
func (s *seat) openDoor(ctx context.Context) (err error) {
	rooms := door.Rooms{
		Node: s.node, Version: s.Version.Version, Desk: func() *trust.Desk { return s.desk }, Box: s.runtime.runner,
		Reach: s.reachSession, Front: http.HandlerFunc(s.answerForOthers), Local: admin.OtherPeer, Hear: s.hear, Seat: s.takeSeat, Way: s.way, Goods: s.goods.Handler(),
	}
	if s.runtime.containerd != nil {
		rooms.Images = s.runtime.containerd
	}
	s.door = door.NewServer(rooms, s.log.With("of", "door"))
	if s.doorway, err = listenDoor(ctx, s.Config); err != nil {
		return err
	}
	go func() { // until the door is shut, which may be after the seat is left
		if err := s.door.Serve(s.doorway); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Error("other boxes cannot come in any more", "error", err)
		}
	}()
	return nil
}

func listenDoor(ctx context.Context, c config.Config) (net.Listener, error) {
	l, err := listenTCP(ctx, c.Cluster.Listen)
	if err != nil {
		return nil, hinted{fmt.Errorf("opening the port for other boxes (cluster.listen): %w", err), "choose another one with cluster.listen in the settings, and tell the others by cluster.advertise"}
	}
	return l, nil
}

// doorOpens tells whether the port for other boxes can be opened, before others are told of it.
func doorOpens(ctx context.Context, c config.Config) error {
	l, err := listenDoor(ctx, c)
	if err != nil {
		return err
	}
	return l.Close()
}

// portsOpen tells whether all ports can be opened that a box of a cluster needs: that for other boxes, and those that its part of etcd
// will have, where the boxes keep one among themselves.
func portsOpen(ctx context.Context, c config.Config) error {
	if err := doorOpens(ctx, c); err != nil || len(c.Cluster.Etcd) > 0 {
		return err
	}
	return etcdOpens(ctx, c)
}

func etcdOpens(ctx context.Context, c config.Config) error {
	for _, port := range []struct {
		above int
		of    string
	}{{etcdClients, "etcd, for boxes"}, {etcdPeers, "etcd, for its members"}} {
		at, err := beside(c.Cluster.Listen, port.above)
		if err != nil {
			return err
		}
		l, err := listenTCP(ctx, at)
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			return hinted{
				fmt.Errorf("opening the port of %s, %d above cluster.listen: %w", port.of, port.above, err),
				"etcd takes the two ports above cluster.listen: choose one in the settings that has both free, then palisade restart",
			}
		}
	}
	return nil
}

// way is what a box that was let in has to know.
func (s *seat) way(context.Context) (door.Way, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return door.Way{Cluster: s.kept.Cluster, Etcd: slices.Clone(s.kept.Etcd)}, nil
}

var _ door.Box = runner(nil)

var (
	_ sessions.Fetcher = (*fleetRunner)(nil)
	_ sessions.Resumer = (*fleetRunner)(nil)
)
