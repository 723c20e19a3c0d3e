package router

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// models answers GET /v1/models and GET /v1/models/ID.
func (x *exchange) models(id string) *Refusal {
	if x.call.method != http.MethodGet && x.call.method != http.MethodHead {
		f := methodNotAllowed("Models can only be read.")
		f.allow = "GET, HEAD"
		return f
	}
	if id == "" {
		services, refusal := listing(x.table, x.who)
		if refusal != nil {
			return refusal
		}
		list := modelList{Object: "list", Data: make([]modelEntry, 0, len(services))}
		for _, s := range services {
			list.Data = append(list.Data, entryOf(s, s.Name))
		}
		x.writeJSON(list)
		return nil
	}
	name, err := url.PathUnescape(id)
	if err != nil {
		name = id
	}
	s, refusal := admit(x.table.byModel[name], x.who, x.address, name)
	if refusal != nil {
		return naming(refusal, x.table, x.who, name)
	}
	x.writeJSON(entryOf(s, name))
	return nil
}

type modelList struct {
	Object string       `json:"object"`
	Data   []modelEntry `json:"data"`
}

type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func entryOf(s *service, id string) modelEntry {
	e := modelEntry{ID: id, Object: "model", OwnedBy: orElse(s.Project, "palisade")}
	if !s.CreatedAt.IsZero() {
		e.Created = s.CreatedAt.Unix()
	}
	return e
}

func (x *exchange) writeJSON(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		x.refuse(&Refusal{Status: http.StatusInternalServerError, Type: serverError, Message: "The answer could not be written."})
		return
	}
	x.respond(http.StatusOK, []header{{"Content-Type", "application/json"}}, append(b, '\n')) // the line's end is for people with curl
}
