package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/appliance/cluster/member"
	"github.com/palisade-run/palisade/appliance/cluster/relay"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// seat is this box's place in a cluster, for as long as this process has it: what outlives the lives of the daemon. It runs the
// box's own sessions, tells the others that it lives, follows what was agreed on, and stands for election.
type seat struct {
	Options
	log  *slog.Logger
	dir  string
	node *trust.Node

	client    *clientv3.Client
	agreement *cluster.Agreement
	members   *member.Members
	desk      *trust.Desk
	roster    *cluster.Roster
	silence   member.Silence

	blobs   *blobs.Store
	goods   *goods.Goods
	runtime runtimeChoice
	pool    *pool
	agent   *agent.Agent
	samples samples
	reach   sessionReach     // how sessions of this box reach those of others
	files   *clusterdir.Dirs // of sessions that have containers here
	gates   gates            // of those sessions

	doorway net.Listener
	door    *door.Server
	doors   *door.Client
	relays  *relay.Relays
	front   *front // of this box: what others pass on is answered there while this box leads

	turns *turns
	loops *loops
	heard heardFile
	// present is whether etcd has what this box announced.
	present *presence

	life    atomic.Pointer[daemon] // who follows the table, or makes it
	secrets atomic.Pointer[vault.Vault]
	tables  *tableKeeper
	ran     map[string]string // sessions that ran here when the seat was taken, with their addresses
	tabled  chan struct{}     // closed when a table was read
	once    sync.Once         // of tabled
	tell    chan struct{}     // of size 1: who leads is to be told now
	leading atomic.Pointer[leading]
	// standstill is why this box cannot decide though it was elected, and removed that it is none of the cluster; nil: it is not so.
	standstill, removed atomic.Pointer[error]
	// full is that this box's member of etcd ended since its disk is full; nil: it did not.
	full  atomic.Pointer[error]
	roomy time.Time // since when there is room again; for takeSeats
	began time.Time // of this process's part in the cluster

	guarding sync.Mutex
	guard    *cluster.Guard // of what who leads tells beside etcd

	mu     sync.Mutex
	kept   seatRecord
	member *member.Member // nil: this box is a client of etcd alone
	// resumed is when it was last tried to start a member that did not start.
	resumed time.Time
	leases  []*cluster.Lease // that end when it leaves
	asked   *seatAsked       // to be a member of etcd
	coming  bool             // it is about to become one
	// leaving: this box says no more that it lives.
	leaving bool
	goes    bool // it is about to leave: what it keeps of etcd is to go to others first
	// departing is held by the one that has this box leave: a second one, who comes late, would leave what the box has joined since.
	departing sync.Mutex

	invited invitations // to be members of etcd, while this box leads

	passing sync.WaitGroup // what other boxes ask sessions here for by a door that is shut
}

// seatRecord is what a box must know before it can ask etcd.
type seatRecord struct {
	Address string `json:"address"` // of its door, for others
	// Listen and Advertise are what the settings said when Address was found; "": that is not known.
	Listen    string   `json:"listen,omitempty"`
	Advertise string   `json:"advertise,omitempty"`
	Cluster   string   `json:"cluster"`
	Etcd      []string `json:"etcd"`              // HOST:PORT of members, or URLs of the owner's own
	Member    bool     `json:"member"`            // it is one of them
	Rescue    bool     `json:"rescue,omitempty"`  // its member is to be the only one
	Rescued   bool     `json:"rescued,omitempty"` // it is, and an era is to begin before anybody decides
	Era       int64    `json:"era,omitempty"`     // that with which a cluster is founded
	// Term is the greatest in which anybody was heard to decide.
	Term     cluster.Term `json:"term,omitempty"`
	Revivals revivals     `json:"revivals,omitzero"`
	Shared   shared       `json:"shared"`
}

// Names in the cluster's directory.
const (
	clusterDir = "cluster"
	seatFile   = "seat.json"
	heardName  = "heard"
)

func readSeat(dir string) (r seatRecord, err error) {
	text, err := os.ReadFile(filepath.Join(dir, seatFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, seatFile), err)
	}
	return r, nil
}

// write is whole or not at all.
func (r seatRecord) write(dir string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, seatFile), text)
}

func writeWhole(path string, text []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// openSeat takes this box's place in its cluster; nil where it is in none.
func openSeat(ctx context.Context, o Options, h *house) (s *seat, err error) {
	dir := filepath.Join(o.Config.Data, clusterDir)
	node, err := trust.Open(dir, time.Now)
	if errors.Is(err, trust.ErrNoIdentity) {
		return nil, nil //nolint:nilnil // it is in none
	}
	if err != nil {
		return nil, err
	}
	if _, _, in := node.Certified(); !in {
		return nil, nil //nolint:nilnil // it waits to be let in
	}
	kept, err := readSeat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // it was let in, and does not know where the others are yet
	}
	if err != nil {
		return nil, err
	}
	if _, asks, err := node.Pending(); asks || err != nil || kept.Cluster == "" {
		return nil, err // it was let in, and has not heard yet where the others are
	}
	s = &seat{
		Options: o, log: o.Log.With("room", "cluster"), dir: dir, node: node, kept: kept, front: h.front,
		turns: newTurns(), tabled: make(chan struct{}), tell: make(chan struct{}, 1), began: time.Now(), loops: newLoops(ctx), heard: heardFile{path: filepath.Join(dir, heardName)},
		present: newPresence(),
	}
	s.guard = cluster.NewGuard(kept.Term, func(t cluster.Term) error { return s.update(func(r *seatRecord) { r.Term = t }) })
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(true))
			s = nil
		}
	}()
	if err := s.settle(); err != nil {
		return s, err
	}
	if err := s.connect(ctx); err != nil {
		return s, err
	}
	if err := s.rescued(ctx); err != nil {
		return s, err
	}
	if err := s.found(ctx); err != nil {
		return s, err
	}
	if err := s.learnShared(ctx); err != nil {
		return s, err
	}
	s.roster = s.agreement.NewRoster(time.Now, s.rosterChanged)
	s.doors = door.NewClient(s.node, s.address)
	s.doors.Doubt(s.rosterChanged)
	s.relays = relay.New(s.doors.Dial, s.log)
	if err := s.openBox(ctx); err != nil {
		return s, err
	}
	if err := s.openTables(ctx); err != nil {
		return s, err
	}
	if err := s.openGoods(); err != nil {
		return s, err
	}
	if err := s.founded(ctx); err != nil {
		return s, err
	}
	if err := s.openDoor(ctx); err != nil {
		return s, err
	}
	s.run()
	return s, nil
}

// connect starts this box's member of etcd, where it has one, and makes a client of all of them.
func (s *seat) connect(ctx context.Context) (err error) {
	if len(s.Config.Cluster.Etcd) > 0 {
		s.client, err = member.External{Endpoints: s.Config.Cluster.Etcd}.Connect()
	} else {
		if s.kept.Member {
			if err := s.startMember(ctx); err != nil {
				return err
			}
		}
		s.client, err = member.Connect(s.node.EtcdClient(), s.kept.Etcd...)
	}
	if err != nil {
		return err
	}
	key, err := s.node.ClusterKey()
	if err != nil {
		return err
	}
	s.agreement = cluster.New(s.client, "")
	s.members = member.NewMembers(s.client)
	s.desk = trust.NewDesk(member.NewShelf(s.client, trustPrefix), key, time.Now)
	return nil
}

// trustPrefix is where the records of trust are in etcd.
const trustPrefix = "/palisade/1/trust/"

// run starts what goes on for as long as the seat is taken.
func (s *seat) run() {
	s.loops.run(s.roster.Follow)
	s.loops.run(func(ctx context.Context) { s.agreement.FollowTable(ctx, s.follow) })
	s.loops.run(func(ctx context.Context) {
		if err := s.agent.Run(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("what runs on this box is not looked after any more", "error", err)
		}
	})
	s.loops.run(s.pool.run)
	s.loops.run(s.followLeader)
	s.loops.run(s.live)
	s.loops.run(s.report)
	s.loops.run(s.stand)
	s.loops.run(s.believe)
	s.loops.run(s.takeSeats)
	s.loops.run(s.tendGoods)
	s.loops.run(s.followTogether)
	s.loops.run(s.rememberEtcd)
	s.loops.run(s.keepTable)
	s.loops.run(s.watchStanding)
}

// farewell is before close, where no other process goes on: the other boxes take the routes of this one out at once, and end what
// they ask its sessions for.
func (s *seat) farewell() {
	if s == nil {
		return
	}
	s.fallSilent()
	if s.door != nil {
		s.endDoor(stopGrace)
	}
}

// fallSilent has this box say no more that it lives.
func (s *seat) fallSilent() {
	s.mu.Lock()
	leases := s.leases
	s.leaving = true
	s.mu.Unlock()
	for _, lease := range leases {
		giveUp(context.Background(), lease)
	}
}

// close leaves what the box has of the cluster to another life or process, or for good. Sessions go on, and so do connections that are
// open to them.
func (s *seat) close(toAnother bool) error {
	if s == nil {
		return nil
	}
	s.loops.end()
	var err error
	if s.door != nil {
		s.passing.Go(func() { s.endDoor(s.Config.Restart.Grace) })
	}
	if s.doorway != nil {
		_ = s.doorway.Close()
	}
	if s.relays != nil {
		s.relays.Keep(func(relay.Target) bool { return false }) // what is open goes on with this process
	}
	if s.runtime.runner != nil {
		err = errors.Join(err, s.runtime.close(toAnother))
	}
	if s.pool != nil {
		err = errors.Join(err, s.pool.close())
	}
	if s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	s.mu.Lock()
	m := s.member
	s.mu.Unlock()
	if m != nil {
		ending, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		err = errors.Join(err, m.Close(ending))
	}
	return err
}

// passed returns when other boxes ask nothing more by the door that was shut.
func (s *seat) passed(ctx context.Context) error {
	done := make(chan struct{})
	go func() { s.passing.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *seat) endDoor(grace time.Duration) {
	_ = s.doorway.Close()
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = s.door.Shutdown(ending) // what is left is cut
}

func (s *seat) name() string { return s.node.Name() }

// address is where a box's door is.
func (s *seat) address(name string) (string, error) {
	if n, there := s.roster.Node(name); there && n.Door != "" {
		return n.Door, nil
	}
	if door := s.tables.door(name); door != "" && !s.roster.Known() { // etcd has not said yet
		return door, nil
	}
	return "", fmt.Errorf("box %s: %w", name, cluster.ErrNoNode)
}

// decides tells whether a term is one of who decides now, as far as this box has heard: ErrDeposed where it is over.
func (s *seat) decides(t cluster.Term) error {
	s.guarding.Lock()
	defer s.guarding.Unlock()
	return s.guard.Pass(t)
}

// update changes the record.
func (s *seat) update(change func(*seatRecord)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.kept
	next.Etcd = slices.Clone(next.Etcd)
	change(&next)
	if err := next.write(s.dir); err != nil {
		return fmt.Errorf("keeping this box's place in the cluster: %w", err)
	}
	s.kept = next
	return nil
}

// beside is the address that is so many ports above another one.
func beside(hostport string, n int) (string, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", fmt.Errorf("the address %q: %w", hostport, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", fmt.Errorf("the address %q: %w", hostport, err)
	}
	return net.JoinHostPort(host, strconv.Itoa(port+n)), nil
}
