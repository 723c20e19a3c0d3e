package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// A member of etcd that found its disk full keeps its files and its ports until the process ends. So where there is room again the box
// has another process of itself take over, as `palisade restart` does: requests and sessions notice nothing, and the member is begun when
// the process before has answered its last request. A disk that is full again at once is not to have it do that again and again.

const (
	reviveFirst = 5 * time.Second  // for how long there is to be room
	reviveMost  = 10 * time.Minute // the longest of it, where the disk was full again each time
	reviveCalm  = time.Hour        // after which nothing is held against the disk
)

// revivals are how often this box has begun anew for want of room, one soon after the other.
type revivals struct {
	Times int       `json:"times,omitempty"`
	Last  time.Time `json:"last,omitzero"`
}

// after is another one.
func (r revivals) after(now time.Time) revivals {
	if now.Sub(r.Last) > reviveCalm {
		r.Times = 0
	}
	return revivals{r.Times + 1, now}
}

// wait is for how long there is to be room before the next one.
func (r revivals) wait(now time.Time) time.Duration {
	if now.Sub(r.Last) > reviveCalm {
		return reviveFirst
	}
	return min(reviveFirst<<min(r.Times, 20), reviveMost)
}

// lacksRoom notes that this box's member of etcd ended since its disk is full; false: that is not why.
func (s *seat) lacksRoom(err error) bool {
	if !errors.Is(err, member.ErrFull) {
		return false
	}
	s.roomy = time.Time{}
	s.noteFull(fmt.Errorf("this box's part of etcd: %w", err), adviceOf(err)+"; it comes back by itself then")
	return true
}

func (s *seat) noteFull(err error, hint string) {
	why := error(hinted{err, hint})
	s.full.Store(&why)
	s.log.Error("this box keeps no part of etcd for now", "error", err, "hint", hint)
}

// revive has another process take over where there has been room for long enough.
func (s *seat) revive(ctx context.Context) {
	now := time.Now()
	if room, err := member.Room(s.dir); err != nil || room < member.NeededRoom {
		s.roomy = time.Time{}
		return
	}
	if s.roomy.IsZero() {
		s.roomy = now
	}
	s.mu.Lock()
	wait := s.kept.Revivals.wait(now)
	s.mu.Unlock()
	d := s.life.Load()
	if now.Sub(s.roomy) < wait || d == nil {
		return
	}
	s.roomy = time.Time{} // where nothing comes of it
	if !sameProgram(s.Command) {
		s.noteFull(errors.New("this box's part of etcd has ended: its disk was full"), "there is room again, and another program is at the daemon's path by now: palisade restart has it take over")
		return
	}
	if err := s.update(func(r *seatRecord) { r.Revivals = r.Revivals.after(now) }); err != nil {
		s.log.Warn("this box's part of etcd is not begun again yet", "error", err)
		return
	}
	go func() { // it ends what this is a part of
		if _, err := d.restart(ctx, "its part of etcd"); err != nil && ctx.Err() == nil && !errors.Is(err, errRestarting) {
			s.noteFull(fmt.Errorf("this box's part of etcd has ended: its disk was full; there is room again, and the daemon was not replaced: %w", err), adviceOf(err))
		}
	}()
}

// sameProgram tells whether what would be started is what runs here. When another version begins its owner says.
func sameProgram(command []string) bool {
	if len(command) == 0 {
		return true // it cannot be replaced, and says so
	}
	runs, err := os.Stat("/proc/self/exe")
	there, err2 := os.Stat(command[0])
	return err == nil && err2 == nil && os.SameFile(runs, there)
}
