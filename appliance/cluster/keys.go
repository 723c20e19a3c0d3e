package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/sessions"
)

// Kinds of errors.
var (
	// ErrDeposed: somebody else leads, or nobody; what was to be decided was not. It is a sessions.ErrAskerGone: what it kept from
	// being done is no fault of the session, which the next leader goes on with.
	ErrDeposed error = deposed{}
	// ErrTaken: another has it already.
	ErrTaken = errors.New("taken already")
	// ErrNoNode: the cluster has no node of that name, or has removed it.
	ErrNoNode = errors.New("no such node in the cluster")
	// ErrLeaseLost: etcd has heard nothing of this process for as long as it was promised.
	ErrLeaseLost = errors.New("the cluster has heard nothing of this box for too long")
)

type deposed struct{}

func (deposed) Error() string { return "this box does not lead the cluster any more" }

func (deposed) Unwrap() error { return sessions.ErrAskerGone }

// Agreement is what the boxes of one cluster agree on.
type Agreement struct {
	client *clientv3.Client
	prefix string // ends with a slash

	pace    pace
	stay    stay
	streams atomic.Int64        // number of the stream that new watches are on
	asking  sync.Mutex          // holds the next three
	asked   map[int64]time.Time // by stream: when it was asked last whether watches are there
	hears   int64               // the newest stream of which something was heard
	heard   time.Time           // when something was last

	election sync.Mutex
	listens  listener           // to who leads: what was heard while this box stood before counts
	left     []clientv3.LeaseID // of elections in which this box stands no more, and which etcd may still keep
}

// New returns the agreement below a prefix of etcd's keys, /palisade/1/ where it is empty. The client remains the caller's.
func New(client *clientv3.Client, prefix string) *Agreement {
	if prefix == "" {
		prefix = "/palisade/1/"
	}
	return &Agreement{client: client, prefix: strings.TrimSuffix(prefix, "/") + "/"}
}

// The parts of the prefix; what follows is a node's name, and a session's id where there is one.
const (
	partNodes     = "nodes/"     // Node: the leader's to write
	partAlive     = "alive/"     // Alive: the node's, with its lease
	partInventory = "inventory/" // Inventory: the node's
	partLeader    = "leader/"    // etcd's election
	partBeat      = "beat"       // a number: that who leads still does. Its own, and of who takes its place
	partPlaced    = "placed/"    // by session: which node has it. The leader puts it, the node that let it go takes it away
	partWanted    = "wanted/"    // Wanted: the leader's
	partReport    = "report/"    // Report: the node's
	partTables    = "routes/"    // by service: who answers. The leader's
	partNudges    = "nudge/"     // by what has changed in the database: a number of the leader's
	partEra       = "era"        // a number: see Term
	partTogether  = "together/"  // by session of several containers, files and run: Together. The leader's
	partShared    = "shared/"    // what all boxes have to know, sealed
)

func (a *Agreement) key(part string, names ...string) string {
	return a.prefix + part + strings.Join(names, "/")
}

// nodeAndSession are the names in a key below partWanted or partReport.
func nodeAndSession(key string) (node, session string, ok bool) {
	node, session, ok = strings.Cut(key, "/")
	return node, session, ok && node != "" && session != ""
}

func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("writing to the cluster: %w", err)
	}
	return string(text), nil
}
