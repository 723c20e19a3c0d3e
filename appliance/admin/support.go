package admin

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// What a support bundle holds at most.
const (
	supportSessions = 500 // newest first
	supportBound    = 30 * time.Second
)

// supportReadMe says what is in a bundle, and what is not.
const supportReadMe = `A support bundle of Palisade: what helps others to find out what is wrong with a box.

version.json    versions, and what the program is built of
doctor.json     checks of the box
settings.json   settings that hold, without what is secret
nodes.json      boxes and what they have; devices.json: accelerators and who holds them; queue.json: who waits
services.json   services as they are wanted and as they are, without values of their environment
sessions.json   sessions, the newest first, without their commands
installs.json   installs of models
audit.json      head of the record of changes, and whether it is whole
log.txt         the last lines of the daemon's log that it keeps in memory

There are no tokens, keys, passwords, prompts, answers, files of folders, logs of sessions, or values of environments in it. Values
of environments that appear elsewhere (an error that quotes one) are taken out too. Look through it before you hand it on.
`

// supportBundle answers with a tar.gz. It is put together before the first byte goes out, so that a half one is an error.
func (s *server) supportBundle(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), supportBound)
	defer cancel()
	now := s.Now().UTC()
	raw, err := s.bundleOf(ctx, now)
	if err != nil {
		return err
	}
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="palisade-support-%s.tar.gz"`, now.Format("20060102-150405")))
	c.Data(http.StatusOK, "application/gzip", raw)
	return nil
}

func (s *server) bundleOf(ctx context.Context, now time.Time) ([]byte, error) {
	services, live := s.Services.Services(""), s.Sessions.Sessions("", sessions.SessionFilter{})
	clean := cleaner(services, live)
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	add := func(name string, content []byte) error {
		content = clean(content)
		if err := t.WriteHeader(&tar.Header{Name: "palisade-support/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: now}); err != nil {
			return fmt.Errorf("the support bundle: %s: %w", name, err)
		}
		_, err := t.Write(content)
		return err
	}
	if err := add("README.txt", []byte(supportReadMe)); err != nil {
		return nil, err
	}
	documents := s.supportDocuments(ctx, services, live)
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		raw, err := json.MarshalIndent(documents[name], "", "  ")
		if err != nil {
			return nil, fmt.Errorf("the support bundle: %s: %w", name, err)
		}
		if err := add(name, raw); err != nil {
			return nil, err
		}
	}
	lines := []byte("This daemon keeps no lines of its log: look where its standard error goes (journalctl -u palisade).\n")
	if s.LastLines != nil {
		lines = s.LastLines()
	}
	if err := add("log.txt", lines); err != nil {
		return nil, err
	}
	if err := cmp.Or(t.Close(), z.Close()); err != nil {
		return nil, fmt.Errorf("the support bundle: %w", err)
	}
	return out.Bytes(), nil
}

// supportDocuments are what is in a bundle, by name.
func (s *server) supportDocuments(ctx context.Context, services []sessions.ServiceView, live []sessions.Session) map[string]any {
	all := map[string]any{
		"version.json": api.About{Version: s.Version, Modules: modules()},
		"doctor.json":  s.Doctor(ctx),
		"audit.json":   s.auditHead(ctx),
	}
	if s.Settings != nil {
		all["settings.json"] = s.Settings()
	}
	shown := []api.Service{}
	for _, v := range services {
		one := s.service(v, nil, nil)
		one.Recipe.Environ = named(one.Recipe.Environ)
		shown = append(shown, one)
	}
	all["services.json"] = shown
	slices.SortFunc(live, func(a, b sessions.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	all["sessions.json"] = briefly(live[:min(len(live), supportSessions)])
	if s.Pool != nil {
		all["nodes.json"], all["devices.json"] = s.nodes(), s.devices()
	}
	waiting := []api.Waiting{}
	for i, w := range s.waiting() {
		waiting = append(waiting, queued(w, i+1, nil))
	}
	all["queue.json"] = waiting
	if s.Installs != nil {
		installs := []api.Install{}
		for _, v := range s.Installs.Installs("") {
			installs = append(installs, s.install(v))
		}
		all["installs.json"] = installs
	}
	return all
}

// auditHead says where the record of changes stands.
func (s *server) auditHead(ctx context.Context) any {
	if s.Audit == nil {
		return nil
	}
	v, err := s.Audit.Verify(ctx)
	if err != nil {
		return map[string]string{"error": err.Error()}
	}
	return v
}

// named keeps the names of variables alone.
func named(env map[string]string) map[string]string {
	out := map[string]string{}
	for name := range env {
		out[name] = notShown
	}
	return out
}

// brief is what a bundle tells of a session.
type brief struct {
	ID, Name, Project, Type, ServiceID, Image, Status, Reason, Result, Node string
	Exit                                                                    *api.Exit
	CreatedAt, StartedAt, EndedAt                                           *time.Time
}

func briefly(all []sessions.Session) []brief {
	out := []brief{}
	for i := range all {
		v := &all[i]
		one := brief{
			ID: v.ID, Name: v.Name, Project: v.Project, Type: string(v.Type), ServiceID: v.ServiceID, Image: v.Image, Status: string(v.Status), Reason: v.Reason, Result: string(v.Result),
			Exit: exitOut(v.Exit), CreatedAt: timePtr(v.CreatedAt), StartedAt: timePtr(v.StartedAt), EndedAt: timePtr(v.EndedAt),
		}
		if v.Claim != nil {
			one.Node = v.Claim.Node
		}
		out = append(out, one)
	}
	return out
}

// leaked is what secrets look like: tokens and keys of the appliance, of the hubs that models come from, and what stands behind
// words that say so.
var leaked = regexp.MustCompile(`\bpals?[-_][A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{16,}|\bnvapi-[A-Za-z0-9_-]{16,}|\bsk-[A-Za-z0-9_-]{16,}|(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}|AGE-SECRET-KEY-[A-Z0-9]+`)

// cleaner takes out of a text what is secret by its looks, and values of environments wherever they are quoted. Short ones
// stay: "1" is no secret, and would take the text apart.
func cleaner(services []sessions.ServiceView, live []sessions.Session) func([]byte) []byte {
	values := map[string]bool{}
	names := map[string]bool{} // of what is told anyway: some stand in environments too
	for _, v := range services {
		names[v.Name], names[v.ID], names[v.Project], names[v.ModelName] = true, true, true, true
	}
	for i := range live {
		v := &live[i]
		names[v.Name], names[v.ID], names[v.Project], names[v.Image], names[v.CreatedBy] = true, true, true, true, true
	}
	gather := func(env map[string]string) {
		for _, v := range env {
			if len(v) >= 6 && !names[v] && !strings.HasPrefix(v, "/") {
				values[v] = true
			}
		}
	}
	for _, v := range services {
		gather(v.Recipe.Env)
	}
	for i := range live {
		gather(live[i].Launch.Env)
	}
	var pairs []string
	for _, v := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) {
		pairs = append(pairs, v, "***")
		if quoted, err := json.Marshal(v); err == nil && string(quoted[1:len(quoted)-1]) != v {
			pairs = append(pairs, string(quoted[1:len(quoted)-1]), "***")
		}
	}
	replace := strings.NewReplacer(pairs...)
	return func(text []byte) []byte {
		return []byte(leaked.ReplaceAllString(replace.Replace(string(text)), "***"))
	}
}
