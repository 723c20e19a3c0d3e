package console

import (
	"cmp"
	"hash/fnv"
	"html/template"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// boxOnPage is a node with the pictures of its devices.
type boxOnPage struct {
	api.Node
	Cores template.HTML
	Cards []cardOnPage
}

// cardOnPage is a device, or one that is cut into slices, with its picture.
type cardOnPage struct {
	api.Device
	Picture template.HTML
	Rows    []holderOnPage
	Tone    string // of its health
}

// holderOnPage is who holds a part of a card.
type holderOnPage struct {
	api.Holder
	Colour int
	Of     string // ref of the slice; "" of the card itself
	Label  string
	Path   string
}

// colours that holders have: as many as the style sheet tells apart.
const holderColours = 6

// colourOf is the same for a service wherever it sits, and as long as it lives.
func colourOf(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int(h.Sum32() % holderColours)
}

// boxes puts devices onto their nodes. It is pure but for say, which is the viewer's language.
func boxes(nodes []api.Node, devices []api.Device, say func(string, ...any) string) []boxOnPage {
	var out []boxOnPage
	for _, n := range nodes {
		box := boxOnPage{Node: n, Cards: cards(devices, n.Name, say)}
		if n.CPU.Total > 0 {
			box.Cores = ui.Cores(say("accel.cores_picture", ui.Number(n.CPU.Total), ui.Number(max(n.CPU.Used, 0)), ui.Number(n.CPU.Taken)), n.CPU.Total, n.CPU.Taken, n.CPU.Used)
		}
		out = append(out, box)
	}
	return out
}

// cards are the devices of a node; slices are parts of the card that they are cut from.
func cards(devices []api.Device, node string, say func(string, ...any) string) []cardOnPage {
	slicesOf := map[string][]api.Device{}
	there := map[string]bool{}
	for _, d := range devices {
		there[d.ID] = true
	}
	var out []cardOnPage
	for _, d := range devices {
		if d.Parent != "" {
			slicesOf[d.Parent] = append(slicesOf[d.Parent], d)
		}
	}
	done := map[string]bool{}
	for _, d := range devices {
		switch {
		case d.Node != node:
		case d.Parent == "":
			out = append(out, card(d, slicesOf[d.ID], say))
		case !there[d.Parent] && !done[d.Parent]: // it is offered in slices alone
			done[d.Parent] = true
			whole := d
			whole.Name, _, _ = strings.Cut(d.Name, " MIG ")
			whole.Ref, whole.Holders, whole.MemoryTotal, whole.MemoryUsed, whole.Health, whole.Reason = cmp.Or(d.PCI, d.Family), nil, -1, -1, api.DeviceOK, ""
			whole.Utilization, whole.Temperature, whole.Power = d.Utilization, d.Temperature, d.Power
			out = append(out, card(whole, slicesOf[d.Parent], say))
		}
	}
	return out
}

func card(d api.Device, parts []api.Device, say func(string, ...any) string) cardOnPage {
	out := cardOnPage{Device: d, Tone: healthTone(d.Health)}
	b := ui.Board{Utilization: d.Utilization, Memory: -1, Tone: out.Tone}
	if len(parts) > 0 && d.MemoryTotal <= 0 {
		out.MemoryTotal, out.MemoryUsed = 0, 0
		for _, p := range parts {
			out.MemoryTotal += max(p.MemoryTotal, 0)
			out.MemoryUsed += max(p.MemoryUsed, 0)
		}
	}
	if out.MemoryTotal > 0 && out.MemoryUsed >= 0 {
		b.Memory = float64(out.MemoryUsed) / float64(out.MemoryTotal)
	}
	for _, h := range d.Holders {
		row := holderRow(h, "")
		out.Rows = append(out.Rows, row)
		b.Parts = append(b.Parts, ui.BoardPart{Label: row.Label, Title: say("accel.holds", row.Label, h.Share), Size: share(h.Share), Colour: row.Colour, Leaving: h.State == api.HolderLeaving})
	}
	for _, p := range parts {
		_, size, _ := strings.Cut(p.Name, " MIG ")
		name := cmp.Or(size, p.Ref)
		one := ui.BoardPart{Label: name, Title: say("accel.slice_free", name), Size: 1 / float64(len(parts)), Colour: -1, Wrong: p.Health != api.DeviceOK}
		if out.MemoryTotal > 0 && p.MemoryTotal > 0 {
			one.Size = float64(p.MemoryTotal) / float64(out.MemoryTotal)
		}
		for _, h := range p.Holders {
			row := holderRow(h, name)
			out.Rows = append(out.Rows, row)
			one.Label, one.Title, one.Colour, one.Leaving = row.Label, say("accel.holds", row.Label, name), row.Colour, h.State == api.HolderLeaving
		}
		b.Parts = append(b.Parts, one)
	}
	b.Title = say("accel.picture", d.Ref, d.Name, ui.Percent(known(d.Utilization)), len(out.Rows))
	out.Picture = b.Draw()
	return out
}

func holderRow(h api.Holder, of string) holderOnPage {
	row := holderOnPage{Holder: h, Of: of, Label: cmp.Or(h.Service, h.Name, h.Session), Path: "/sessions/" + url.PathEscape(h.Session)}
	if h.Service != "" {
		row.Path = "/services/" + url.PathEscape(h.Service)
	}
	if h.Project != "" {
		row.Path += "?" + url.Values{"project": {h.Project}}.Encode()
	}
	row.Colour = colourOf(row.Label)
	return row
}

// share reads what the API writes: 0.01 to 1.00.
func share(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return v
}

// known is what pictures take for a figure that a device cannot tell.
func known(v float64) float64 {
	if v < 0 {
		return math.NaN()
	}
	return v
}

func healthTone(health string) string {
	switch health {
	case api.DeviceLost:
		return "danger"
	case api.DeviceFenced, api.DeviceBusy:
		return "warning"
	}
	return ""
}

func acceleratorPages() []Page {
	return []Page{
		{Pattern: "/accelerators", Name: "accelerators/list", Section: "accelerators", Data: acceleratorsPage},
		{Pattern: "/accelerators/{id}", Name: "accelerators/show", Section: "accelerators", Data: acceleratorPage},
	}
}

func acceleratorActions() []Action {
	return []Action{
		{Pattern: "/accelerators/{id}/fence", Do: func(v *View) (Outcome, error) {
			d, err := v.API.FenceDevice(v.Context(), v.PathValue("id"), v.Field("reason"))
			return Outcome{Toast: v.Say("accel.was_fenced", d.Ref)}, err
		}},
		{Pattern: "/accelerators/{id}/unfence", Do: func(v *View) (Outcome, error) {
			d, err := v.API.UnfenceDevice(v.Context(), v.PathValue("id"))
			return Outcome{Toast: v.Say("accel.was_unfenced", d.Ref)}, err
		}},
	}
}

// acceleratorsData is all there is to run on, and who waits for it.
type acceleratorsData struct {
	Nodes   []boxOnPage
	Devices int
	Queue   []api.Waiting
}

func acceleratorsPage(v *View) (any, error) {
	var out acceleratorsData
	var nodes []api.Node
	var devices []api.Device
	ctx := v.Context()
	err := sideBySide(
		func() (err error) { nodes, err = v.API.Nodes(ctx); return err },
		func() (err error) { devices, err = v.API.Devices(ctx); return err },
		func() (err error) { out.Queue, err = v.API.Queue(ctx, v.Me.Admin); return err },
	)
	out.Nodes, out.Devices = boxes(nodes, devices, v.Say), len(devices)
	return out, err
}

// acceleratorData is one device and its last hours.
type acceleratorData struct {
	cardOnPage
	Slices  []api.Device
	Windows []window
	Charts  []chartOnPage
}

// Card is what the page draws first.
func (a acceleratorData) Card() cardOnPage { return a.cardOnPage }

// window is a part of the past that can be chosen.
type window struct {
	Name string
	Of   time.Duration
	On   bool
}

// chartOnPage is a chart with its place.
type chartOnPage struct {
	ID, Title string // Title is a key
	Figures   ui.Chart
}

func acceleratorPage(v *View) (any, error) {
	ctx := v.Context()
	d, err := v.API.Device(ctx, v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := acceleratorData{Windows: []window{{"1h", time.Hour, false}, {"6h", 6 * time.Hour, false}, {"1d", 24 * time.Hour, false}, {"7d", 7 * 24 * time.Hour, false}}}
	at := max(slices.IndexFunc(out.Windows, func(w window) bool { return w.Name == v.Parameter("window") }), 0)
	out.Windows[at].On = true
	to := v.console.Now().Truncate(10 * time.Second) // so that pages that are open ask, and are told, the same
	period := api.Period{From: to.Add(-out.Windows[at].Of), To: to, Step: max(out.Windows[at].Of/240, 15*time.Second)}
	var history api.DeviceHistory
	var devices []api.Device
	err = sideBySide(
		func() (err error) { history, err = v.API.DeviceHistory(ctx, d.ID, period); return err },
		func() (err error) { devices, err = v.API.Devices(ctx); return err },
	)
	if err != nil {
		return nil, err
	}
	for _, other := range devices {
		if other.Parent == d.ID && d.ID != "" {
			out.Slices = append(out.Slices, other)
		}
	}
	out.cardOnPage = card(d, out.Slices, v.Say)
	out.Charts = deviceCharts(d, history, v.Say)
	return out, nil
}

// deviceCharts draws a history; what the device cannot tell is a gap.
func deviceCharts(d api.Device, h api.DeviceHistory, say func(string, ...any) string) []chartOnPage {
	rows := []struct {
		id, unit string
		most     float64
		of       func(api.DevicePoint) float64
	}{
		{"utilization", "share", 1, func(p api.DevicePoint) float64 { return p.Utilization }},
		{"memory", "bytes", float64(d.MemoryTotal), func(p api.DevicePoint) float64 { return float64(p.MemoryUsed) }},
		{"temperature", "celsius", 100, func(p api.DevicePoint) float64 { return p.Temperature }},
		{"power", "watts", 0, func(p api.DevicePoint) float64 { return p.Power }},
	}
	var out []chartOnPage
	for _, r := range rows {
		c := ui.Chart{
			Unit: r.unit, From: new(ui.Instant(h.From)), To: new(ui.Instant(h.To)), Sync: "device", Empty: say("accel.no_history"),
			Series: []ui.Series{{Label: say("accel." + r.id), Values: ui.Values{}}},
		}
		if r.most > 0 {
			c.Max = new(r.most)
		}
		for _, p := range h.Points {
			c.Times = append(c.Times, p.At)
			c.Series[0].Values = append(c.Series[0].Values, known(r.of(p)))
		}
		out = append(out, chartOnPage{"device-" + r.id, "accel." + r.id, c})
	}
	return out
}
