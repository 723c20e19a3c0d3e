package door

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/sessions"
)

// Rooms are what a box's door leads to. What is nil, or not there yet, answers 503.
type Rooms struct {
	Node    *trust.Node
	Version string // of this program, as it is said to who joins
	// Desk lets boxes in; nil until etcd can be asked.
	Desk func() *trust.Desk
	// Box is this box's own sessions.
	Box Box
	// Images are those that this box keeps; nil: it keeps none.
	Images sessions.Images
	// Reach says at which IP a port of a session that runs here answers. An error, of which kind ever, where the session does not
	// run here, or where the port is none of its own: one that shares the box's network has those alone that it declared. What is
	// reached is what Reach names, and nothing that the caller does.
	Reach func(ctx context.Context, session string, port int) (host string, err error)
	// Front is the API, console and apps of who leads. Where this box does not, it answers 503 with LeaderHeader.
	Front http.Handler
	// Local marks a request's context as that of a user of another box who came over that one's unix socket.
	Local func(ctx context.Context, user string) context.Context
	// Hear takes what another box tells who leads.
	Hear func(peer string, l Load) error
	// Seat makes this box a member of etcd, or has it stop to be one. It returns when that is under way.
	Seat func(ctx context.Context, from string, r SeatRequest) error
	// Way is what a box that was let in has to know.
	Way func(ctx context.Context) (Way, error)
	// Goods answers below /goods/, for nodes alone.
	Goods http.Handler
}

// Box is what is asked of the sessions of one box, here and far away.
type Box interface {
	sessions.Observer
	sessions.Dialer
	sessions.Committer
	sessions.ImageChecker
	sessions.ClusterChecker
	Pull(ctx context.Context, image string, progress func(sessions.Progress)) error
}

// Load is what a box carries, as it tells who leads.
type Load struct {
	Revision int64          `json:"revision"`         // of the tables that it routes by
	Flying   map[string]int `json:"flying,omitempty"` // requests that it has under way, by route
	Held     map[string]int `json:"held,omitempty"`   // requests that wait for a route, by service
	// Figures are what an autoscaler reads, in the words of who reads them.
	Figures json.RawMessage `json:"figures,omitempty"`
}

// SeatRequest asks a box to be a member of etcd.
type SeatRequest struct {
	Term      cluster.Term `json:"term"` // of the leader who asks
	Why       string       `json:"why"`
	Endpoints []string     `json:"endpoints"` // of the members that there are
}

// LeaderHeader is in an answer that this box does not lead: the name of who does, as far as it knows.
const LeaderHeader = "Palisade-Leader"

// Kinds of errors of this room.
var (
	// ErrAway: the other box cannot be reached, or does not answer.
	ErrAway = errors.New("it cannot be reached")
	// ErrNotPeer: the other side does not take this box for a node of its cluster.
	ErrNotPeer = errors.New("this box is no node of that cluster any more")
	// ErrNotReady: the other box has nothing behind its door yet.
	ErrNotReady = errors.New("it is not ready")
	// ErrAddress: what was given as the address of a door is none.
	ErrAddress = errors.New("no address of a box")
)

// Error is an error of a door that says what to do about it.
type Error struct {
	err  error
	hint string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// The paths, and what their requests are told apart by. A later version of what is said here has another number.
const (
	pathPrefix   = "/door/1/"
	pathPing     = pathPrefix + "ping"
	pathJoin     = pathPrefix + "join"
	pathLoad     = pathPrefix + "load"
	pathSeat     = pathPrefix + "seat"
	pathSessions = pathPrefix + "sessions/"
	pathCheck    = pathPrefix + "check"
	pathPull     = pathPrefix + "pull"
	pathImages   = pathPrefix + "images"
	pathGoods    = "/goods/"

	frontHeader = "Palisade-Front"      // a request for Front: the client's address
	localHeader = "Palisade-Front-User" // the user of the other box's socket
	tlsHeader   = "Palisade-Front-Tls"  // 1: the client came by TLS
)

// Bounds.
const (
	headerPatience = 10 * time.Second // for a handshake, and for the header of a request
	keptIdle       = 2 * time.Minute  // a connection without a request
	longestHeader  = 64 << 10         // bytes
	longestBody    = 4 << 20          // bytes of what is read whole
	mostStrangers  = 1024             // connections of whom nobody knows yet who they are
	mostOfAddress  = 256              // of them from one address: several boxes may have one
	keptForNodes   = 256              // more of them from addresses from which nodes have come
	lookAgain      = 2 * time.Second  // at whether a box that has something open is still a node
)

// Upgrades to what is not HTTP.
const (
	upgradeTunnel = "palisade-tunnel/1"
	upgradeExec   = "palisade-exec/1"
)
