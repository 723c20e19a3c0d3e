package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/rehearse"
	"github.com/palisade-run/palisade/router/record/trace"
	"github.com/palisade-run/palisade/sessions"
)

// The bounds of a rehearsal: it computes for as long as it takes, and anybody who may look may ask for one.
const (
	rehearsalTime  = 20 * time.Second
	rehearsalSteps = 200
)

// rehearseService plays what came to a service with the policy that it has, and with one that is proposed. One is played at
// a time: it takes a whole processor.
func (s *server) rehearseService(c *gin.Context) error {
	var in api.Rehearse
	if err := decode(c, &in); err != nil {
		return err
	}
	p := query(c)
	word := in.Since
	if word == "" {
		word = traceSince
	}
	since, _ := p.span("since", word, s.Now())
	v, err := s.findScaled(c, p)
	if err != nil {
		return err
	}
	if s.Traces == nil {
		return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "what comes to services is not recorded here")
	}
	proposed, err := s.checkAutoscaling(in.Autoscaling, func() autoscaler.Kept { return s.policyOf(v) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), rehearsalTime)
	defer cancel()
	select {
	case s.rehearsing <- struct{}{}:
		defer func() { <-s.rehearsing }()
	case <-ctx.Done():
		return rehearsalLate(ctx, ctx.Err())
	}
	out, err := s.rehearsal(ctx, v, since, proposed)
	if err != nil {
		return rehearsalLate(ctx, err)
	}
	return respond(c, http.StatusOK, out)
}

// rehearsalLate says what to do where the time was over.
func rehearsalLate(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	p := api.NewProblem(api.KindUnavailable, http.StatusServiceUnavailable, "the rehearsal took longer than %s", rehearsalTime)
	p.Hint = "ask for a shorter time, such as since 6h; longer ones: palisade service record, then palisade autoscale simulate"
	return p
}

func (s *server) rehearsal(ctx context.Context, v sessions.ServiceView, since time.Time, proposed *autoscaler.Kept) (*api.Rehearsal, error) {
	all, err := s.Traces.Window(ctx, v.ID, since)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		p := api.NewProblem(api.KindState, http.StatusConflict, "no request came to %s since %s", v.Name, since.UTC().Format(time.DateTime))
		p.Hint = "rules are rehearsed with what really came: ask for a longer time, or come back when the service was used"
		return nil, p
	}
	if v.CreatedAt.After(since) { // before, there was nothing that could have been asked
		since = v.CreatedAt
		if first := time.UnixMilli(all[0].At); first.Before(since) {
			since = first
		}
	}
	t := traceOf(v.Name, since, all)
	setup, route := s.routeSetup(v)
	out := &api.Rehearsal{From: since.UTC(), To: since.Add(t.Length()).UTC(), Requests: len(all), Route: route, Notes: []string{}}
	now := s.policyOf(v)
	if !now.Policy.On() || isPaused(v, &now) { // a person's number stands
		now.Policy = autoscaler.Policy{Min: v.Replicas, Max: max(v.Replicas, 1), ScaleDownDelay: now.Policy.ScaleDownDelay}
	}
	run, err := playPolicy(ctx, t, now.Policy, setup, out)
	if err != nil {
		return nil, err
	}
	out.Now = *run
	if proposed != nil {
		if out.Proposed, err = playPolicy(ctx, t, proposed.Policy, setup, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// traceOf is what was recorded, as a rehearsal takes it.
func traceOf(name string, since time.Time, all []trace.Request) *rehearse.Trace {
	t := &rehearse.Trace{Name: name, Start: since, Requests: make([]rehearse.Request, 0, len(all))}
	for _, q := range all {
		at := max(time.UnixMilli(q.At).Sub(since), 0)
		t.Requests = append(t.Requests, rehearse.Request{At: at, Prompt: int32(min(q.Prompt, rehearse.MaxTokens)), Output: int32(min(q.Output, rehearse.MaxTokens))})
	}
	return t
}

// routeSetup is what a route of a service is like, as far as it was measured.
func (s *server) routeSetup(v sessions.ServiceView) (rehearse.Setup, api.RehearsalRoute) {
	setup := rehearse.DefaultSetup()
	setup.Capacity, setup.MaxHeld, setup.HoldTimeout, setup.Begin = v.Routing.MaxInFlight, v.Routing.MaxHeld, v.Routing.HoldTimeout, v.Replicas
	setup.Knee = rehearse.DefaultSetup().Capacity
	if setup.Capacity > 0 {
		setup.Knee = min(setup.Knee, setup.Capacity)
	}
	if st, ok := s.Autoscaling.Standing(v.ID); ok && st.LoadTime > 0 {
		setup.LoadTime = st.LoadTime
	}
	var route api.RehearsalRoute
	if s.Calibrations != nil {
		if last := s.Calibrations.Standing(v.ID, v.Revision).Last; last != nil && last.Knee.At > 0 && last.Decode > 0 {
			route.Measured = true
			setup.Knee, setup.TokensPerSecond = last.Knee.At, last.Decode
			if last.Prefill > 0 {
				setup.PromptPerSecond = last.Prefill
			}
			if last.Load > 0 {
				setup.LoadTime = last.Load
			}
		}
	}
	if slots, err := accel.ParseSlots(v.Recipe.Resources); err == nil {
		for _, slot := range slots.Accelerators() {
			route.Devices += float64(slots[slot]) / whole
		}
	}
	if route.Devices > 0 {
		setup.GPUs = route.Devices
	}
	route.Knee, route.TokensPerSecond, route.PromptPerSecond, route.LoadTime = setup.Knee, setup.TokensPerSecond, setup.PromptPerSecond, setup.LoadTime.Seconds()
	return setup, route
}

// playPolicy plays one. A target that is to be measured is the knee, as it is when the policy is live.
func playPolicy(ctx context.Context, t *rehearse.Trace, p autoscaler.Policy, setup rehearse.Setup, of *api.Rehearsal) (*api.RehearsalRun, error) {
	p.Rules = slices.Clone(p.Rules)
	for i := range p.Rules {
		if p.Rules[i].Auto {
			p.Rules[i].Target, p.Rules[i].Auto = float64(setup.Knee), false
		}
	}
	r, err := rehearse.Run(ctx, t, &p, setup)
	if errors.Is(err, rehearse.ErrTrace) || errors.Is(err, rehearse.ErrSetup) {
		return nil, fmt.Errorf("%w: %w", autoscaler.ErrInvalid, err)
	}
	if err != nil {
		return nil, err
	}
	for _, note := range r.Notes {
		if !slices.Contains(of.Notes, note) {
			of.Notes = append(of.Notes, note)
		}
	}
	return runOut(r, t.Start), nil
}

func runOut(r *rehearse.Result, start time.Time) *api.RehearsalRun {
	at := func(s rehearse.Seconds) time.Time {
		return start.Add(time.Duration(float64(s) * float64(time.Second))).UTC()
	}
	wait := func(s rehearse.Seconds) *float64 {
		if s == rehearse.Never {
			return nil
		}
		return new(float64(s))
	}
	out := &api.RehearsalRun{
		DeviceHours: r.GPUHours, WaitP50: wait(r.Wait.P50), WaitP95: wait(r.Wait.P95), WaitP99: wait(r.Wait.P99), TTFTP95: wait(r.TTFT.P95),
		Held: r.Held, Refused: r.Refused + r.TimedOut, MostWaiting: r.MostHeld, MostRoutes: r.MostRoutes, Actions: r.Actions,
		Steps: []api.RehearsalStep{}, Points: []api.RehearsalPoint{},
	}
	for _, step := range r.Steps[:min(len(r.Steps), rehearsalSteps)] {
		out.Steps = append(out.Steps, api.RehearsalStep{At: at(step.At), Was: step.Was, Replicas: step.Replicas, Reason: step.Reason})
	}
	for _, p := range r.Points {
		out.Points = append(out.Points, api.RehearsalPoint{At: at(p.At), Demand: p.Demand, Waiting: p.Waiting, Ready: p.Ready, Starting: p.Starting})
	}
	return out
}
