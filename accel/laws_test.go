package accel_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

// play does to a ledger what a sequence of bytes says, and looks after every step that the laws hold:
//
//   - nothing is taken twice: no device, core or byte is held by more than it has, unless Restore said so,
//   - conserved: what is free and what is taken is what there is,
//   - what Allocate found can be taken while nothing comes between, and is never more than was asked,
//   - the same state and ask give the same claim,
//   - what is faulty, busy or cut is not handed out,
//   - the version grows with every change of the pool, and only then,
//   - when all have left, all is free.
type play struct {
	t        *testing.T
	l        *accel.Ledger
	at       time.Time
	node     accel.Node
	next     int               // number of the next session
	live     []string          // sessions that hold something
	used     map[string]string // by device: who has memory on it, though it may have ended
	restored bool              // more may be held than there is
}

// motley is a node with all that can be allocated: joined and single devices, a cut one, another family.
func motley() accel.Node {
	n := box(6)
	for i := range 4 {
		n.Devices[i].Links = map[string]string{fmt.Sprint("GPU-", i^1): "NV18"}
	}
	n.Devices[5].Memory = 0
	for i := range 2 {
		n.Devices = append(n.Devices, accel.Device{
			ID: fmt.Sprint("MIG-", i), Index: i, Family: "cuda", Slot: "cuda.device:1g.10gb-mig", Memory: 10 * gib, Parent: "GPU-4", NUMA: 1,
		})
	}
	n.Devices = append(n.Devices, accel.Device{ID: "R-0", Family: "rocm", Slot: "rocm.device", Memory: 64 * gib, NUMA: 0})
	return n
}

func (p *play) now() time.Time { return p.at }

// step does the next thing. what chooses it, how its particulars.
func (p *play) step(what, how byte) {
	before, version := p.l.Pool(), p.l.Version()
	p.at = p.at.Add(time.Second)
	pick := func() string {
		if len(p.live) == 0 {
			return "nobody"
		}
		return p.live[int(how)%len(p.live)]
	}
	device := p.node.Devices[int(how)%len(p.node.Devices)].ID
	switch what % 12 {
	case 0, 1, 2, 3:
		p.start(how)
	case 4:
		session := pick()
		p.l.Leave(session)
		p.live = slices.DeleteFunc(p.live, func(s string) bool { return s == session })
	case 5:
		session := pick()
		p.l.Drop(session)
		p.live = slices.DeleteFunc(p.live, func(s string) bool { return s == session })
		for id, who := range p.used {
			if who == session {
				delete(p.used, id)
			}
		}
	case 6:
		p.observe(how)
	case 7:
		p.used[device] = pick()
	case 8:
		delete(p.used, device)
	case 9:
		if how%2 == 0 {
			p.l.Lose("box", []string{device}, "lost")
		} else if err := p.l.Fence("box", device, "by hand"); err != nil && !errors.Is(err, accel.ErrNoDevice) {
			p.t.Error(err)
		}
	case 10:
		if err := p.l.Unfence("box", device); err != nil && !errors.Is(err, accel.ErrNoDevice) {
			p.t.Error(err)
		}
	case 11:
		switch n := p.node; how % 4 {
		case 0:
			n.Devices = n.Devices[:len(n.Devices)-int(how)%3]
			p.l.SetNode(n)
		case 1:
			p.l.RemoveNode("box")
			p.l.SetNode(n)
		default:
			p.l.SetNode(n)
		}
	}
	p.laws(before, version)
}

// start asks for something and takes what comes of it.
func (p *play) start(how byte) {
	p.next++
	session := fmt.Sprint("s", p.next)
	asks := []accel.Slots{
		{"cuda.device": 100, "cpu": 1000}, {"cuda.device": 200, "cpu": 4000, "mem": 8 * gib}, {"cuda.shares": accel.Amount(how)%250 + 1},
		{"cuda.shares": 30, "cpu": 500, "rocm.device": 100}, {"cuda.device:1g.10gb-mig": 100}, {"cpu": 20000, "mem": 100 * gib}, {"rocm.device": 100},
	}
	ask := asks[int(how)%len(asks)]
	options := accel.Options{Quantum: []accel.Amount{1, 5, 25}[int(how/7)%3], Policy: accel.Policy(how / 32 % 2), IgnoreNUMA: how > 200}
	state := p.l.Pool()[0]
	claim, err := allocate(state, session, ask, options)
	again, errAgain := allocate(state, session, ask, options)
	if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(claim, again) {
		p.t.Fatalf("not deterministic: %v, %v", claim, again)
	}
	need, errNeed := accel.NewNeed(ask, options)
	if errNeed == nil && state.Fits(&need) != (err == nil) {
		p.t.Fatalf("Fits says %v, Allocate %v", state.Fits(&need), err)
	}
	if err != nil {
		if !errors.Is(err, accel.ErrNotNow) && !errors.Is(err, accel.ErrNeverFits) && !errors.Is(err, accel.ErrInvalid) {
			p.t.Fatal(err)
		}
		return
	}
	given := accel.Slots{}
	for _, share := range claim.Shares {
		given[share.Slot] += share.Amount
		for _, d := range state.Node().Devices {
			if d.ID == share.Device && (d.Fault != "" || d.Busy != "" || d.ID == "GPU-4") {
				p.t.Errorf("%s is handed out: %s%s", d.ID, d.Fault, d.Busy)
			}
		}
		if share.Slot == "cuda.shares" && share.Amount%max(options.Quantum, 1) != 0 {
			p.t.Errorf("%d is no multiple of the quantum %d", share.Amount, options.Quantum)
		}
	}
	for _, slot := range ask.Accelerators() {
		if given[slot] > ask[slot] || given[slot] <= ask[slot]-max(options.Quantum, 1) {
			p.t.Errorf("%d of %s given, %d asked, quantum %d", given[slot], slot, ask[slot], options.Quantum)
		}
	}
	if err := p.l.Take(claim); err != nil {
		p.t.Fatalf("what was found cannot be taken: %v", err)
	}
	p.live = append(p.live, session)
	if how%16 == 5 { // as after a restart: someone who says that he has the same
		twin := claim
		p.next++
		twin.Session = fmt.Sprint("s", p.next)
		p.l.Restore(twin)
		p.live, p.restored = append(p.live, twin.Session), true
	}
}

// observe samples all devices. Memory that somebody uses is seen with a process while its session lives.
func (p *play) observe(how byte) {
	var samples []accel.Sample
	for i, d := range p.node.Devices {
		s := accel.Sample{Device: d.ID, At: p.at, Processes: []accel.ProcessUse{}}
		if who, used := p.used[d.ID]; used {
			s.MemoryUsed = 5 * gib
			if slices.Contains(p.live, who) {
				s.Processes = append(s.Processes, accel.ProcessUse{PID: i + 1, Memory: 5 * gib})
			}
		}
		switch {
		case how == 77 && i == 0:
			s = accel.Sample{Device: d.ID, At: p.at, MemoryUsed: -1, Fault: "Xid 79"}
		case how%32 == 3:
			s.MemoryUsed, s.Processes = -1, nil
		}
		samples = append(samples, s)
	}
	if how%64 == 9 {
		p.at = p.at.Add(accel.DefaultPatience)
	}
	p.l.Observe("box", samples, func(pid int) (string, bool) {
		who, known := p.used[p.node.Devices[pid-1].ID]
		return who, known
	}, p.at)
}

func (p *play) laws(before accel.Pool, version uint64) {
	p.t.Helper()
	pool := p.l.Pool()
	if changed := len(before) == 0 || len(pool) == 0 || before[0] != pool[0]; changed != (p.l.Version() != version) {
		p.t.Errorf("changed %v, version from %d to %d", changed, version, p.l.Version())
	}
	s := pool[0]
	n, taken := s.Node(), map[string]accel.Amount{}
	var cpu, mem accel.Amount
	for _, c := range s.Claims() {
		cpu, mem = cpu+c.Slots["cpu"], mem+c.Slots["mem"]
		for _, share := range c.Shares {
			taken[share.Device] += share.Amount
		}
	}
	if s.FreeCPU()+cpu != n.CPU || s.FreeMemory()+mem != n.Memory {
		p.t.Errorf("cpu %d free, %d taken of %d; mem %d, %d of %d", s.FreeCPU(), cpu, n.CPU, s.FreeMemory(), mem, n.Memory)
	}
	if !p.restored && (s.FreeCPU() < 0 || s.FreeMemory() < 0) {
		p.t.Error("more cores or memory are taken than there are")
	}
	for i, d := range n.Devices {
		if s.DeviceFree(i) != max(100-taken[d.ID], 0) || taken[d.ID] > 100 && !p.restored {
			p.t.Errorf("%s: %d free, %d taken", d.ID, s.DeviceFree(i), taken[d.ID])
		}
	}
	rebuilt := accel.NewState(*n, s.Claims()...)
	for _, slot := range []accel.Slot{"cpu", "mem", "cuda.device", "cuda.shares", "rocm.device", "cuda.device:1g.10gb-mig"} {
		if s.Free(slot) != rebuilt.Free(slot) || s.Free(slot) > s.Total(slot) {
			p.t.Errorf("%s: %d free, counted anew %d, of %d", slot, s.Free(slot), rebuilt.Free(slot), s.Total(slot))
		}
	}
	if entries := p.l.Claims(); len(entries) != len(s.Claims()) {
		p.t.Errorf("%d claims, %d of them in the pool", len(entries), len(s.Claims()))
	}
}

// end has all sessions leave and their memory come free, and looks that nothing is left.
func (p *play) end() {
	for _, session := range p.live {
		p.l.Leave(session)
	}
	p.live, p.used = nil, map[string]string{}
	p.l.SetNode(p.node)
	p.at = p.at.Add(time.Second)
	p.observe(0)
	if claims := p.l.Claims(); len(claims) != 0 {
		p.t.Errorf("leaked: %v", claims)
	}
	for _, d := range p.node.Devices {
		if err := p.l.Unfence("box", d.ID); err != nil {
			p.t.Error(err)
		}
	}
	if s, empty := p.l.Pool()[0], accel.NewState(p.node); s.FreeCPU() != empty.FreeCPU() || s.FreeMemory() != empty.FreeMemory() ||
		s.Free("cuda.shares") != empty.Free("cuda.shares") || s.FreeWhole("cuda.device:1g.10gb-mig") != empty.FreeWhole("cuda.device:1g.10gb-mig") {
		p.t.Errorf("not all is free: %s", cmp.Diff(empty.Node(), s.Node()))
	}
}

func playLaws(t *testing.T, moves []byte) {
	p := &play{t: t, at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), node: motley(), used: map[string]string{}}
	p.l = accel.NewLedger(accel.WithClock(p.now))
	p.l.SetNode(p.node)
	for i := 0; i+1 < len(moves) && !t.Failed(); i += 2 {
		p.step(moves[i], moves[i+1])
	}
	p.end()
}

func TestLaws(t *testing.T) {
	random := rand.NewChaCha8([32]byte{3})
	for range 200 {
		moves := make([]byte, 300)
		if _, err := random.Read(moves); err != nil {
			t.Fatal(err)
		}
		playLaws(t, moves)
		if t.Failed() {
			t.Fatalf("moves %#v", moves)
		}
	}
}

func FuzzLaws(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 6, 0, 4, 0, 6, 0})
	f.Add([]byte{1, 5, 7, 0, 6, 1, 4, 0, 6, 9, 11, 0, 10, 0, 6, 3})
	f.Fuzz(func(t *testing.T, moves []byte) {
		if len(moves) <= 600 {
			playLaws(t, moves)
		}
	})
}

// Parts are spread as they are asked for, whatever is free.
func FuzzSpread(f *testing.F) {
	f.Add([]byte{100, 100}, int64(130), true)
	f.Add([]byte{3, 0, 2}, int64(4), false)
	f.Fuzz(func(t *testing.T, free []byte, ask int64, evenly bool) {
		amounts, sum, policy := make([]accel.Amount, len(free)), accel.Amount(0), accel.Fill
		for i := range free {
			amounts[i] = accel.Amount(free[i])
			sum += amounts[i]
		}
		if evenly {
			policy = accel.Evenly
		}
		given := accel.Spread(amounts, accel.Amount(ask), policy)
		if (given == nil) != (accel.Amount(ask) > sum || ask < 0) && len(free) > 0 {
			t.Fatalf("%d of %d: %v", ask, amounts, given)
		}
		var got accel.Amount
		for i := range given {
			got += given[i]
			if given[i] < 0 || given[i] > amounts[i] {
				t.Errorf("%d of %d", given[i], amounts[i])
			}
			for j := range given {
				if evenly && given[i] > given[j]+1 && given[j] < amounts[j] {
					t.Errorf("%v of %v is not even", given, amounts)
				}
			}
		}
		if given != nil && got != accel.Amount(ask) {
			t.Errorf("%d given, %d asked", got, ask)
		}
	})
}
