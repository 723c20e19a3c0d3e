// Package member owns the etcd that a box of a cluster is a member of: its start, how it joins as a learner and gets a
// vote, how members are taken out, and how many there should be. It must not know what is kept in etcd, except that the
// records of trust are. A cluster may have an etcd of its owner's instead: then there is a client and no member.
package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// Kinds of errors of this room.
var (
	// ErrInvalid: the configuration is not what it should be.
	ErrInvalid = errors.New("invalid")
	// ErrRemoved: the cluster knows this member no more: its data is of no use, see SetAside.
	ErrRemoved = errors.New("this member was removed")
	// ErrBroken: the member stopped by itself: its disk is full, or its data is damaged. What it held, files and ports, it may hold until
	// the process ends.
	ErrBroken = errors.New("the member stopped")
	// ErrFull: it did so since its disk is full.
	ErrFull = errors.New("its disk is full")
	// ErrNotYet: the other members would not have it now; later they may.
	ErrNotYet = errors.New("not yet")
	// ErrNotFound: there is no such member, or no data of one.
	ErrNotFound = errors.New("not found")
)

// Error is an error that says what to do about it.
type Error struct {
	err  error
	hint string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// Port is where a member listens, and where others reach it: HOST:PORT both.
type Port struct {
	Listen    string
	Advertise string
}

// Config is how a box's member runs.
type Config struct {
	Dir     string // of its own; it is made
	Name    string // the node's
	Cluster string // the cluster's id: members of others are not talked to
	Peer    Port   // for the other members
	Client  Port   // for nodes
	Files   trust.EtcdFiles

	Tick     time.Duration // between heartbeats; 100 ms where it is 0
	Election time.Duration // without a heartbeat, until a member wants to lead; half a second where it is 0
	Quota    int64         // bytes that the data may take; 2 GiB where it is 0
	Log      *slog.Logger
}

// Member is one that runs. It is safe for concurrent use.
type Member struct {
	etcd *embed.Etcd
	log  *sink
	done chan struct{}

	ending sync.Once
	ended  chan struct{} // closed when etcd has ended

	mu     sync.Mutex
	err    error
	closed bool
}

const dataDir = "etcd"

// HasData says whether a member ran in dir.
func HasData(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, dataDir, "member", "wal"))
	return err == nil
}

// SetAside keeps the data of a member that is none any more, out of the way: the latest such alone.
func SetAside(dir string) error {
	old := filepath.Join(dir, "removed")
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("setting a member's data aside: %w", err)
	}
	if err := os.Rename(filepath.Join(dir, dataDir), old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("setting a member's data aside: %w", err)
	}
	return nil
}

// Begin starts the first member of a new etcd. Where it was started before, it goes on.
func Begin(ctx context.Context, c Config) (*Member, error) {
	e, err := c.etcd()
	if err != nil {
		return nil, err
	}
	e.InitialCluster = c.Name + "=https://" + c.Peer.Advertise
	return c.start(ctx, e)
}

// Resume starts a member with the data it has. It returns before others answer: see Ready.
func Resume(ctx context.Context, c Config) (*Member, error) {
	if !HasData(c.Dir) {
		return nil, fmt.Errorf("going on as a member of etcd: %w: no data in %s", ErrNotFound, c.Dir)
	}
	e, err := c.etcd()
	if err != nil {
		return nil, err
	}
	return c.start(ctx, e)
}

// Rescue makes this box's member the only one, with the data it has: what the others knew beyond it is lost. It is for
// the day when most members are lost for good, and nothing else calls it. The others must never start with their data
// again: Join sets it aside.
func Rescue(ctx context.Context, c Config) (*Member, error) {
	if !HasData(c.Dir) {
		return nil, fmt.Errorf("making this box the only member: %w: no data in %s", ErrNotFound, c.Dir)
	}
	e, err := c.etcd()
	if err != nil {
		return nil, err
	}
	e.ForceNewCluster = true
	c.Log.Warn("this box's member of etcd becomes the only one", "dir", c.Dir)
	return c.start(ctx, e)
}

// etcd is c in etcd's words.
func (c Config) etcd() (*embed.Config, error) {
	e := embed.NewConfig()
	e.Name, e.Dir = c.Name, filepath.Join(c.Dir, dataDir)
	for _, p := range []struct {
		to   *[]url.URL
		from string
	}{
		{&e.ListenPeerUrls, c.Peer.Listen}, {&e.AdvertisePeerUrls, c.Peer.Advertise},
		{&e.ListenClientUrls, c.Client.Listen}, {&e.AdvertiseClientUrls, c.Client.Advertise},
	} {
		u, err := url.Parse("https://" + p.from)
		if err != nil || u.Port() == "" || u.Path != "" {
			return nil, &Error{fmt.Errorf("a member's address, %q: %w", p.from, ErrInvalid), "write it as 10.0.0.1:2380"}
		}
		*p.to = []url.URL{*u}
	}
	e.PeerTLSInfo, e.ClientTLSInfo = tlsOf(c.Files), tlsOf(c.Files)
	e.TlsMinVersion = "TLS1.3"
	e.InitialClusterToken = c.Cluster
	e.StrictReconfigCheck, e.PreVote = true, true
	e.TickMs = uint(orElse(c.Tick, 100*time.Millisecond).Milliseconds())
	e.ElectionMs = uint(orElse(c.Election, 500*time.Millisecond).Milliseconds())
	e.QuotaBackendBytes = orElse(c.Quota, 2<<30)
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, "10m"
	e.SnapshotCount = 10_000
	e.GRPCKeepAliveMinTime, e.GRPCAdditionalServerOptions = pingEvery/2, Answers()
	e.EnableGRPCGateway, e.EnablePprof = false, false
	return e, nil
}

func orElse[T int64 | time.Duration](v, other T) T {
	if v == 0 {
		return other
	}
	return v
}

// tlsOf are a node's files in etcd's words. Client and server are the same on both ports: a node of this cluster.
func tlsOf(f trust.EtcdFiles) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: f.Certificate, KeyFile: f.Certificate, TrustedCAFile: f.Roots, CRLFile: f.Removed,
		ClientCertAuth: true, ServerName: f.ServerName,
		SkipClientSANVerify: true, // names of nodes are in no DNS
	}
}

// start starts etcd. Its own way out of what it cannot bear is to end the process: see sink.OnWrite.
func (c Config) start(ctx context.Context, e *embed.Config) (*Member, error) {
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	c.warnOfProxy()
	m := &Member{done: make(chan struct{}), ended: make(chan struct{})}
	m.log = newSink(c.Log, func(why string) {
		if m.log.removed() {
			m.stopped(removedError())
			return
		}
		m.stopped(c.brokenBy(why))
	})
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(m.log, zap.WithFatalHook(m.log), zap.WithPanicHook(m.log)))
	started := make(chan error, 1)
	go func() {
		err := errors.New("etcd ended its start") // where its log had it end the process
		defer func() {
			if r := recover(); r != nil {
				err = &Error{fmt.Errorf("%w: %v", ErrBroken, r), "its data may be damaged: see the log; a member that lost its data can join anew"}
			}
			started <- err
		}()
		m.etcd, err = embed.StartEtcd(e)
	}()
	select {
	case err := <-started:
		if why := m.Err(); why != nil && err != nil {
			err = why
		}
		if err != nil {
			return nil, fmt.Errorf("starting etcd: %w", err)
		}
	case <-m.done: // a part of it stopped, and the rest may wait for that part for ever
		go endWhenUp(started, m)
		return nil, fmt.Errorf("starting etcd: %w", m.Err())
	case <-ctx.Done():
		go endWhenUp(started, m)
		return nil, fmt.Errorf("starting etcd: %w", context.Cause(ctx))
	}
	go m.watch()
	return m, nil
}

// endWhenUp ends an etcd that nobody wants any more: its start cannot be interrupted.
func endWhenUp(started <-chan error, m *Member) {
	if err := <-started; err == nil {
		end(m.etcd)
	}
}

// warnOfProxy says what would otherwise be a riddle: etcd sends what is for its peers to a proxy where the environment
// names one.
func (c Config) warnOfProxy() {
	r := &http.Request{URL: &url.URL{Scheme: "https", Host: c.Peer.Advertise}}
	if p, err := http.ProxyFromEnvironment(r); err == nil && p != nil {
		c.Log.Warn("the environment sends connections between boxes through a proxy; name the boxes' addresses in NO_PROXY", "proxy", p.Host)
	}
}

// watch waits for etcd to end by itself. What is left of it then is ended, too: it would go on answering whoever asks it, that it has
// stopped, and clients would take that for an answer of the cluster.
func (m *Member) watch() {
	select {
	case <-m.etcd.Server.StopNotify():
	case err := <-m.etcd.Err():
		if err != nil && !m.isOut() {
			m.stopped(fmt.Errorf("%w: %w", ErrBroken, err))
			m.end()
			return
		}
	case <-m.done:
		if m.Err() != nil {
			m.quit()
		}
		return
	}
	defer m.end()
	if m.isOut() {
		m.stopped(removedError())
		return
	}
	m.stopped(ErrBroken)
}

func removedError() error { return &Error{ErrRemoved, "see it with: palisade cluster status"} }

// isOut tells whether the cluster knows this member no more.
func (m *Member) isOut() bool {
	return m.log.removed() || m.etcd.Server.Cluster().Member(m.etcd.Server.MemberID()) == nil
}

// stopped notes the first reason. What broke may be a part of etcd alone: it is kept from leading without it.
func (m *Member) stopped(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && !m.closed {
		m.err = err
		close(m.done)
	}
}

// quit has a member that broke take no part any more. Its leadership goes to another as if it had been cut off: it could not hand
// it on.
func (m *Member) quit() {
	m.etcd.Server.PauseSending()
	m.end()
}

// end ends etcd, once.
func (m *Member) end() {
	m.ending.Do(func() {
		go func() {
			defer close(m.ended)
			end(m.etcd)
		}()
	})
}

// Done is closed when the member ended, by Close or by itself.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err is why the member ended by itself; nil while it runs, and after Close.
func (m *Member) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// ID is the member's own.
func (m *Member) ID() uint64 { return uint64(m.etcd.Server.MemberID()) }

// Ready waits until the member has told the others where it is: a majority of them answers.
func (m *Member) Ready(ctx context.Context) error {
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case <-m.done:
		return fmt.Errorf("etcd: %w", errors.Join(m.Err(), ErrBroken))
	case <-ctx.Done():
		return fmt.Errorf("etcd: waiting for a majority of its members: %w", context.Cause(ctx))
	}
}

// Close ends the member. One that leads hands that on first, so it may take seconds; when ctx ends before, etcd goes on
// ending by itself.
func (m *Member) Close(ctx context.Context) error {
	m.mu.Lock()
	if !m.closed && m.err == nil {
		close(m.done)
	}
	m.closed = true
	m.mu.Unlock()
	m.end()
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ending etcd: %w", context.Cause(ctx))
	}
}

// end closes etcd. Before it is ready its Close waits for it to be, which without a majority is for ever: the server is
// stopped first then.
func end(e *embed.Etcd) {
	select {
	case <-e.Server.ReadyNotify():
	default:
		e.Server.HardStop()
	}
	e.Close()
}
