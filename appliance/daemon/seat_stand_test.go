package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// A box stands for election for as long as a life of it waits for a turn, and gives one up that nobody takes.
func TestTurns(t *testing.T) {
	const standsFor = time.Minute // until it is elected
	errNoAnswer := errors.New("no answer")
	for name, tc := range map[string]struct {
		life  func(t *turns) // what goes on in the box
		err   error
		begun bool
		after time.Duration // that it stands no more
	}{
		"no life has begun": {func(*turns) {}, nil, false, 0},
		"the life before cannot begin another": {func(all *turns) {
			_, noMore := all.wait()
			noMore()
		}, nil, false, 0},
		"it takes its turn": {func(all *turns) {
			given, noMore := all.wait()
			go func() {
				one := <-given
				noMore() // it becomes another life
				close(one.works)
				time.Sleep(time.Hour)
				if one.ctx.Err() != nil {
					t.Error("the turn ends with what waited for it")
				}
				close(one.over)
			}()
		}, nil, true, standsFor + time.Hour},
		"a successor is prepared before": {func(all *turns) {
			_, noMore := all.wait()
			time.AfterFunc(time.Second, noMore)
		}, nil, false, time.Second},
		"its next life does not begin, and hangs": {func(all *turns) {
			given, noMore := all.wait()
			go func() {
				one := <-given
				noMore()
				<-one.ctx.Done()
			}()
		}, errNotTaken, true, standsFor + beginWithin},
		"its next life does not begin": {func(all *turns) {
			given, noMore := all.wait()
			go func() {
				one := <-given
				noMore()
				close(one.over)
			}()
		}, nil, true, standsFor},
		"its database does not answer": {func(all *turns) {
			given, _ := all.wait()
			go func() {
				one := <-given
				time.Sleep(time.Second)
				one.declined = errNoAnswer
				close(one.over)
			}()
		}, errNoAnswer, true, standsFor + time.Second},
		"nobody takes it": {func(all *turns) { all.wait() }, errNotTaken, false, standsFor + cluster.LeaseTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, begun, began := newTurns(), false, time.Now()
				tc.life(all)
				err := all.stand(t.Context(), func(ctx context.Context, reign elected) error {
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(standsFor):
					}
					reigning, end := context.WithCancel(ctx)
					defer end()
					return reign(reigning, cluster.Reign{})
				}, func(*turn) { begun = true })
				if took := time.Since(began); !errors.Is(err, tc.err) || begun != tc.begun || took != tc.after {
					t.Errorf("%v after %s, begun: %v; want %v after %s, %v", err, took, begun, tc.err, tc.after, tc.begun)
				}
			})
		})
	}
}

// A turn that is over is given to nobody, though somebody waits.
func TestATurnThatIsOver(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	all := &turns{given: make(chan *turn, 1)} // it could be taken at any time
	for range 20 {
		if taken, err := all.give(&turn{ctx: over}); taken || err != nil {
			t.Fatalf("%v, %v", taken, err)
		}
	}
}

// Who leads etcd gives that to a member that votes, before it is taken out or does nothing else for a while.
func TestWhoLeadsEtcdNext(t *testing.T) {
	leader, learner, silent, other := member.Seat{ID: 1, Answers: true, Leader: true}, member.Seat{ID: 2, Answers: true, Learner: true}, member.Seat{ID: 3}, member.Seat{ID: 4, Answers: true}
	all := []member.Seat{learner, silent, leader, other}
	for name, tc := range map[string]struct {
		seats []member.Seat
		step  member.Step
		to    uint64
		leads bool
	}{
		"it is taken out":      {all, member.Step{Do: member.Remove, ID: 1}, 4, true},
		"another is taken out": {all, member.Step{Do: member.Remove, ID: 4}, 0, false},
		"one gets a vote":      {all, member.Step{Do: member.Promote, ID: 2}, 0, false},
		"one is invited":       {all, member.Step{Do: member.Invite}, 0, false},
		"nobody else may":      {all[:3], member.Step{Do: member.Remove, ID: 1}, 0, false},
	} {
		if to, leads := nextLeader(tc.seats, tc.step); to != tc.to || leads != tc.leads {
			t.Errorf("%s: %d, %v; want %d, %v", name, to, leads, tc.to, tc.leads)
		}
	}
	if to, is := besides(all, 4); to != 1 || !is {
		t.Errorf("besides 4: %d, %v", to, is)
	}
}
