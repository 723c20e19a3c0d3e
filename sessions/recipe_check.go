package sessions

import (
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/variants"
)

// CheckRecipe reports what is wrong with a service that is to be made later, of a folder that is not there yet: its name, image,
// resources, priority, and what of the runtime variant does not depend on files. The recipe names no folder. Field is as the API
// calls it.
func (m *Manager) CheckRecipe(name string, priority *int, r Recipe) (ps catalog.Problems) {
	wrong := func(field string, err error) {
		if err != nil {
			message := strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
			ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: field, Message: message})
		}
	}
	wrong("name", checkName(name))
	wrong("image", m.checkImage(r.Image))
	if priority != nil {
		wrong("priority", checkPriority(*priority))
	}
	demand, err := demandOf(Service{}, r)
	if err == nil {
		err = everFits(m.Ledger.Pool(), demand, m.Queueing.Options)
	}
	wrong("resources", err)
	req := variants.Request{Variant: r.Variant, ServiceName: name, Env: r.Env, Mount: r.MountDestination}
	if req.Variant == "" {
		req.Variant = variants.Custom
	}
	_, found := m.Variants.Resolve(req)
	for _, p := range found {
		if p.Severity == catalog.SeverityError && p.Field != "model_folder" {
			ps = append(ps, p)
		}
	}
	return ps
}
