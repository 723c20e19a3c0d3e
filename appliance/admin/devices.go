package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// boxes are the nodes by name; none where there is no pool.
func (s *server) boxes() []Box {
	if s.Pool == nil {
		return nil
	}
	boxes := s.Pool.Boxes()
	slices.SortFunc(boxes, func(a, b Box) int { return strings.Compare(a.State.Name(), b.State.Name()) })
	return boxes
}

func (s *server) listNodes(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	return respondPage(c, p, s.nodes(), func(n api.Node) string { return n.Name })
}

func (s *server) nodes() []api.Node {
	items := []api.Node{}
	for _, b := range s.boxes() {
		items = append(items, node(b))
	}
	return items
}

// devices are all of the appliance's, in order.
func (s *server) devices() []api.Device {
	boxes := s.boxes()
	return devices(boxes, s.whoHolds(boxes))
}

// whoHolds names the sessions that hold something of boxes, of every project, by id. One that has ended may still be leaving.
func (s *server) whoHolds(boxes []Box) map[string]holderName {
	names, held := map[string]holderName{}, map[string]bool{}
	for _, b := range boxes {
		for _, c := range b.Claims {
			held[c.Session] = true
		}
	}
	if len(held) == 0 {
		return names
	}
	services := s.serviceNames("")
	s.Sessions.EachSession("", sessions.SessionFilter{IDs: held}, func(v *sessions.Session) {
		names[v.ID] = holderName{name: v.Name, project: v.Project, service: services[v.ServiceID]}
	})
	return names
}

func (s *server) listDevices(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	type numbered struct {
		api.Device
		key string
	}
	items := []numbered{}
	for i, d := range s.hidden(c, s.devices()) {
		items = append(items, numbered{d, fmt.Sprintf("%s\x00%09d\x00%s", d.Node, i, d.ID)})
	}
	return respondPage(c, p, items, func(d numbered) string { return d.key })
}

// anotherProject stands for what is in a project that who asks has no part in.
const anotherProject = "(another project)"

// hidden are devices without the names of those who hold them in projects that who asks has no part in.
func (s *server) hidden(c *gin.Context, all []api.Device) []api.Device {
	a := actorOf(c.Request.Context())
	for i := range all {
		holders := slices.Clone(all[i].Holders)
		for j, h := range holders {
			if !s.rights.Sees(a, h.Project) {
				holders[j].Session, holders[j].Name, holders[j].Project, holders[j].Service = "", anotherProject, "", ""
			}
		}
		all[i].Holders = holders //nolint:gosec // i is of all
	}
	return all
}

// findDevice returns the device that the path names.
func (s *server) findDevice(c *gin.Context, p *params) (api.Device, error) {
	if p.err != nil {
		return api.Device{}, p.err
	}
	return chooseDevice(s.devices(), c.Param("id"))
}

// leastPrefix is how much of an id must be given.
const leastPrefix = 4

// chooseDevice returns the one that a word means. In order:
//  1. an id or a ref (cuda:0), where just one device has it;
//  2. a ref without its node, where just one node has such a device;
//  3. the beginning of an id, of 4 characters at least, where just one begins so.
func chooseDevice(all []api.Device, word string) (api.Device, error) {
	for _, fits := range []func(api.Device) bool{
		func(d api.Device) bool { return d.ID == word || d.Ref == word },      // 1
		func(d api.Device) bool { return strings.HasSuffix(d.Ref, "/"+word) }, // 2
		func(d api.Device) bool { // 3
			return len(word) >= leastPrefix && strings.HasPrefix(strings.ToLower(d.ID), strings.ToLower(word))
		},
	} {
		var found []api.Device
		for _, d := range all {
			if fits(d) {
				found = append(found, d)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return api.Device{}, ambiguous(word, found)
		}
	}
	p := api.NewProblem(api.KindNotFound, http.StatusNotFound, "device %q not found", word)
	p.Hint = "no accelerator was found; `palisade doctor` says why"
	var known []string
	for _, d := range all {
		known = append(known, d.Ref)
	}
	if len(known) > 0 {
		p.Hint = "there are " + strings.Join(clipped(known, 16), ", ")
	}
	return api.Device{}, p
}

// clipped keeps a list short enough to read.
func clipped(words []string, most int) []string {
	if len(words) <= most {
		return words
	}
	return append(slices.Clone(words[:most]), fmt.Sprintf("and %d more", len(words)-most))
}

func ambiguous(word string, found []api.Device) error {
	var words []string
	for _, d := range found {
		words = append(words, d.Ref+" ("+d.ID+")")
	}
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%q may mean %d devices", word, len(found))
	p.Hint = "name one of " + strings.Join(clipped(words, 8), ", ")
	return p
}

func (s *server) getDevice(c *gin.Context) error {
	d, err := s.findDevice(c, query(c))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.hidden(c, []api.Device{d})[0])
}

func (s *server) fenceDevice(c *gin.Context) error {
	d, err := s.findDevice(c, query(c))
	if err != nil {
		return err
	}
	var in api.Fence
	if err := decode(c, &in); err != nil {
		return err
	}
	in.Reason = strings.TrimSpace(in.Reason)
	if in.Reason == "" || len(in.Reason) > maxReason {
		return badField("reason", "", "one sentence is needed, of %d bytes at most: it is shown to those whose sessions wait", maxReason)
	}
	return s.changeDevice(c, d, func(ctx context.Context, by string) error {
		return s.Pool.Fence(ctx, Device{d.Node, d.ID}, in.Reason, by)
	})
}

// maxReason bounds a sentence that is kept and shown.
const maxReason = 1000

func (s *server) unfenceDevice(c *gin.Context) error {
	d, err := s.findDevice(c, query(c))
	if err != nil {
		return err
	}
	return s.changeDevice(c, d, func(ctx context.Context, by string) error { return s.Pool.Unfence(ctx, Device{d.Node, d.ID}, by) })
}

// changeDevice makes a change and answers with the device as it is then.
func (s *server) changeDevice(c *gin.Context, d api.Device, change func(ctx context.Context, by string) error) error {
	ctx := c.Request.Context()
	if err := change(ctx, actorOf(ctx).Name); err != nil {
		return err
	}
	for _, after := range s.devices() {
		if after.Node == d.Node && after.ID == d.ID {
			return respond(c, http.StatusOK, after)
		}
	}
	return fmt.Errorf("device %s went in between: %w", d.Ref, accel.ErrNoDevice)
}

// The bounds of a history that is asked for.
const (
	defaultPeriod = time.Hour
	maxPoints     = 20000
)

func (s *server) deviceHistory(c *gin.Context) error {
	p := query(c, "from", "to", "step")
	d, err := s.findDevice(c, p)
	if err != nil {
		return err
	}
	now := s.Now()
	to := p.instant("to", now, now)
	period := Period{From: p.instant("from", now, to.Add(-defaultPeriod)), To: to, Step: p.seconds("step")}
	switch {
	case p.err != nil:
		return p.err
	case !period.From.Before(period.To):
		return badField("?from", "", "%s does not lie before %s", period.From.UTC().Format(time.RFC3339), period.To.UTC().Format(time.RFC3339))
	case period.Step > 0 && period.To.Sub(period.From)/period.Step > maxPoints:
		return badField("?step", "ask for a longer step, or for less time", "%s is too fine: that is more than %d points", period.Step, maxPoints)
	}
	points, step, err := s.Pool.History(c.Request.Context(), Device{d.Node, d.ID}, period)
	if err != nil {
		return err
	}
	out := api.DeviceHistory{Device: d.ID, From: period.From.UTC(), To: period.To.UTC(), Step: step.Seconds(), Points: []api.DevicePoint{}}
	for _, point := range points {
		out.Points = append(out.Points, api.DevicePoint{
			At: point.At.UTC(), Utilization: point.Utilization, MemoryUsed: point.MemoryUsed, Power: point.Power, Temperature: point.Temperature,
		})
	}
	return respond(c, http.StatusOK, out)
}

// instant reads a time: RFC 3339, or how long before now.
func (p *params) instant(name string, now, otherwise time.Time) time.Time {
	word := p.text(name)
	if word == "" {
		return otherwise
	}
	if at, err := time.Parse(time.RFC3339, word); err == nil {
		return at
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(word, "-")); err == nil && d >= 0 {
		return now.Add(-d)
	}
	if p.err == nil {
		p.err = badField("?"+name, "", "%q: must be a time such as %s, or how long before now, such as 90m", word, now.UTC().Format(time.RFC3339))
	}
	return otherwise
}

// seconds reads a duration: a number of seconds, or 15s, 5m. 0 where there is none.
func (p *params) seconds(name string) time.Duration {
	word := p.text(name)
	if word == "" {
		return 0
	}
	d, err := time.ParseDuration(word)
	if n, bad := strconv.ParseFloat(word, 64); bad == nil && n >= 1 && n <= maxSeconds {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if (err != nil || d < time.Second) && p.err == nil {
		p.err = badField("?"+name, "", "%q: must be a number of seconds, 1 or more, or a duration such as 15s or 5m", word)
	}
	return d
}

// byIndex is the order in which a vendor's tools list devices, slices after what they are cut from.
func byIndex(a, b api.Device) int {
	return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Family, b.Family), slices.Compare(refNumbers(a.Ref), refNumbers(b.Ref)), strings.Compare(a.ID, b.ID))
}

// refNumbers are the numbers at the end of a ref.
func refNumbers(ref string) []int {
	var numbers []int
	for _, word := range strings.Split(ref, ":")[1:] {
		n, _ := strconv.Atoi(word)
		numbers = append(numbers, n)
	}
	return numbers
}
