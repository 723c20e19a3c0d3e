package admintest

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

// ForeseeService implements admin.Services: four devices are free, and what "missing" and "doubtful" run into is known before.
func (m *Manager) ForeseeService(_ context.Context, req sessions.ServiceRequest) (sessions.ServiceForecast, error) {
	var f sessions.ServiceForecast
	if req.Recipe.Image == "missing" {
		return f, fmt.Errorf("%w: %w", sessions.ErrInvalid, catalog.Problems{{Severity: catalog.SeverityError, File: "model-definition.yaml", Line: 3, Column: 5, Field: "models[0].prot", Message: "unknown key", Hint: "did you mean port?"}})
	}
	slots, err := accel.ParseSlots(req.Recipe.Resources)
	if err != nil {
		return f, err
	}
	f = sessions.ServiceForecast{Demand: sessions.Demand{Slots: slots}, Placed: req.Replicas, Nodes: []string{"box"}, Fits: "it needs 5 GiB, and fits"}
	if req.Recipe.Image == "doubtful" {
		f.Warnings = catalog.Problems{{Severity: catalog.SeverityWarning, Field: "resources", Message: "it fits in part"}}
	}
	if slots["cuda.device"] > 400 {
		f.Placed, f.Nodes = 0, nil
		f.Waits = []sessions.Wait{{Predicate: sessions.PredicateResources, Sentence: "waits for " + req.Recipe.Resources["cuda.device"] + " cuda.device: 4 of 8 free", Would: "would fit with 4"}}
	}
	return f, nil
}
