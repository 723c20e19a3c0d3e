package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// place waits in the queue until the manager has found a place, which is then taken already.
func (r *runner) place(ctx context.Context) (Signal, bool) {
	if r.adopted != nil { // it has one, and runs there
		s, _ := r.snapshot()
		return Signal{Kind: SignalPlaced, Reason: "found running", Claim: s.Claim}, true
	}
	select {
	case at := <-r.offered:
		return Signal{Kind: SignalPlaced, Reason: placedReason(at.claim, at.why), Claim: &at.claim, Net: at.net, Run: at.run, Failures: at.failures}, true
	case <-r.stopping.Done():
		return Signal{Kind: SignalStop, Reason: r.stopReason()}, true
	case <-ctx.Done():
		return Signal{}, false
	}
}

// placedReason says where a session goes, and why there.
func placedReason(c accel.Claim, why string) string {
	text := "placed on " + c.Node
	if len(c.Shares) > 0 {
		text = fmt.Sprintf("placed on %s, with %s", c.Node, plural(len(c.Shares), "device"))
	}
	if why != "" {
		text += ": " + why
	}
	return text
}

// offer hands the session a place that the ledger has taken for it; false where it does not wait any more. The
// claim is then for the caller to drop. One that is offered while the session is just asked to end is let go with it.
func (r *runner) offer(at place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session.Status != StatusPending || r.stop != nil {
		return false
	}
	select {
	case r.offered <- at:
		r.net = at.net
		return true
	default:
		return false
	}
}

// netTaken is how the session's containers reach each other, from the moment on when that is decided; nil: they need nothing for it.
func (r *runner) netTaken() *ClusterNet {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.session.Alive() || r.session.Task.Cluster == nil {
		return nil
	}
	return cmp.Or(r.net, r.session.Task.Cluster.Net)
}

// letGo gives back what the session held, once it needs it no more. A session that has never been started holds
// nothing that a device could still remember; of any other the ledger waits until its devices say so.
func (r *runner) letGo(from, to Status) {
	if to != StatusPending && !to.Terminal() {
		return
	}
	if slices.Contains([]Status{StatusPending, StatusScheduled, StatusPreparing, StatusPulling, StatusPrepared}, from) {
		r.ledger.Drop(r.id)
		return
	}
	r.ledger.Leave(r.id)
}

// giveWay asks a session that has a place to end and to go back to the queue. One that has left it meanwhile is let be.
func (r *runner) giveWay(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.yields || r.stop != nil || r.session.Status == StatusPending || r.session.Leaving() {
		return
	}
	r.yields = true
	r.yield <- reason
}

// leaving reports whether the session is being ended, or has been asked to end: what it holds will come free.
func (r *runner) leaving() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.yields || r.stop != nil || r.session.Leaving() || r.session.Status == StatusPending
}

// ends reports whether the session is being ended for good, or has been asked to.
func (r *runner) ends() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop != nil || r.session.Leaving() && r.session.Status != StatusPreempted
}

// waitsKept is how often the row of a session that waits is written at most for what its sentences say: they change with
// the time, and with everybody else who comes and goes.
const waitsKept = time.Minute

// waits notes why the session is still in the queue: at once for people to read now, a little later for those who
// read it after a restart. It is called with every pass.
func (r *runner) waits(ctx context.Context, why []Wait, now time.Time) {
	r.mu.Lock()
	if r.session.Status != StatusPending {
		r.mu.Unlock()
		return
	}
	if !slices.Equal(r.session.Waits, why) {
		r.session.Waits, r.session.Reason = why, waitReason(why)
		r.waitsDirty = true
		r.unshown(r.service, r.id)
	}
	due := r.waitsDirty && now.Sub(r.waitsAt) >= waitsKept
	if due {
		r.waitsDirty, r.waitsAt = false, now
	}
	r.mu.Unlock()
	if !due {
		return
	}
	r.asides.Go(func() { // the pass must not wait for a store that hangs
		if err := r.save(ctx); err != nil {
			r.log.Error("why the session waits was not written; it will be", "error", err)
			r.mu.Lock()
			r.waitsDirty = true
			r.mu.Unlock()
		}
	})
}

// waitReason is all that a session waits for, in one sentence.
func waitReason(why []Wait) string {
	text := ""
	for _, w := range why {
		if text != "" {
			text += "; "
		}
		text += w.String()
	}
	return text
}

// spec is what the runtime is told to run, with the devices that the session holds.
func (r *runner) spec(s Session) (Spec, error) {
	part := 1.0
	if s.Claim != nil {
		part = fraction(s.Claim.Shares)
		s.Launch = r.variants.WithMemoryFraction(s.Launch, part)
	}
	spec := runtimeSpec(s)
	if err := r.withCheckpoints(&spec, s); err != nil {
		return spec, err
	}
	if err := r.joinCluster(s, &spec); err != nil || s.Claim == nil {
		return spec, err
	}
	label, err := json.Marshal(s.Claim)
	if err != nil {
		return spec, fmt.Errorf("encoding what it holds: %w", err)
	}
	spec.Labels[LabelClaim] = string(label)
	grant, err := r.grant(*s.Claim)
	if err != nil {
		return spec, fmt.Errorf("%w: %w", errNotHanded, err)
	}
	spec.Limits.CPUs = r.nearCores(*s.Claim)
	maps.Copy(spec.Env, grant.Env)
	spec.Devices = slices.Concat(grant.CDI, grant.Nodes)
	for _, source := range slices.Sorted(maps.Keys(grant.Mounts)) {
		spec.Mounts = append(slices.Clip(spec.Mounts), Mount{Source: source, Target: grant.Mounts[source]})
	}
	if part < 1 {
		r.loose = !grant.Enforced
	}
	return spec, nil
}

// nearCores are the cores of the memory node that a claim is near to; "" for any.
func (r *runner) nearCores(c accel.Claim) string {
	for _, state := range r.ledger.Pool() {
		if state.Name() == c.Node && c.NUMA >= 0 {
			return state.Node().Cores(c.NUMA)
		}
	}
	return ""
}

// fraction is the smallest part that a session has of any device it uses; 1 where it has whole ones, or none. An
// engine takes the same part of each.
func fraction(shares []accel.Share) float64 {
	least := 1.0
	for _, share := range shares {
		least = min(least, float64(share.Amount)/100)
	}
	return least
}
