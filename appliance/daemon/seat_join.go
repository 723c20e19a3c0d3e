package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/sessions"
)

// boxName is what a box is called in its cluster, where nobody says anything.
func boxName(c config.Config, name string) string {
	host, _ := os.Hostname() // unnamed is box
	host, _, _ = strings.Cut(strings.ToLower(cmp.Or(name, c.Node.Name, host, "box")), ".")
	if name != "" {
		return name // as it was said, or refused
	}
	return strings.Trim(notInNames.ReplaceAllString(host, "-"), "-")
}

var notInNames = regexp.MustCompile(`[^a-z0-9-]+`)

// doorAddress is where other boxes reach this one.
func doorAddress(c config.Config, said string) (string, error) {
	host, port, err := net.SplitHostPort(c.Cluster.Listen)
	if err != nil {
		return "", err
	}
	at := cmp.Or(said, c.Cluster.Advertise)
	if at == "" {
		at = host
		if host == "" || net.ParseIP(host).IsUnspecified() {
			if at, err = outwards(); err != nil {
				return "", err
			}
		}
	}
	if _, _, err := net.SplitHostPort(at); err != nil {
		at = net.JoinHostPort(strings.Trim(at, "[]"), port)
	}
	return at, nil
}

// outwards is this box's address on its way to others.
func outwards() (string, error) {
	none := hinted{errors.New("by which address other boxes reach this one cannot be told"), "say it with --address HOST:PORT, or in the settings: cluster.advertise"}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", none
	}
	var found []string
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			found = append(found, ip.IP.String())
		}
	}
	if len(found) != 1 {
		return "", none
	}
	return found[0], nil
}

// foundCluster makes this box the first one of a cluster, as far as files go: the next start does the rest. Era is after those of
// clusters that had the database before.
func foundCluster(ctx context.Context, c config.Config, name, address string, era int64) error {
	if !strings.HasPrefix(c.DSN(), "postgres") {
		return hinted{errors.New("several boxes keep their rows in PostgreSQL; this one has SQLite"), "move them first: palisade database move --to postgres://USER@HOST/NAME"}
	}
	if _, err := sharedOf(c); err != nil {
		return err
	}
	at, err := doorAddress(c, address)
	if err != nil {
		return err
	}
	if err := portsOpen(ctx, c); err != nil {
		return err
	}
	dir := filepath.Join(c.Data, clusterDir)
	node, err := trust.Found(dir, boxName(c, name), time.Now)
	if err != nil {
		return err
	}
	f, _, err := node.Founding()
	if err != nil {
		return err
	}
	etcd, err := beside(at, etcdClients)
	if err != nil {
		return err
	}
	r := seatRecord{Address: at, Cluster: f.Authority.Cluster, Etcd: []string{etcd}, Member: true, Era: era}
	if len(c.Cluster.Etcd) > 0 {
		r.Member, r.Etcd = false, nil
	}
	r.Shared.Database = "" // of the settings, until it is shared
	return r.write(dir)
}

// found puts what a cluster was founded with into etcd: its authority, what the boxes share, and what runs on this one.
func (s *seat) found(ctx context.Context) error {
	f, founding, err := s.node.Founding()
	if err != nil || !founding {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, foundPatience)
	defer cancel()
	s.mu.Lock()
	m := s.member
	s.mu.Unlock()
	if m != nil {
		if err := m.Ready(ctx); err != nil {
			return err
		}
	}
	if err := s.desk.Begin(ctx, f); err != nil {
		return err
	}
	if err := s.agreement.BeginEra(ctx, s.kept.Era); err != nil {
		return err
	}
	out, err := sharedOf(s.Config)
	if err != nil {
		return err
	}
	return s.share(ctx, out)
}

// rescued has terms be greater than those of before a rescue: what this box's member did not know yet is lost, and with it revisions.
func (s *seat) rescued(ctx context.Context) error {
	if !s.kept.Rescued {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, foundPatience)
	defer cancel()
	era, err := s.agreement.Era(ctx)
	if err == nil {
		err = s.agreement.BeginEra(ctx, era+1)
	}
	if err != nil {
		return err
	}
	return s.update(func(r *seatRecord) { r.Rescued = false })
}

// foundPatience is how long a new etcd may take until it answers.
const foundPatience = 30 * time.Second

// founded takes what runs on the first box into the cluster, and says that all of it is there.
func (s *seat) founded(ctx context.Context) error {
	_, founding, err := s.node.Founding()
	if err != nil || !founding {
		return err
	}
	all, err := s.runtime.List(ctx)
	if err != nil {
		return err
	}
	for _, in := range all {
		if in.Labels[sessions.LabelSession] != in.ID {
			continue
		}
		if in.Labels, err = s.asOurs(in); err != nil {
			return err
		}
		if err := s.agreement.TakeOver(ctx, s.name(), in); err != nil {
			return err
		}
	}
	return s.node.Founded()
}

// asOurs are an instance's labels with this box's name in the cluster: it may have had another one.
func (s *seat) asOurs(in sessions.Instance) (map[string]string, error) {
	claim, ok := claimIn(in.ID, in.Labels)
	if !ok {
		return in.Labels, nil
	}
	claim.Node = s.name()
	text, err := json.Marshal(claim)
	if err != nil {
		return nil, err
	}
	labels := maps.Clone(in.Labels)
	labels[sessions.LabelClaim] = string(text)
	return labels, nil
}

// asking is what a person says to have this box let in.
type asking struct {
	url     string
	token   trust.Token
	name    string
	address string
}

// joinCluster asks a box of a cluster to let this one in, once. In: the next life takes the place.
func joinCluster(ctx context.Context, o Options, a asking) (trust.State, error) {
	if err := portsOpen(ctx, o.Config); err != nil {
		return "", err
	}
	node, err := trust.Create(filepath.Join(o.Config.Data, clusterDir), boxName(o.Config, a.name), time.Now)
	if err != nil {
		return "", err
	}
	at, err := doorAddress(o.Config, a.address)
	if err != nil {
		return "", err
	}
	if err := (seatRecord{Address: at}).write(filepath.Join(o.Config.Data, clusterDir)); err != nil {
		return "", err
	}
	pending := trust.Pending{URL: a.url, Token: a.token}
	if err := node.Remember(pending); err != nil {
		return "", err
	}
	state, err := askIn(ctx, o, node, pending)
	if err != nil && door.Final(err) {
		err = errors.Join(err, node.Forget())
	}
	return state, err
}

// askIn asks once.
func askIn(ctx context.Context, o Options, node *trust.Node, p trust.Pending) (trust.State, error) {
	dir := filepath.Join(o.Config.Data, clusterDir)
	r, err := readSeat(dir)
	if err != nil {
		return "", err
	}
	if _, _, in := node.Certified(); !in {
		state, err := door.Join(ctx, door.Asking{Node: node, Pending: p, Version: o.Version.Version, Address: r.Address, Now: time.Now})
		if err != nil || state != trust.In {
			return state, err
		}
		if err := node.Remember(p); err != nil { // until the others are found, too
			return "", err
		}
	}
	hostport, err := door.ParseURL(p.URL)
	if err != nil {
		return "", err
	}
	way, err := door.AskWay(ctx, node, hostport)
	if err != nil {
		return "", fmt.Errorf("this box was let in; where the others keep what they agree on is not known yet: %w", err)
	}
	r.Cluster, r.Etcd = way.Cluster, way.Etcd
	if err := r.write(dir); err != nil {
		return "", err
	}
	return trust.In, node.Forget()
}

// askEvery is how often a box that waits asks whether it is in.
const askEvery = 2 * time.Second

// goOnAsking asks on where this box is on its way into a cluster.
func (d *daemon) goOnAsking(ctx context.Context) {
	node, err := trust.Open(filepath.Join(d.Config.Data, clusterDir), time.Now)
	if err != nil {
		return
	}
	if _, ok, err := node.Pending(); err == nil && ok {
		d.waits.Store(true)
		d.asks.Do(func() { go d.ask(context.WithoutCancel(ctx), d.base, askEvery) })
	}
}

// ask asks, until the process ends, whenever there is something to ask: as the files say by then, for what was asked may have been
// refused, given up, and asked of others since.
func (h *house) ask(ctx context.Context, o Options, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-h.stopped:
			return
		case <-tick.C:
		}
		h.askAgain(ctx, o)
	}
}

func (h *house) askAgain(ctx context.Context, o Options) {
	h.joining.Lock()
	defer h.joining.Unlock()
	node, err := trust.Open(filepath.Join(o.Config.Data, clusterDir), time.Now)
	if err != nil {
		h.waits.Store(false)
		return
	}
	p, asks, err := node.Pending()
	if err != nil || !asks {
		h.waits.Store(false)
		return
	}
	state, err := askIn(ctx, o, node, p)
	switch {
	case err == nil && state == trust.In:
		h.waits.Store(false)
		h.sit()
	case err != nil && door.Final(err):
		h.waits.Store(false)
		h.unseated.Store(&err)
		o.Log.Error("this box is not let into the cluster", "error", err, "hint", adviceOf(err))
		if err := node.Forget(); err != nil {
			o.Log.Warn("that it asked is not forgotten", "error", err)
		}
	}
}
