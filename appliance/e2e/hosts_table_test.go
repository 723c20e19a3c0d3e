package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// judge counts what clients saw.
func (c *came) judge(h *history, others []*host, began time.Time) {
	h.judgeLeaders()
	c.both, c.saw = h.both, h.saw
	for i, change := range h.changes {
		if i > 0 && change.at.After(began) {
			c.leader = change.at.Sub(began)
			break
		}
	}
	c.vacant = h.vacant(began)
	for name, all := range h.asked {
		last := began
		for _, a := range all {
			if a.ended.Before(began) {
				continue
			}
			if !slices.ContainsFunc(others, func(o *host) bool { return o.name == name }) {
				c.own++
				if a.err != nil {
					c.ownBad++
				}
				continue
			}
			c.asked++
			if a.err != nil {
				c.failed++
				c.first = errors.Join(c.first, a.err)
				continue
			}
			c.gap, last = max(c.gap, a.ended.Sub(last)), a.ended
		}
	}
	last := began
	for _, a := range h.single {
		if a.err == nil && a.ended.After(began) {
			c.single, last = max(c.single, a.ended.Sub(last)), a.ended
		}
	}
	for id := range h.doubled {
		c.doubled = append(c.doubled, id)
	}
}

// out is when the last of the others had fewer routes than before; 0: one had them all.
func (h *history) out(others []*host, began time.Time) (out time.Duration) {
	for _, one := range others {
		before, when := 0, time.Duration(0)
		for _, s := range h.routes[one.name] {
			switch {
			case s.at.Before(began):
				before = s.routes
			case s.routes < before && when == 0:
				when = s.at.Sub(began)
			}
		}
		if when == 0 {
			return 0
		}
		out = max(out, when)
	}
	return out
}

// accepted looks for all services that were accepted, and takes them away.
func (f *hosting) accepted(h *history, c *came) {
	f.t.Helper()
	c.made, c.refused = len(h.made), h.refused
	there := strings.Fields(f.hosts[0].run("service", "list", "-q"))
	for _, name := range h.made {
		if !slices.Contains(there, name) {
			c.lost = append(c.lost, name)
		}
	}
	for _, name := range there {
		if strings.HasPrefix(name, "made-") {
			if err := f.hosts[0].asks(f.t.Context(), 20*time.Second, http.MethodDelete, "services/"+name, nil, nil); err != nil {
				f.t.Error(err)
			}
		}
	}
}

// must fails the test where what must never be was seen.
func (c *came) must(t *testing.T) {
	t.Helper()
	if c.uncounted > 0 || c.overcounted > 0 {
		t.Errorf("%s to %s: of the requests %d are in no usage, and %d in it too much", c.fault, c.to, c.uncounted, c.overcounted)
	}
	if len(c.both) > 0 || len(c.doubled) > 0 || len(c.lost) > 0 || c.made == 0 || c.saw < 3 {
		t.Errorf("%s to %s: two led at %v; in two places ran %v, of %d; of %d services that were accepted are lost %v", c.fault, c.to, c.both, c.doubled, c.saw, c.made, c.lost)
	}
	t.Logf("%+v", *c)
}

// TestHosts: three hosts are one appliance, and the wire of the one that decides is cut. The others go on, one of them decides, what was
// accepted is kept, and nothing runs in two places.
func TestHosts(t *testing.T) {
	if *faultsFile != "" || *onlyFaults != "" {
		return // all faults are brought instead
	}
	f := newHosting(t, newHosts(t, false, "one", "two", "three"), false)
	c := f.bring(parted, f.leader(), "the leader", 6*time.Second)
	c.must(t)
	if c.leader == 0 {
		t.Error("nobody else has decided")
	}
}

// long is how long a fault lasts.
const long = 7 * time.Second

// TestFaults brings all faults and writes the table.
func TestFaults(t *testing.T) {
	if *faultsFile == "" && *onlyFaults == "" {
		return // TestHosts is a part of it
	}
	began := time.Now()
	table := &faultsTable{t: t}
	ofBoxes, ofEngines := []fault{killed, frozen, parted, mute, deaf, flaps, slow, full, off}, []fault{killed, frozen, parted}
	boxes, engines := []string{"the leader", "a follower"}, []string{"etcd: the member that leads", "etcd: all members", "PostgreSQL", "Redis"}
	t.Run("boxes", func(t *testing.T) {
		if !anyChosen(ofBoxes, boxes) {
			return
		}
		f := newHosting(t, newHosts(t, true, "one", "two", "three"), false)
		for _, x := range ofBoxes {
			for _, to := range boxes {
				if !chosen(x.name + " " + to) {
					continue
				}
				f.spread()
				at := f.leader()
				if to != "the leader" {
					at = f.at("single")[0]
				}
				table.add(t, f.bring(x, at, to, long), to != "the leader")
			}
		}
	})
	t.Run("engines", func(t *testing.T) {
		if !anyChosen(ofEngines, engines) {
			return
		}
		e, hosts := newEngines(t)
		f := newHosting(t, hosts, true)
		all := several{e.etcd[0], e.etcd[1], e.etcd[2]}
		for _, x := range ofEngines {
			for i, to := range engines {
				if chosen(x.name + " " + to) {
					who := []victim{e.leads(t), all, e.rows, e.redis}[i]
					table.add(t, f.bring(x, who, to, long), false)
				}
			}
		}
	})
	verdict := "Nothing was seen that must never be"
	if t.Failed() {
		verdict = "**The run failed**: see its log"
	}
	table.write(fmt.Sprintf("\n%s. The last run brought %d rows in %s, on %d cores.\n", verdict, len(table.lines), time.Since(began).Round(time.Second), runtime.NumCPU()))
}

// chosen tells whether a row is to be brought, and anyChosen whether one of some is.
func chosen(row string) bool { return regexp.MustCompile(*onlyFaults).MatchString(row) }

func anyChosen(faults []fault, to []string) bool {
	return slices.ContainsFunc(faults, func(x fault) bool {
		return slices.ContainsFunc(to, func(to string) bool { return chosen(x.name + " " + to) })
	})
}

// shortVacancy is for how long nobody has to be seen to decide for it to be told: a box that is asked twenty times a second may answer late.
const shortVacancy = time.Second / 2

// faultsTable is what goes into the file.
type faultsTable struct {
	t     *testing.T
	lines []string
}

// add adds a row; single: the only route of the other service was there.
func (f *faultsTable) add(t *testing.T, c came, single bool) {
	t.Helper()
	c.must(t)
	vacant := "–"
	if c.vacant >= shortVacancy {
		vacant = fmt.Sprintf("%.1f s", c.vacant.Seconds())
	}
	some := func(d time.Duration, is bool) string {
		if !is || d == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	own := "–"
	if c.own > 0 {
		own = fmt.Sprintf("%d of %d", c.ownBad, c.own)
	}
	f.lines = append(f.lines, fmt.Sprintf("| %s | %s | %s | %s | %s | %.1f s | %s | %d of %d | %s | %.1f s | %d | %d of %d | %d |", c.fault, c.to, some(c.leader, true), vacant, some(c.out, true), c.gap.Seconds(),
		some(c.single, single), c.failed, c.asked, own, c.whole.Seconds(), len(c.doubled), len(c.lost), c.made, c.uncounted+c.overcounted))
	f.write("")
}

// keyOfRow is what tells a row apart.
func keyOfRow(line string) string {
	cells := strings.SplitN(line, "|", 4)
	return strings.Join(cells[:min(len(cells), 3)], "|")
}

// write puts the rows in the place of those that there were of the same; where all are brought, of all.
func (f *faultsTable) write(verdict string) {
	f.t.Helper()
	if *faultsFile == "" {
		return
	}
	text, err := os.ReadFile(*faultsFile)
	if err != nil {
		f.t.Fatal(err)
	}
	head, before, ok := strings.Cut(string(text), tableHead)
	if !ok {
		f.t.Fatalf("%s has no table", *faultsFile)
	}
	rows := slices.Clone(f.lines)
	if *onlyFaults != "" {
		rows = nil
		for line := range strings.Lines(before) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "| ") {
				rows = append(rows, line)
			}
		}
		for _, line := range f.lines {
			if i := slices.IndexFunc(rows, func(old string) bool { return keyOfRow(old) == keyOfRow(line) }); i >= 0 {
				rows[i] = line
			} else {
				rows = append(rows, line)
			}
		}
	}
	if err := os.WriteFile(*faultsFile, []byte(head+tableHead+strings.Join(rows, "\n")+"\n"+verdict), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

const tableHead = `| fault, for 7 s | to | another decides after | nobody decides for | the others do without its routes after | longest silence at the others | of the service whose only route was there | failed at the others | failed at the box itself | whole again after its end | sessions doubled | services lost | requests lost or doubled in the usage |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`
