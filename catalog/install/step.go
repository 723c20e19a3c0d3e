package install

import (
	"slices"
	"time"
)

// Step is one part of an install. Each can be done again: what is there already is found and kept.
type Step string

// The steps, in their order.
const (
	StepResolve   Step = "resolve"   // the recipe is found
	StepLicense   Step = "license"   // it was accepted, and the secrets that it takes are here
	StepPlan      Step = "plan"      // which variant runs where
	StepDownload  Step = "download"  // its files are here, each verified
	StepFolder    Step = "folder"    // a revision of the model has them
	StepImage     Step = "image"     // the engine's image is here
	StepService   Step = "service"   // the service is made, or told to run the new revision
	StepStart     Step = "start"     // it answers its probes
	StepTest      Step = "test"      // it answers a request as the recipe says
	StepCalibrate Step = "calibrate" // how fast it is on this box
)

// Progress of a step.
const (
	Waiting   = "WAITING"
	Working   = "WORKING"
	Finished  = "FINISHED"
	Skipped   = "SKIPPED"
	Broken    = "FAILED"
	Abandoned = "CANCELLED"
)

// StepState is how far one step is.
type StepState struct {
	Step      Step
	Status    string
	Note      string // what came of it, or why it failed or was skipped
	StartedAt time.Time
	EndedAt   time.Time
}

// stepsOf are those that a wish takes.
func stepsOf(w Wish) []Step {
	all := []Step{StepResolve, StepLicense, StepPlan, StepDownload, StepFolder, StepImage, StepService, StepStart, StepTest, StepCalibrate}
	if w.Kind == KindRollback {
		return []Step{StepService, StepStart, StepTest}
	}
	return slices.DeleteFunc(all, func(s Step) bool {
		switch s {
		case StepImage, StepService, StepStart, StepTest:
			return w.NoService
		case StepCalibrate:
			return w.NoService || w.NoCalibrate
		}
		return false
	})
}

// begin is the state of an install that begins, or begins again: nothing that was found out before is trusted but what is on
// the disk, which each step finds by itself.
func (s State) begin(w Wish) State {
	next := State{Status: Running, Attempt: s.Attempt + 1, Service: s.Service, Made: s.Made, Kept: s.Kept, KeptOf: s.KeptOf}
	for _, step := range stepsOf(w) {
		next.Steps = append(next.Steps, StepState{Step: step, Status: Waiting})
	}
	return next
}

// next is the step that is to be done; false: all are.
func (s State) next() (Step, bool) {
	for _, one := range s.Steps {
		if one.Status == Waiting || one.Status == Working {
			return one.Step, true
		}
	}
	return "", false
}

func (s State) at(step Step) int {
	return slices.IndexFunc(s.Steps, func(one StepState) bool { return one.Step == step })
}

// start marks a step as being worked at. One that was, before a crash, keeps the time at which it began.
func (s State) start(step Step, now time.Time) State {
	s.Steps = slices.Clone(s.Steps)
	one := &s.Steps[s.at(step)]
	if one.Status != Working {
		one.Status, one.StartedAt = Working, now
	}
	return s
}

// finish marks a step as done, or as one that there was nothing to do for, and the install when it was the last.
func (s State) finish(step Step, status, note string, now time.Time) State {
	s.Steps = slices.Clone(s.Steps)
	one := &s.Steps[s.at(step)]
	one.Status, one.Note, one.EndedAt = status, note, now
	if _, more := s.next(); !more {
		s.Status, s.EndedAt = Done, now
	}
	return s
}

// fail ends the install at a step.
func (s State) fail(step Step, why, hint string, now time.Time) State {
	return s.stop(Failed, step, why, hint, now)
}

// cancel ends the install because somebody wished it.
func (s State) cancel(by string, now time.Time) State {
	step, _ := s.next()
	return s.stop(Cancelled, step, "cancelled by "+by, "", now)
}

func (s State) stop(status Status, step Step, why, hint string, now time.Time) State {
	s.Steps = slices.Clone(s.Steps)
	if i := s.at(step); i >= 0 {
		s.Steps[i].Status, s.Steps[i].Note, s.Steps[i].EndedAt = Broken, why, now
		if status == Cancelled {
			s.Steps[i].Status = Abandoned
		}
	}
	s.Status, s.Error, s.Hint, s.EndedAt = status, why, hint, now
	return s
}

// Step is the one that is being worked at, or at which it ended; empty: it is through.
func (s State) Step() Step {
	for _, one := range s.Steps {
		if one.Status != Finished && one.Status != Skipped {
			return one.Step
		}
	}
	return ""
}
