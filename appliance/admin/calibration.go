package admin

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/sessions"
)

// Calibrations are what services were measured to do. *calibrate.Keeper measures them.
type Calibrations interface {
	// Begin has a service measured, and answers at once.
	Begin(ctx context.Context, w calibrate.Wish) (id string, err error)
	// Cancel ends what goes on; false where nothing does.
	Cancel(serviceID string) bool
	Standing(serviceID string, revision int) calibrate.Standing
}

func (s *server) findCalibrated(c *gin.Context) (sessions.ServiceView, error) {
	p := query(c)
	if p.err == nil && s.Calibrations == nil {
		return sessions.ServiceView{}, api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "services are not measured here")
	}
	return s.find(c, p)
}

func (s *server) calibrateService(c *gin.Context) error {
	v, err := s.findCalibrated(c)
	if err != nil {
		return err
	}
	var in api.Calibrate
	if err := decode(c, &in); err != nil {
		return err
	}
	w := calibrate.Wish{ServiceID: v.ID, By: actorOf(c.Request.Context()).Name, Force: in.Force}
	if n := in.Seconds; n != nil {
		if math.IsNaN(*n) || *n < calibrate.LeastBudget.Seconds() || *n > calibrate.MostBudget.Seconds() {
			return badField("seconds", "60 is usual", "must be from %v to %v", calibrate.LeastBudget.Seconds(), calibrate.MostBudget.Seconds())
		}
		w.Budget = time.Duration(*n * float64(time.Second))
	}
	if n := in.MaxConcurrency; n != nil {
		if *n < 1 || *n > calibrate.MostAtOnce {
			return badField("max_concurrency", "256 is usual", "must be from 1 to %d", calibrate.MostAtOnce)
		}
		w.Most = *n
	}
	if _, err := s.Calibrations.Begin(c.Request.Context(), w); err != nil {
		return err
	}
	return respond(c, http.StatusAccepted, s.calibrationOf(v))
}

func (s *server) getCalibration(c *gin.Context) error {
	v, err := s.findCalibrated(c)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.calibrationOf(v))
}

func (s *server) cancelCalibration(c *gin.Context) error {
	v, err := s.findCalibrated(c)
	if err != nil {
		return err
	}
	s.Calibrations.Cancel(v.ID)
	return noContent(c)
}

func (s *server) calibrationOf(v sessions.ServiceView) api.CalibrationStanding {
	st := s.Calibrations.Standing(v.ID, v.Revision)
	var out api.CalibrationStanding
	if st.Running != "" {
		out.Running = &api.CalibrationRun{ID: st.Running, Doing: st.Now.Doing, Elapsed: st.Now.Elapsed.Seconds(), Budget: st.Now.Budget.Seconds()}
	}
	if st.Last != nil {
		out.Last = calibrationOut(st.Last)
	}
	if f := st.Failed; f != nil {
		out.Failed = &api.CalibrationFailure{ID: f.ID, At: f.At, Message: f.Err.Error()}
		if h, ok := errors.AsType[hinter](f.Err); ok {
			out.Failed.Hint = h.Hint()
		}
	}
	return out
}

func calibrationOut(c *calibrate.Calibration) *api.Calibration {
	alone := c.Alone()
	out := &api.Calibration{
		ID: c.ID, Service: c.Service, Revision: c.Revision, Route: c.Route, Device: c.Device, At: c.At, By: c.By, Took: c.Took.Seconds(), API: string(c.API),
		LoadTime: c.Load.Seconds(), Weights: c.Weights, LoadSpeed: c.LoadSpeed(), DeviceMemory: c.DeviceMemory, Claimed: c.Claimed, Memory: c.Memory,
		PromptTokensPerSecond: c.Prefill, TokensPerSecond: c.Decode, FirstToken: alone.First.Seconds(), Points: []api.CalibrationPoint{},
		Knee: c.Knee.At, KneeBeyond: c.Knee.Beyond, Why: c.Knee.Why, Stopped: c.Stopped, Disturbed: c.Disturbed, Forced: c.Forced,
	}
	for _, p := range c.Points {
		out.Points = append(out.Points, api.CalibrationPoint{
			Concurrency: p.Concurrency, Requests: p.Requests, TokensPerSecond: p.Tokens, Each: p.Each,
			FirstToken: p.First.Seconds(), FirstTokenP95: p.FirstP95.Seconds(), Latency: p.Latency.Seconds(),
		})
	}
	return out
}
