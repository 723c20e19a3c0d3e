package admintest

import (
	"context"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/sessions"
)

// Serve makes a service in the default project.
func (a *Appliance) Serve(ctx context.Context, name string) error {
	_, err := a.Manager.CreateService(ctx, sessions.ServiceRequest{
		Name: name, Project: admin.DefaultProject, Replicas: 1, Recipe: sessions.Recipe{Image: "host", Variant: "vllm"},
	})
	return err
}

// Traffic sends ten requests to every service of the default project, as if they had just been answered: one is under way,
// one has failed, one was answered from another's answer. Their captures are kept.
func (a *Appliance) Traffic(now time.Time) {
	var rows []record.LiveRow
	keep := map[string]int{}
	for _, v := range a.Manager.Services(admin.DefaultProject) {
		rows = append(rows, record.LiveRow{ID: v.ID, Name: v.Name, Project: v.Project, Routes: []string{"route-1"}})
		keep[v.ID] = 5
	}
	a.Live.Set(now, rows)
	a.Capture.Set(keep)
	for _, row := range rows {
		a.Traces.came(row.ID, now)
		service := a.Live.Of(row.ID)
		for i := range 10 {
			a.request(service, row, i, now)
		}
		service.Begin()
		service.Waits(1)
	}
}

func (a *Appliance) request(service *record.LiveService, row record.LiveRow, i int, now time.Time) {
	route, kept := service.Route("route-1"), a.Capture.Of(row.ID).Begin(now)
	service.Begin()
	route.Begin()
	did := &record.Record{
		ID: fmt.Sprintf("req-%d", i), ServiceID: row.ID, Service: row.Name, Route: "route-1", Model: row.Name, Status: 200, Kind: "chat",
		First: 50 * time.Millisecond, Took: time.Second, Usage: record.Usage{Prompt: 100, Completion: 30}, TokenID: "tok-1", TokenName: "laptop",
	}
	if i == 7 {
		did.Status, did.Fault, did.First = 502, "broken", 0
	}
	if i == 6 {
		did.Repeated, did.Route = true, ""
	}
	kept.Line("POST", "/v1/chat/completions?api_key=hush")
	kept.Field("Authorization", "Bearer hush")
	kept.Field("Content-Type", "application/json")
	kept.Body([]byte(`{"model":"demo","messages":[{"role":"user","content":"Hello"}]}`))
	kept.AnswerField("Content-Type", "application/json")
	kept.AnswerBody([]byte(`{"choices":[]}`))
	if did.First > 0 {
		route.First(did.First)
	}
	service.End(route, did)
	kept.End(did)
}
