package console

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

func calibrationTab(v *View, d *servicePage) (err error) {
	d.Calibration, err = v.API.Calibration(v.Context(), v.PathValue("id"))
	if unsupported(err) {
		d.NoCalibration = true
		return nil
	}
	return err
}

// Knee is the picture of what was measured.
func (d *servicePage) Knee() ui.Knee {
	last := d.Calibration.Last
	k := ui.Knee{At: last.Knee}
	for _, p := range last.Points {
		k.Points = append(k.Points, ui.KneePoint{AtOnce: p.Concurrency, All: p.TokensPerSecond, Each: p.Each})
	}
	return k
}

func beginCalibration(v *View) (Outcome, error) {
	in := api.Calibrate{Force: v.Field("force") != ""}
	if w := strings.TrimSpace(v.Field("seconds")); w != "" {
		n, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return Outcome{}, badInput("seconds", v.Say("services.form.number"))
		}
		in.Seconds = &n
	}
	if w := strings.TrimSpace(v.Field("max_concurrency")); w != "" {
		n, err := strconv.Atoi(w)
		if err != nil {
			return Outcome{}, badInput("max_concurrency", v.Say("services.form.number"))
		}
		in.MaxConcurrency = &n
	}
	_, err := v.API.CalibrateService(v.Context(), v.PathValue("id"), in)
	return Outcome{Toast: v.Say("services.calibration.begun")}, err
}

func cancelCalibration(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("services.calibration.cancelled")}, v.API.CancelCalibration(v.Context(), v.PathValue("id"))
}

// captured are the requests that are kept to be looked at.
type captured struct {
	Off  bool // none are to be kept
	All  []api.Capture
	One  *api.Capture // with its bodies
	Most int          // that are kept
}

func capturesTab(v *View, d *servicePage) (err error) {
	ctx, id := v.Context(), v.PathValue("id")
	if cid := v.PathValue("cid"); cid != "" {
		one, err := v.API.Capture(ctx, id, cid)
		d.Captured.One = &one
		return err
	}
	d.Captured.All, err = v.API.Captures(ctx, id)
	if errors.Is(err, api.KindError(api.KindState)) {
		d.Captured.Off = true
		return nil
	}
	return err
}

func keepCaptures(v *View) (Outcome, error) {
	n, err := wholeNumber(v, "capture")
	if err != nil {
		return Outcome{}, err
	}
	_, err = v.API.UpdateService(v.Context(), v.PathValue("id"), api.ServiceUpdate{Routing: &api.Routing{Capture: &n}}, 0)
	return Outcome{To: servicePath(v, "captures")}, err
}

func clearCaptures(v *View) (Outcome, error) {
	return Outcome{To: servicePath(v, "captures")}, v.API.ClearCaptures(v.Context(), v.PathValue("id"))
}

// CaptureNow is how many requests are to be kept.
func (d *servicePage) CaptureNow() int {
	if n := d.Service.Routing.Capture; n != nil {
		return *n
	}
	return 0
}

// Share is a part of a whole.
func (*servicePage) Share(part, all float64) float64 {
	if all <= 0 {
		return 0
	}
	return part / all
}

// CaptureChoices are how many can be kept.
func (d *servicePage) CaptureChoices() []int {
	choices := []int{0, 20, 100}
	if now := d.CaptureNow(); !slices.Contains(choices, now) {
		choices = append(choices, now)
	}
	return choices
}

// Balance is how a request finds its route; OnUnhealthy what becomes of one that does not answer.
func (d *servicePage) Balance() string     { return word(d.Service.Routing.Balance) }
func (d *servicePage) OnUnhealthy() string { return word(d.Service.Policy.OnUnhealthy) }
