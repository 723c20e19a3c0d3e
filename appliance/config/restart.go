package config

import (
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Restart is how a daemon is replaced by its successor.
type Restart struct {
	Grace    time.Duration `yaml:"grace"`    // for requests that the old process is answering
	Patience time.Duration `yaml:"patience"` // for the new one to be ready; then the old one goes on
}

func defaultRestart() Restart { return Restart{Grace: 10 * time.Minute, Patience: time.Minute} }

func (r Restart) check() (ps catalog.Problems) {
	if r.Grace < 0 {
		ps = append(ps, problem("restart.grace", "cannot be negative", "like 10m; 0s cuts off what is being answered"))
	}
	if r.Patience < time.Second {
		ps = append(ps, problem("restart.patience", "is too short for anything to start", "like 1m"))
	}
	return ps
}
