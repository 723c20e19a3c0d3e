package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
)

// A box routes by the table that it read last, whatever becomes of etcd, and whatever becomes of the box meanwhile: what it read is kept
// on its own disk.

// keptTable is a table of routes on the disk.
type keptTable struct {
	Term  cluster.Term            `json:"term"` // its era, and the revision of etcd up to which it was read
	At    time.Time               `json:"at"`   // that it was written down
	Rows  map[string]*cluster.Row `json:"rows"`
	Doors map[string]string       `json:"doors"` // of boxes, by name: host:port
}

// tableKeeper decides by which table this box routes, and keeps it on the disk. It is safe for concurrent use.
type tableKeeper struct {
	path string

	mu    sync.Mutex
	era   int64         // the latest of any leader that was heard of
	now   keptTable     // in force
	read  cluster.Table // as etcd has it, though it may be older
	asked bool          // etcd has told of one since this process began
	saved *keptTable    // as it is on the disk; nil: there is none
}

const tableFile = "table.json"

// openTable reads what was kept; where that is nothing, or cannot be read, there is none.
func openTable(dir string) (*tableKeeper, error) {
	k := &tableKeeper{path: filepath.Join(dir, tableFile)}
	text, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	var kept keptTable
	if err == nil {
		sum, body, _ := bytes.Cut(text, []byte("\n"))
		if is := sha256.Sum256(body); hex.EncodeToString(is[:]) != string(sum) {
			err = errors.New("it is damaged")
		} else {
			err = json.Unmarshal(body, &kept)
			maps.DeleteFunc(kept.Rows, func(_ string, row *cluster.Row) bool { return row == nil })
		}
	}
	if err != nil {
		return k, fmt.Errorf("the table of routes of before, %s: %w", k.path, err)
	}
	k.now, k.saved, k.era = kept, &kept, kept.Term.Era()
	return k, nil
}

// led is told in which term somebody decides. True: another table is in force.
func (k *tableKeeper) led(t cluster.Term) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.Era() <= k.era {
		return false
	}
	k.era = t.Era()
	return k.asked && k.take()
}

// took is told what etcd has. False: that is older than what was read before, as where etcd was restored from a backup; it is not
// routed by until somebody decides in a later era.
func (k *tableKeeper) took(t cluster.Table) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read, k.asked = t, true
	return k.take()
}

// take puts what was read into force where it is not older. k.mu is held.
func (k *tableKeeper) take() bool {
	at := cluster.TermOf(k.era, k.read.Revision)
	if at < k.now.Term {
		return false
	}
	k.now.Term, k.now.Rows = at, k.read.Rows
	return true
}

// current is the table in force; false: there is none. fromDisk: etcd has not told of a later one since this process began.
func (k *tableKeeper) current() (t cluster.Table, fromDisk, there bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	there = k.asked || k.saved != nil
	fromDisk = there && (!k.asked || cluster.TermOf(k.era, k.read.Revision) < k.now.Term)
	return cluster.Table{Rows: k.now.Rows, Revision: k.now.Term.Revision()}, fromDisk, there
}

// keptAt is when the table on the disk was written down.
func (k *tableKeeper) keptAt() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.At
}

// door is where a box was reached when the table was kept; "": not known.
func (k *tableKeeper) door(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.Doors[name]
}

// doors are where boxes were reached when the table was kept.
func (k *tableKeeper) doors() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, at := range k.now.Doors {
		all = append(all, at)
	}
	return all
}

// save writes the table in force down where it is another than the one on the disk, but for what is expected alone.
func (k *tableKeeper) save(doors map[string]string, now time.Time) error {
	k.mu.Lock()
	if len(doors) > 0 {
		k.now.Doors = doors
	}
	next := k.now
	if !k.asked || k.saved != nil && k.saved.Term.Era() == next.Term.Era() && maps.EqualFunc(k.saved.Rows, next.Rows, fleet.SameRow) && maps.Equal(k.saved.Doors, next.Doors) {
		k.mu.Unlock()
		return nil
	}
	k.mu.Unlock()
	next.At = now.UTC()
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	if err := writeWhole(k.path, append(append([]byte(hex.EncodeToString(sum[:])), '\n'), body...)); err != nil {
		return fmt.Errorf("keeping the table of routes: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.At, k.saved = next.At, &next
	return nil
}

// saveTableEvery is how often the table is written down, where it has changed: one that is older by so much names few routes that are
// none any more, and those are seen not to answer.
const saveTableEvery = 10 * time.Second

// keepTable writes the table down now and then.
func (s *seat) keepTable(ctx context.Context) {
	tick := time.NewTicker(saveTableEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.saveTable()
			return
		case <-tick.C:
		}
		s.saveTable()
	}
}

func (s *seat) saveTable() {
	doors := map[string]string{}
	if s.roster.Known() {
		for _, n := range s.roster.Nodes() {
			doors[n.Name] = n.Door
		}
	}
	if err := s.tables.save(doors, time.Now()); err != nil {
		s.log.Warn("a restart while etcd is away will have an older table of routes", "error", err)
	}
}

// openTables reads the table of before. Of this box's own routes those are taken whose sessions run here at the same address: the
// address of one that is gone may be another's by now.
func (s *seat) openTables(ctx context.Context) error {
	var err error
	if s.tables, err = openTable(s.dir); err != nil {
		s.log.Warn("it is not used", "error", err)
	}
	all, err := s.runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("finding what runs here: %w", err)
	}
	s.ran = map[string]string{}
	for _, in := range all {
		if in.Running {
			s.ran[in.ID] = in.Address
		}
	}
	return nil
}

// hasRoute tells whether a route of this box is to be believed, at host:port.
func (s *seat) hasRoute(session, addr string) bool {
	if _, fromDisk, _ := s.tables.current(); !fromDisk {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	return err == nil && s.ran[session] != "" && s.ran[session] == host
}

// outOfTouchAfter is how long etcd may not have heard of this box before that is said.
const outOfTouchAfter = cluster.LeaseTime

// outOfTouch says that this box and etcd do not reach each other, and by what it goes on; nil: they do.
func (s *seat) outOfTouch(now time.Time) error {
	heard := s.heard.last()
	if now.Sub(heard) < outOfTouchAfter || now.Sub(s.began) < outOfTouchAfter {
		return nil
	}
	since := "since it was started"
	if heard.After(s.began) {
		since = "since " + heard.UTC().Format(time.DateTime) + " UTC"
	}
	by := "the table of routes that it read last"
	if _, fromDisk, there := s.tables.current(); !there {
		by = "no table of routes: it has never read one"
	} else if fromDisk {
		by = "the table of routes of " + s.tables.keptAt().UTC().Format(time.DateTime) + " UTC, kept on its disk"
	}
	return hinted{
		fmt.Errorf("etcd has not heard of this box %s; it goes on by %s", since, by),
		"what runs here goes on, and requests are answered. Look at the network, and whether palisade runs on the other boxes that keep etcd; where most of those are lost for good: palisade help cluster rescue",
	}
}
