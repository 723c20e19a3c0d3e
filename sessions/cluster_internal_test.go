package sessions

import (
	"testing"
	"time"
)

// TestFateOfOneThatWasDone: it was done between the moment when another one was found to have failed, and may be tried
// again, and the one when it was to run again with it.
func TestFateOfOneThatWasDone(t *testing.T) {
	of := func(rank, run int, status Status) member {
		m := member{Session: Session{ID: memberName("fit", rank), Status: status}, Holds: true}
		m.Task = Task{Restarts: run, Cluster: &Cluster{Role: RoleSub, Index: rank, Rank: rank, Size: 3, Run: ClusterRunAll}}
		if rank == 0 {
			m.Task.Cluster.Role, m.Task.Cluster.Index = RoleMain, 1
		}
		if status == StatusTerminated {
			m.Exit = &Exit{Reason: ExitCompleted}
		}
		return m
	}
	for name, c := range map[string]struct {
		ms   []member
		ends int
	}{
		"in an earlier run": {[]member{of(0, 1, StatusRunning), of(1, 0, StatusTerminated), of(2, 1, StatusRunning)}, 2},
		"the other begins":  {[]member{of(0, 0, StatusRunning), of(1, 0, StatusTerminated), of(2, 1, StatusRestarting)}, 2},
		"in this run":       {[]member{of(0, 1, StatusRunning), of(1, 1, StatusTerminated), of(2, 1, StatusRunning)}, 0},
	} {
		v := fate(c.ms, time.Now())
		ends := 0
		for _, a := range v.acts {
			if a.kind == actEnd {
				ends++
			}
			if a.id == "fit" && a.cause == nil {
				t.Errorf("%s: its owner is told of no failure", name)
			}
		}
		if ends != c.ends || len(v.acts) != c.ends || (v.open >= 0) == (c.ends > 0) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
