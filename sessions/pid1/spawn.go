package pid1

import (
	"fmt"
	"syscall"
)

// Fork starts a program, as syscall.ForkExec does. host is its process id as the box sees it, 0 where that
// cannot be seen.
type Fork func(path string, argv []string, attr *syscall.ProcAttr) (pid, host int, err error)

// ForkExec is the plain Fork.
func ForkExec(path string, argv []string, attr *syscall.ProcAttr) (pid, host int, err error) {
	pid, err = syscall.ForkExec(path, argv, attr)
	return pid, 0, err
}

// Spawner starts the session's processes, all from one thread: what that thread is and may, all that it
// starts is and may. The other threads of the first process are and may what that is and may.
type Spawner struct {
	jobs chan func()
	fork Fork
	reap *Reaper
}

// NewSpawner returns one whose thread is to be given to Loop.
func NewSpawner(reap *Reaper, fork Fork) *Spawner {
	return &Spawner{jobs: make(chan func()), fork: fork, reap: reap}
}

// Loop does what is asked for on the calling thread, which is locked, until Close.
func (s *Spawner) Loop() {
	for job := range s.jobs {
		job()
	}
}

// Close ends Loop. Nothing may be asked for any more.
func (s *Spawner) Close() { close(s.jobs) }

// Do runs fn on the spawner's thread: with a session's rights.
func (s *Spawner) Do(fn func()) {
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		fn()
	}
	<-done
}

// start starts c. Its error is a sentence for the owner of the session.
func (s *Spawner) start(c Command) (ch *Child, err error) {
	s.Do(func() {
		path, attr, lookErr := c.prepare()
		if err = lookErr; err != nil {
			return
		}
		ch, err = s.reap.start(func() (int, int, error) { return s.fork(path, c.Argv, attr) })
		if err != nil {
			ch, err = nil, fmt.Errorf("command %s: %w", path, execError(err))
		}
	})
	return ch, err
}
