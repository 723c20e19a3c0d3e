package daemon

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// A box that does not become a member of etcd is asked after the others for a while, and its owner is told why.
func TestInvitations(t *testing.T) {
	var i invitations
	nodes := []cluster.Seen{{Node: cluster.Node{Name: "box-2", Door: "10.0.0.2:8480"}}, {Node: cluster.Node{Name: "box-3", Door: "10.0.0.3:8480"}}}
	now := time.Now()
	i.ask("box-2", now)
	i.ask("box-2", now.Add(comesWithin))
	if i.tried("box-2", now.Add(comesWithin)) || len(i.words(nodes, now)) != 0 {
		t.Error("it is given up too early")
	}
	i.came([]member.Seat{{Name: "box-2", Learner: true}}) // it is written down, and has not started
	i.ask("box-2", now.Add(2*comesWithin))
	if i.tried("box-2", now.Add(2*comesWithin)) {
		t.Error("one that came is given up")
	}
	at := now.Add(4 * comesWithin)
	i.ask("box-2", at)
	if words := i.words(nodes, at); !i.tried("box-2", at) || i.tried("box-3", at) || len(words) != 1 {
		t.Errorf("one that does not come: %v", words)
	}
	if i.tried("box-2", at.Add(triedFor)) || len(i.words(nodes, at.Add(triedFor))) != 0 {
		t.Error("it is never forgiven")
	}
	i.ask("box-4", now)
	i.anew() // it leads again
	if i.ask("box-4", at); i.tried("box-4", at) {
		t.Error("it counts as one that did not come since it was asked the last time that this box led")
	}
	i.failed("box-3", "the port is taken", at)
	if words := i.words(nodes, at); len(words) != 2 {
		t.Errorf("%v", words)
	}
	i.came([]member.Seat{{Name: "box-3", Answers: true}})
	if i.tried("box-3", at) || len(i.words(nodes[:0], at)) != 0 {
		t.Error("what is over is told")
	}
}

// A member that has not started has no name: it is known by where others are to reach it. What a box that leaves has goes to others.
func TestWhoseSeats(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	s := &seat{began: began}
	nodes := []cluster.Seen{
		{Node: cluster.Node{Name: "box-1", Door: "10.0.0.1:8480"}, Alive: &cluster.Alive{Leaving: true}},
		{Node: cluster.Node{Name: "box-2", Door: "10.0.0.2:8480"}, Silent: began.Add(time.Minute)},
		{Node: cluster.Node{Name: "box-3", Door: "10.0.0.3:9000"}, Unheard: true},
	}
	st := member.Status{Members: []member.View{{Seat: member.Seat{Name: "box-1"}}, {Peer: "10.0.0.3:9002"}, {Peer: "10.0.0.2:9002"}}}
	seats := seatsOf(st, nodes)
	if seats[0].Name != "box-1" || seats[1].Name != "box-3" || seats[2].Name != "" {
		t.Errorf("%+v", seats)
	}
	boxes := s.boxesFor(nodes, began.Add(time.Hour))
	if len(boxes) != 2 || boxes[0] != (member.Box{Name: "box-2", Silent: 59 * time.Minute}) || boxes[1] != (member.Box{Name: "box-3", Silent: time.Hour}) {
		t.Errorf("%+v", boxes)
	}
}
