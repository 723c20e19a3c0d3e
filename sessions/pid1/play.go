package pid1

import (
	"fmt"

	"github.com/palisade-run/palisade/variants"
)

// Play runs the session: all pre-start actions, then all processes, and returns when the first process
// has ended, or another has failed, or something did not start.
func (c *Crew) Play() Ending {
	sockets := c.listen()
	for _, p := range c.Processes {
		for k := range p.PreStart {
			c.begin(nil)
			if err := c.act(p, k); err != nil {
				return c.failed(p, fmt.Errorf("pre-start action %d, %s: %w", k+1, p.PreStart[k].Name, err))
			}
		}
	}
	type end struct {
		i  int
		ch *Child
	}
	ends := make(chan end, len(c.Processes))
	for i, p := range c.Processes {
		env := c.EnvOf(p.Env)
		if p.Socket != 0 { // whatever its owner has set
			delete(env, EnvSocket)
		}
		if sockets[i] != nil {
			env[EnvSocket] = "1"
		}
		ch, err := c.Launch(Command{
			Argv: p.Argv, Fallback: p.ShellFallback, Env: env, Dir: p.WorkDir,
			Files: [3]uintptr{c.Null.Fd(), c.Out.Fd(), c.Out.Fd()}, Socket: sockets[i],
		})
		if sockets[i] != nil {
			sockets[i].Close()
		}
		if err != nil {
			return c.failed(p, err)
		}
		if i == 0 {
			c.begin(ch)
		}
		go func() {
			<-ch.Done
			ends <- end{i, ch}
		}()
	}
	for e := range ends {
		if e.i == 0 || !e.ch.Status.Exited() || e.ch.Status.ExitStatus() != 0 {
			return c.note(Ending{What: called(c.Processes[e.i], len(c.Processes)), Status: e.ch.Status})
		}
	}
	return Ending{} // not reached: ends is never closed
}

// begin tells, once, that something runs, and when the first process does.
func (c *Crew) begin(first *Child) {
	c.mu.Lock()
	tell := first != nil || !c.begun
	c.begun = true
	c.mu.Unlock()
	if tell {
		c.Begun(first)
	}
}

func (c *Crew) failed(p variants.Process, err error) Ending {
	e := c.note(Ending{What: "the start", Failed: err.Error()})
	if e.Stopped { // that, and not what it led to, is how it ended
		e.Failed, e.Status = "", 0
		return e
	}
	if len(c.Processes) > 1 && p.Name != "" {
		e.Failed = "process " + p.Name + ": " + e.Failed
	}
	return e
}

func called(p variants.Process, of int) string {
	if of == 1 || p.Name == "" {
		return "its process"
	}
	return "its process " + p.Name
}
