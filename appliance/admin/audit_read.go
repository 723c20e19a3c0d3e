package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
)

func auditRecord(r *audit.Record) api.AuditRecord {
	out := api.AuditRecord{
		Seq: r.Seq, At: r.At.UTC(), Actor: r.Actor, Via: r.Via, Key: r.Key, From: r.From, Agent: r.Agent, Project: r.Project, Action: r.Action,
		Target: r.Target, Status: r.Status, Error: r.Error, Request: r.Request, Detail: r.Detail, Hash: r.Hash, Changes: []api.AuditChange{},
	}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, api.AuditChange{Path: c.Path, Before: changedValue(c.Before), After: changedValue(c.After)})
	}
	return out
}

// changedValue leaves out what is not there: an empty text is no JSON.
func changedValue(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

// auditQuery reads what records are asked for: of the project, or of all.
func (s *server) auditQuery(p *params) (audit.Query, error) {
	q := audit.Query{Actor: p.text("actor"), Action: p.text("action"), Target: p.text("target"), Project: p.project()}
	if p.flag("all") {
		q.Project = ""
	}
	now := s.Now().In(p.zone("zone"))
	if word := p.text("from"); word != "" {
		q.From, _ = p.span("from", word, now)
	}
	if word := p.text("to"); word != "" {
		_, q.To = p.span("to", word, now)
	}
	return q, p.err
}

// ofProjects begin the targets of records that the owners of a project may see. What was done to the box itself is kept with the
// project default too, and is for administrators.
var ofProjects = []string{"services", "sessions", "tokens", "pipelines", "jobs", "installs", "models", "folders", "folder-trash"}

// auditSeen tells which records of a project who asks may see.
func (s *server) auditSeen(c *gin.Context) func(*audit.Record) bool {
	isAdmin := s.rights.grant(actorOf(c.Request.Context()), "").admin
	return func(r *audit.Record) bool {
		head, rest, _ := strings.Cut(r.Target, "/")
		if head == "projects" {
			name, _, _ := strings.Cut(rest, "/")
			return isAdmin || name != "" && name == r.Project
		}
		return isAdmin || slices.Contains(ofProjects, head)
	}
}

// listAudit answers with records, newest first.
func (s *server) listAudit(c *gin.Context) error {
	p := query(c, "actor", "action", "target", "from", "to", "zone", "all", "limit", "cursor")
	q, err := s.auditQuery(p)
	if err != nil {
		return err
	}
	limit := p.number("limit", api.DefaultLimit, 1, api.MaxLimit)
	if cursor := p.text("cursor"); cursor != "" {
		if q.Before, err = strconv.ParseInt(cursor, 10, 64); err != nil || q.Before < 1 {
			return badField("?cursor", "take it from the \"next\" of an answer", "%q is no cursor", cursor)
		}
	}
	if p.err != nil {
		return p.err
	}
	q.Newest, q.Limit = true, limit+1
	records, err := s.Audit.List(c.Request.Context(), q)
	if err != nil {
		return err
	}
	page := api.Page[api.AuditRecord]{Items: []api.AuditRecord{}}
	sees := s.auditSeen(c)
	for i := range records[:min(limit, len(records))] {
		if !sees(&records[i]) {
			continue
		}
		page.Items = append(page.Items, auditRecord(&records[i]))
	}
	if len(records) > limit {
		page.Next = strconv.FormatInt(records[limit-1].Seq, 10)
	}
	return respond(c, http.StatusOK, page)
}

// exportAudit sends records as lines of JSON, oldest first, each with its text to the byte: who has them can check the chain
// without this program.
func (s *server) exportAudit(c *gin.Context) error {
	p := query(c, "actor", "action", "target", "from", "to", "zone", "all")
	q, err := s.auditQuery(p)
	if err != nil {
		return err
	}
	c.Header("Content-Type", "application/x-ndjson")
	c.Writer.WriteHeader(http.StatusOK)
	enc := json.NewEncoder(c.Writer)
	enc.SetEscapeHTML(false)
	sees := s.auditSeen(c)
	return s.Audit.Each(c.Request.Context(), q, func(r *audit.Record) error {
		if !sees(r) {
			return nil
		}
		return enc.Encode(api.AuditLine{Seq: r.Seq, Prev: r.Prev, Hash: r.Hash, Entry: string(r.Text)})
	})
}

func (s *server) verifyAudit(c *gin.Context) error {
	var in api.AuditVerify
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	var known []audit.Head
	if in.Head != "" {
		head, err := audit.ParseHead(in.Head)
		if err != nil {
			return badField("head", "it is what an earlier look has answered with: 17:9f86d0...", "%v", err)
		}
		known = append(known, head)
	}
	v, err := s.Audit.Verify(c.Request.Context(), known...)
	if err != nil {
		return fmt.Errorf("verifying the audit record: %w", err)
	}
	out := api.AuditVerdict{Good: v.Fault == "", Records: v.Records, Fault: v.Fault, At: v.At}
	if v.Head.Seq > 0 {
		out.Head = v.Head.String()
	}
	return respond(c, http.StatusOK, out)
}
