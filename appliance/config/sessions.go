package config

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/training/idle"
)

// Sessions is how people's sessions are treated.
type Sessions struct {
	// Idle ends interactive sessions that nobody uses.
	Idle Idle `yaml:"idle"`
}

// Idle are the limits of the box, and those of projects in their place. The fields are those of idle.Limits.
type Idle struct {
	Timeout     time.Duration          `yaml:"timeout"`
	Lifetime    time.Duration          `yaml:"max_lifetime"`
	Warning     time.Duration          `yaml:"warning"`
	Utilization idle.Utilization       `yaml:"utilization"`
	Projects    map[string]idle.Limits `yaml:"projects"`
}

// Config is the same in the words of the room that does it.
func (i Idle) Config() idle.Config {
	own := idle.Limits{Timeout: i.Timeout, Lifetime: i.Lifetime, Warning: i.Warning, Utilization: i.Utilization}
	return idle.Config{Limits: own, Projects: i.Projects}
}

func (s Sessions) check() (ps catalog.Problems) {
	ps = checkIdle("sessions.idle.", s.Idle.Config().Limits)
	for _, name := range slices.Sorted(maps.Keys(s.Idle.Projects)) {
		ps = append(ps, checkIdle("sessions.idle.projects."+name+".", s.Idle.Projects[name])...)
	}
	return ps
}

func checkIdle(field string, l idle.Limits) (ps catalog.Problems) {
	for _, d := range []struct {
		name  string
		d     time.Duration
		least time.Duration
	}{
		{"timeout", l.Timeout, 10 * time.Second}, {"max_lifetime", l.Lifetime, 10 * time.Second},
		{"warning", l.Warning, 0}, {"utilization.window", l.Utilization.Window, time.Minute},
	} {
		if d.d != 0 && d.d < d.least || d.d < 0 {
			ps = append(ps, problem(field+d.name, "is too short to work with", "at least "+d.least.String()+"; 0s is none"))
		}
	}
	for _, t := range []struct {
		name string
		part float64
	}{{"cpu", l.Utilization.CPU}, {"memory", l.Utilization.Memory}, {"device", l.Utilization.Device}} {
		if math.IsNaN(t.part) || t.part < 0 || t.part > 1 {
			ps = append(ps, problem(field+"utilization."+t.name, "must be a part of what is held", "from 0 to 1, such as 0.05; 0 leaves it out"))
		}
	}
	u := l.Utilization
	if u.Window > 0 && u.CPU == 0 && u.Memory == 0 && u.Device == 0 {
		ps = append(ps, problem(field+"utilization", "has a window and no threshold", "give cpu, memory or device, such as 0.05"))
	}
	return ps
}
