package agent

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// From wherever a crash left a session, what follows comes to an end, and to the right one.
func TestNextComesToAnEnd(t *testing.T) {
	run := &cluster.Wanted{Round: "2"}
	stop := &cluster.Wanted{Round: "2", Stop: &cluster.Stop{}}
	wants := map[string]*cluster.Wanted{"nobody wants it": nil, "it should run": run, "it should end": stop}
	tolds := map[string]*cluster.Report{"nothing is told": nil}
	for _, round := range []string{"1", "2"} {
		for _, s := range []cluster.State{cluster.Starting, cluster.Running, cluster.Ended, cluster.Refused} {
			tolds[string(s)+" in round "+round] = &cluster.Report{Round: round, State: s}
		}
	}
	for wanted, want := range wants {
		for said, told := range tolds {
			for _, here := range []presence{nothing, runs, ended, unknown} {
				for _, fenced := range []bool{false, true} {
					starts := 0
					told, here := told, here
					was := here
					for step := 0; ; step++ {
						if step > 10 {
							t.Fatalf("%s, %s, present %d, fenced %v: it goes on for ever", wanted, said, was, fenced)
						}
						act := next(want, told, here, fenced)
						switch act {
						case start:
							if here != nothing {
								t.Fatalf("%s, %s, present %d: it is started beside what is there", wanted, said, was)
							}
							starts++
							here, told = runs, &cluster.Report{Round: want.Round, State: cluster.Running}
						case end:
							here = ended
						case remove:
							here = nothing
						case look:
							here = runs
						case tell:
							state := cluster.Running
							if here == ended {
								state = cluster.Ended
							}
							told = &cluster.Report{Round: told.Round, State: state}
						case lose:
							told = &cluster.Report{Round: told.Round, State: cluster.Ended}
						case refuse:
							told = &cluster.Report{Round: want.Round, State: cluster.Refused}
						case letGo:
							told = nil
						case rest:
						}
						if act == rest {
							break
						}
					}
					switch {
					case want == nil && (here != nothing || told != nil):
						t.Errorf("%s, %s, present %d: %d and %+v are left", wanted, said, was, here, told)
					case want != nil && (told == nil || told.Round != want.Round):
						t.Errorf("%s, %s, present %d: nobody hears of it: %+v", wanted, said, was, told)
					case want != nil && want.Stop != nil && here == runs:
						t.Errorf("%s, %s, present %d: it runs on", wanted, said, was)
					case want == stop && starts > 0, starts > 1:
						t.Errorf("%s, %s, present %d: started %d times", wanted, said, was, starts)
					case fenced && here == runs:
						t.Errorf("%s, %s, present %d: it runs on unseen", wanted, said, was)
					}
				}
			}
		}
	}
	for _, here := range []presence{nothing, runs, ended} {
		if act := next(&cluster.Wanted{Unreadable: true}, &cluster.Report{}, here, true); act != rest {
			t.Errorf("what a later version wants is met with %q", act)
		}
	}
}
