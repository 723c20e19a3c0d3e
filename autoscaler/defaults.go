package autoscaler

import "time"

// What is meant where nothing is said.
const (
	DefaultMin            = 1
	DefaultMax            = 8
	DefaultScaleDownDelay = 2 * time.Minute
	DefaultCooldown       = 300 * time.Second
	DefaultStableWindow   = time.Minute
	DefaultPanicWindow    = 6 * time.Second
	DefaultPanicAt        = 2.0
)

// DefaultPolicy is a service's before its owner says anything: it scales nothing, and holds what a first rule will need.
func DefaultPolicy() Policy {
	return Policy{Min: DefaultMin, Max: DefaultMax, ScaleDownDelay: DefaultScaleDownDelay}
}

// Fill sets what is not said: no maximum is DefaultMax, or Min where that is more. It gives rules no ids.
func (p *Policy) Fill() {
	if p.Max == 0 {
		p.Max = max(DefaultMax, p.Min)
	}
	if p.ScaleDownDelay == 0 {
		p.ScaleDownDelay = DefaultScaleDownDelay
	}
	for i := range p.Rules {
		p.Rules[i].fill()
	}
}

func (r *Rule) fill() {
	switch r.Kind {
	case KindStep:
		if r.Cooldown == 0 {
			r.Cooldown = DefaultCooldown
		}
		if r.StepSize == 0 {
			r.StepSize = 1
			if r.Comparator == LessThan || r.Comparator == LessThanOrEqual {
				r.StepSize = -1
			}
		}
	case KindTarget:
		if r.StableWindow == 0 {
			r.StableWindow = DefaultStableWindow
		}
		if r.PanicWindow == 0 {
			r.PanicWindow = min(DefaultPanicWindow, r.StableWindow/2)
		}
		if r.PanicAt == 0 {
			r.PanicAt = DefaultPanicAt
		}
	case KindSchedule:
		if r.Zone == "" {
			r.Zone = "UTC"
		}
	}
}
