package sessions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/variants"
)

// LoadTimesKept is how many load times of one key and device count: what happened long ago on another disk or with
// another driver says little.
const LoadTimesKept = 10

// LoadTime is how long one route took to come up: from when it had its place and its image was there to its first
// passing probe.
type LoadTime struct {
	Key     string // stands for all that decides it but the device: image, folder, variant, resources, launch
	Device  string // the model of its devices, "NVIDIA H200"; "" for none
	Image   string
	Folder  string
	Variant string
	At      time.Time // of the probe
	Took    time.Duration
}

// loadOf is what is the same of all loads of a revision.
func loadOf(r Recipe, l variants.LaunchSpec) LoadTime {
	// What a service is called is in its launch too, and says nothing: two services of one model load alike.
	l.ModelName, l.Env = "", nil
	l.Processes = slices.Clone(l.Processes)
	for i := range l.Processes {
		l.Processes[i].Name, l.Processes[i].Env = "", nil
	}
	text, err := json.Marshal([]any{r.Image, r.Folder, r.Variant, r.Resources, r.Env, l})
	if err != nil { // plain data always marshals
		text = []byte(r.Image + "\x00" + r.Folder)
	}
	sum := sha256.Sum256(text)
	return LoadTime{Key: hex.EncodeToString(sum[:16]), Image: r.Image, Folder: r.Folder, Variant: r.Variant}
}

// model is what a load is of, however it is run.
func (t *LoadTime) model() [3]string { return [3]string{t.Image, t.Folder, t.Variant} }

// loadTimes are all that are kept, oldest first. The zero value is ready.
type loadTimes struct {
	byKey   map[string][]LoadTime
	byModel map[[3]string][]LoadTime
}

// add keeps some, and the newest of each key and device.
func (l *loadTimes) add(some ...LoadTime) {
	if l.byKey == nil {
		l.byKey, l.byModel = map[string][]LoadTime{}, map[[3]string][]LoadTime{}
	}
	for _, t := range some {
		l.byKey[t.Key] = newest(append(l.byKey[t.Key], t))
		l.byModel[t.model()] = newest(append(l.byModel[t.model()], t))
	}
}

// newest sorts by time, and leaves out the old ones of each key and device.
func newest(all []LoadTime) []LoadTime {
	slices.SortStableFunc(all, func(a, b LoadTime) int { return b.At.Compare(a.At) })
	count := map[[2]string]int{}
	all = slices.DeleteFunc(all, func(t LoadTime) bool {
		of := [2]string{t.Key, t.Device}
		count[of]++
		return count[of] > LoadTimesKept
	})
	slices.Reverse(all)
	return all
}

// estimate is how long a load like this one will take, as those of before did. In order:
//  1. the median of the same on the same device, which is any where none is named in device;
//  2. of the same model in the same image on that device, run in another way;
//  3. of the same on another device;
//  4. of the same model in the same image on another device, run in another way.
func (l *loadTimes) estimate(like LoadTime, device *string) (time.Duration, bool) {
	same, alike := l.byKey[like.Key], l.byModel[like.model()]
	if device == nil && len(same) > 0 {
		device = &same[len(same)-1].Device // where it ran last
	}
	here := func(t LoadTime) bool { return device != nil && t.Device == *device }
	for _, of := range []struct {
		all  []LoadTime
		here bool
	}{{same, true}, {alike, true}, {same, false}, {alike, false}} {
		var took []time.Duration
		for _, t := range of.all {
			if !of.here || here(t) {
				took = append(took, t.Took)
			}
		}
		if len(took) > 0 {
			slices.Sort(took)
			return (took[(len(took)-1)/2] + took[len(took)/2]) / 2, true
		}
	}
	return 0, false
}

// deviceOf names the models of the devices that a claim holds; "" where it holds none.
func deviceOf(pool accel.Pool, c *accel.Claim) string {
	if c == nil || len(c.Shares) == 0 {
		return ""
	}
	names := map[string]int{}
	if i, there := slices.BinarySearchFunc(pool, c.Node, func(s accel.State, name string) int { return cmp.Compare(s.Name(), name) }); there {
		for _, d := range pool[i].Node().Devices {
			if slices.ContainsFunc(c.Shares, func(s accel.Share) bool { return s.Device == d.ID }) {
				names[d.Name]++
			}
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if n := names[name]; n > 1 {
			name = fmt.Sprintf("%d x %s", n, name)
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " + ")
}

// loaded takes in that a route was healthy for the first time. It is called by its runner, which does not wait for the store.
func (m *Manager) loaded(s Session, took time.Duration) {
	pool := m.Ledger.Pool()
	m.mu.Lock()
	sv := m.services[s.ServiceID]
	if sv == nil || sv.revision(s.Revision) == nil {
		m.mu.Unlock()
		return
	}
	t := sv.loadOf(s.Revision)
	t.Device, t.At, t.Took = deviceOf(pool, s.Claim), s.HealthyAt, took
	m.loads.add(t)
	closing := m.closing
	if !closing && m.Loads != nil {
		m.wg.Go(func() { m.keepLoad(t) })
	}
	m.mu.Unlock()
	m.metrics.load.Observe(took.Seconds())
}

// keepLoad writes a load time down. It is an estimate's grain: one that is lost stops nothing.
func (m *Manager) keepLoad(t LoadTime) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), m.Timeouts.Save)
	defer cancel()
	if err := m.Loads.AddLoadTime(ctx, t); err != nil {
		m.Log.Error("how long a load took was not written", "took", t.Took, "error", err)
	}
}

// LoadTime is how long a route of a service is expected to take from its start to its first answer; false where
// nothing like it has been seen.
func (m *Manager) LoadTime(serviceID string) (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.services[serviceID]
	if s == nil {
		return 0, false
	}
	return m.loadTime(s, s.Revision, nil)
}

// loadTime is that of a revision, on a device where that is known. The caller holds mu.
func (m *Manager) loadTime(s *service, revision int, device *string) (time.Duration, bool) {
	if s.revision(revision) == nil {
		return 0, false
	}
	if len(m.loads.byKey) > 0 {
		if took, known := m.loads.estimate(s.loadOf(revision), device); known {
			return took, true
		}
	}
	if m.Guess == nil {
		return 0, false
	}
	took := m.Guess(s.ID)
	return took, took > 0
}

// loadOf is what is the same of all loads of a revision that there is. It is asked for often, and a revision never
// changes. The caller holds the manager's mu.
func (s *service) loadOf(revision int) LoadTime {
	t, known := s.loads[revision]
	if !known {
		rev := s.revision(revision)
		t = loadOf(rev.Recipe, rev.Launch)
		if s.loads == nil {
			s.loads = map[int]LoadTime{}
		}
		s.loads[revision] = t
	}
	return t
}
