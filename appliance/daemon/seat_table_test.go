package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

func keptRows(routes ...router.Route) map[string]*cluster.Row {
	row := &cluster.Row{Service: sessions.ServiceRoutes{ID: "svc-1", Name: "voices"}, Nodes: map[string]string{}}
	for _, r := range routes {
		row.Service.Routes = append(row.Service.Routes, sessions.RouteTarget{ID: r.ID, Addr: r.Addr})
		row.Nodes[r.ID] = "box-1"
	}
	return map[string]*cluster.Row{"svc-1": row}
}

// The table that was read last is there after a restart, is not written for nothing, and gives way to no older one.
func TestTheTableIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, tableFile)
	open := func() *tableKeeper {
		t.Helper()
		k, err := openTable(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	if _, _, there := k.current(); there || k.save(nil, time.Now()) != nil {
		t.Error("it makes a table up")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("nothing is kept as if it were a table")
	}
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	k.led(cluster.TermOf(0, 90))
	first := keptRows(router.Route{ID: "ses-1", Addr: "10.0.0.1:8000"})
	if !k.took(cluster.Table{Rows: first, Revision: 100}) || k.save(map[string]string{"box-2": "10.0.0.2:8480"}, at) != nil {
		t.Error("a first one is refused")
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	row := *first["svc-1"]
	row.Service.ReadyAt = at // what is expected changes all the time
	k.took(cluster.Table{Rows: map[string]*cluster.Row{"svc-1": &row}, Revision: 105})
	if err := k.save(map[string]string{"box-2": "10.0.0.2:8480"}, at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, written) {
		t.Error("it is written again for nothing")
	}

	// Another process: etcd is away.
	k = open()
	table, fromDisk, there := k.current()
	if !there || !fromDisk || table.Revision != 100 || table.Rows["svc-1"].Service.Routes[0].ID != "ses-1" || k.door("box-2") != "10.0.0.2:8480" || !k.keptAt().Equal(at) {
		t.Errorf("%v %v %+v", there, fromDisk, table)
	}
	// etcd is back, from a backup of before.
	old := keptRows(router.Route{ID: "ses-0", Addr: "10.0.0.1:7000"})
	if k.took(cluster.Table{Rows: old, Revision: 60}) {
		t.Error("an older table takes the place of a newer one")
	}
	if table, fromDisk, _ := k.current(); table.Rows["svc-1"].Service.Routes[0].ID != "ses-1" || !fromDisk {
		t.Errorf("%v %+v", fromDisk, table)
	}
	if k.led(cluster.TermOf(0, 61)) {
		t.Error("who decides in the same era brings the older table into force")
	}
	if err := k.save(nil, at); err != nil {
		t.Fatal(err)
	}
	if k := open(); k.now.Rows["svc-1"].Service.Routes[0].ID != "ses-1" {
		t.Error("the older one is on the disk")
	}
	// Somebody decides in a later era.
	if !k.led(cluster.TermOf(1, 65)) {
		t.Error("the table of a later era is not in force")
	}
	if table, fromDisk, _ := k.current(); table.Rows["svc-1"].Service.Routes[0].ID != "ses-0" || fromDisk {
		t.Errorf("%v %+v", fromDisk, table)
	}
	if err := k.save(nil, at); err != nil {
		t.Fatal(err)
	}
	if k := open(); k.now.Rows["svc-1"].Service.Routes[0].ID != "ses-0" || k.took(cluster.Table{Rows: first, Revision: 59}) {
		t.Error("the later era is not kept")
	}

	// What is damaged is not believed.
	text, _ := os.ReadFile(path)
	for name, damaged := range map[string][]byte{"cut": text[:len(text)/2], "changed": bytes.Replace(text, []byte("ses-0"), []byte("ses-9"), 1), "empty": {}} {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := openTable(dir)
		if _, _, there := k.current(); err == nil || there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of a table of before a restart, a box's own routes are those whose sessions still run at the same address.
func TestOwnRoutesOfBefore(t *testing.T) {
	dir := t.TempDir()
	k, err := openTable(dir)
	if err != nil {
		t.Fatal(err)
	}
	rows := keptRows(router.Route{ID: "ses-1", Addr: "10.0.0.1:8000"}, router.Route{ID: "ses-2", Addr: "10.0.0.2:8000"}, router.Route{ID: "ses-3", Addr: "10.0.0.3:8000"})
	k.took(cluster.Table{Rows: rows, Revision: 7})
	if err := k.save(nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if k, err = openTable(dir); err != nil {
		t.Fatal(err)
	}
	s := &seat{tables: k, ran: map[string]string{"ses-1": "10.0.0.1", "ses-2": "10.0.0.9"}}
	at := site{name: "box-1", own: s.hasRoute, alive: func(string) bool { return true }, doubted: never, silent: never}
	table, _, _ := k.current()
	if got := tableFor(table.Rows, at)[0].Routes; len(got) != 1 || got[0].ID != "ses-1" {
		t.Errorf("%+v", got)
	}
	k.took(cluster.Table{Rows: rows, Revision: 8})
	table, _, _ = k.current()
	if got := tableFor(table.Rows, at)[0].Routes; len(got) != 3 {
		t.Errorf("once etcd has said so: %+v", got)
	}
}

// A box that etcd has not heard of says so, and by what it goes on.
func TestOutOfTouch(t *testing.T) {
	now := time.Now()
	k, err := openTable(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{tables: k, began: now.Add(-time.Minute), heard: heardFile{path: filepath.Join(t.TempDir(), heardName)}}
	if err := s.outOfTouch(now); err == nil || adviceOf(err) == "" {
		t.Errorf("never heard of: %v", err)
	}
	s.heard.note(now.Add(cluster.LeaseTime))
	if err := s.outOfTouch(now); err != nil {
		t.Error(err)
	}
	if err := s.outOfTouch(now.Add(time.Minute)); err == nil {
		t.Error("it goes on as if nothing were")
	}
	s.began = now.Add(time.Minute)
	if err := s.outOfTouch(s.began.Add(time.Second)); err != nil {
		t.Errorf("one that has just begun: %v", err)
	}
}
