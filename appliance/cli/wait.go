package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// giveUpAfter is how many starts in a row may fail before a wait ends. The appliance goes on trying; the
// person who waits has learnt what there is to learn.
const giveUpAfter = 3

// verdict says whether waiting for a service is over: done, or failed with why. want is the revision that the
// change asked for. In order:
//  1. A service that goes will not be healthy.
//  2. Another revision than the wanted one is current: it was rolled back.
//  3. Exactly as many routes of the current revision as wanted are healthy, and no other is left that is not
//     on its way out: done.
//  4. Starts that fail again and again: failed.
//  5. A route has no place, and would have none whoever else ended: failed. One that waits for others goes on waiting.
//  6. A route that is kept for a person to look at: failed.
func verdict(s api.Service, want int) (done bool, failed string) {
	switch {
	case s.Status == "DESTROYING" || s.Status == "DESTROYED": // 1
		return false, "it is being removed"
	case want != 0 && s.Revision < want: // 2
		// What the appliance says of it begins with the same words.
		why := strings.TrimPrefix(s.LastError, fmt.Sprintf("rolled back to revision %d: ", s.Revision))
		return false, fmt.Sprintf("revision %d was rolled back to %d: %s", want, s.Revision, orUnknown(why))
	}
	healthy, others := 0, 0
	for _, r := range s.Routes {
		switch {
		case r.Status == "HEALTHY" && r.Revision == s.Revision:
			healthy++
		case r.Status == "HEALTHY" || r.Status == "UNHEALTHY" || r.Status == "PROVISIONING":
			others++
		}
	}
	switch {
	case healthy == s.Replicas && others == 0: // 3
		return true, ""
	case s.Failures >= giveUpAfter: // 4
		return false, fmt.Sprintf("%d starts failed in a row, the last: %s", s.Failures, orUnknown(s.LastError))
	}
	if w, never := hopelessWait(s); never { // 5
		return false, waitWords(w)
	}
	for _, r := range s.Routes { // 6
		if r.Status == "UNHEALTHY" && s.Policy.OnUnhealthy != nil && *s.Policy.OnUnhealthy == "hold" {
			return false, "route " + r.ID + " is unhealthy and kept: " + orUnknown(r.Health)
		}
	}
	return false, ""
}

// hopelessWait is what a route of the current revision waits for that is there as long as the boxes are as they are.
func hopelessWait(s api.Service) (api.Wait, bool) {
	for _, r := range s.Routes {
		for _, w := range r.Waits {
			if r.Revision == s.Revision && (w.Predicate == "capacity" || w.Predicate == "selector") {
				return w, true
			}
		}
	}
	return api.Wait{}, false
}

func orUnknown(s string) string {
	if s == "" {
		return "the reason is not known"
	}
	return s
}

// waitError says that a service did not get where it was waited for.
type waitError struct {
	service string
	reason  string
	route   string // whose log may tell more
	waits   bool   // it has no place yet, and no log
	never   bool   // nor will it have one as the boxes are: the reason says why
	image   string // that could not be pulled: there is no log either
	instead string // how to end what goes on
	back    bool   // an earlier revision serves on: nothing is tried any more
	room    bool   // a route of it could make room for the newer one, and may not
}

func (e *waitError) Error() string {
	return fmt.Sprintf("service %s is not healthy: %s", e.service, indented(printable(withoutPath(e.reason))))
}

func (e *waitError) Hint() string {
	more := "its log: palisade service logs " + e.service + "\n"
	switch {
	case e.never:
		more = "what there is, and who has it: palisade top --once\n"
	case e.waits:
		more = "why it waits: palisade session info " + e.route + "\nwho waits with it: palisade queue --all\n"
		if e.room {
			more += "to have an older route make room for it: palisade service update " + e.service + " --max-unavailable 1\n"
		}
	case e.image != "":
		more = "what to do about the image: palisade image pull " + e.image + "\n"
	case e.route != "":
		more = "its log: palisade session logs " + e.route + "\n"
	}
	more += "what happened: palisade service events " + e.service
	if e.back {
		return more + "\nthe earlier revision serves on: palisade service revisions " + e.service
	}
	return more + "\nit goes on trying; " + e.instead
}

// waitForService shows what a service goes through until verdict says that it is over, or the time is.
func (a *app) waitForService(ctx context.Context, c *api.Client, s api.Service, timeout time.Duration) (api.Service, error) {
	outer := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errWaitedLongEnough)
	defer cancel()
	want := s.Revision
	show := a.newProgress()
	defer show.clear()
	watcher := &serviceWatch{show: show, said: map[string]string{}, reasons: map[string]bool{}}

	updates := make(chan api.Service)
	ended := make(chan error, 1)
	go func() {
		ended <- c.WatchService(ctx, s.ID, func(now api.Service) error {
			select {
			case updates <- now:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case s = <-updates:
			watcher.tell(a.now(), s)
			done, failed := verdict(s, want)
			if done {
				show.line(a.now(), fmt.Sprintf("service %s: %s: %s", s.Name, s.Status, briefly(s.Reason)))
				return s, nil
			}
			if failed != "" {
				return s, waitError{service: s.Name, reason: failed, back: want != 0 && s.Revision < want}.about(s)
			}
		case <-tick.C:
			show.status(a.now(), watcher.summary)
		case err := <-ended:
			switch {
			case outer.Err() != nil:
				return s, &hinted{context.Cause(outer), "what was asked for goes on: palisade service info " + s.Name}
			case errors.Is(err, errWaitedLongEnough):
				return s, waitError{service: s.Name, reason: fmt.Sprintf("waited %s; %s: %s", timeout, s.Status, s.Reason)}.about(s)
			case errors.Is(err, api.KindError(api.KindNotFound)):
				return s, fmt.Errorf("service %s was removed while it was waited for", s.Name)
			}
			return s, err
		}
	}
}

var errWaitedLongEnough = errors.New("waited long enough")

// about names the newest route that is not healthy: its log tells why, or the queue. Who waits for a change of what
// serves already does not want it removed.
func (e waitError) about(s api.Service) *waitError {
	for _, r := range slices.Backward(s.Routes) {
		if r.Status != "HEALTHY" {
			e.route, e.waits = r.SessionID, r.SessionStatus == "PENDING"
			break
		}
	}
	if strings.HasPrefix(s.LastError, "pulling ") {
		e.image = s.Recipe.Image
	}
	e.room = s.Policy.MaxUnavailable != nil && *s.Policy.MaxUnavailable == 0 &&
		slices.ContainsFunc(s.Routes, func(r api.Route) bool { return r.Status == "HEALTHY" && r.Revision < s.Revision })
	_, e.never = hopelessWait(s)
	fit := 0
	for _, r := range s.Routes {
		if r.Claim != nil {
			fit++
		}
	}
	switch {
	case e.never && fit > 0 && fit < s.Replicas:
		e.instead = fmt.Sprintf("to want as many as there is room for: palisade service scale %s %d", s.Name, fit)
	case s.HealthyRoutes > 0 && s.Revision > 1:
		e.instead = "to go back: palisade service rollback " + s.Name
	case s.HealthyRoutes > 0:
		e.instead = "to want fewer: palisade service scale " + s.Name + " COUNT"
	default:
		e.instead = "to end that: palisade service rm " + s.Name
	}
	return &e
}

// serviceWatch turns states of a service into lines: one for each change of a route.
type serviceWatch struct {
	show     *progress
	said     map[string]string // route id to what was last said of it
	reasons  map[string]bool   // that have been printed
	failures int
	summary  string
}

func (w *serviceWatch) tell(now time.Time, s api.Service) {
	var busy []string
	for _, r := range s.Routes {
		text := stage(r, s.Policy)
		if w.said[r.ID] != text {
			w.said[r.ID] = text
			w.reasons[r.Reason] = true
			w.show.line(now, r.ID+": "+text)
		}
		if r.Status != "HEALTHY" {
			busy = append(busy, r.ID+": "+text)
		}
	}
	if s.Failures > w.failures {
		text := fmt.Sprintf("%d failed in a row", s.Failures)
		if !w.reasons[s.LastError] { // once is enough
			w.reasons[s.LastError] = true
			text += because(briefly(s.LastError))
		}
		w.show.line(now, text)
	}
	w.failures = s.Failures
	w.summary = fmt.Sprintf("%s  %d/%d healthy", s.Name, s.HealthyRoutes, s.Replicas)
	switch {
	case len(busy) > 0:
		w.summary += "  " + strings.Join(busy, "; ")
	case s.NextRetry != nil && s.NextRetry.After(now):
		w.summary += "  waiting to start the next, after " + plural(s.Failures, "failure")
	}
	w.show.status(now, w.summary)
}

// stage says in words what a route is doing on its way to HEALTHY, and what is waited for.
func stage(r api.Route, p api.Policy) string {
	switch r.Status {
	case "HEALTHY":
		return "healthy at " + r.Address
	case "UNHEALTHY":
		return "unhealthy" + because(briefly(routeWords(r))) + unhealthyUntil(p)
	case "PROVISIONING":
	default:
		return strings.ToLower(strings.ReplaceAll(r.Status, "_", " ")) + because(briefly(routeWords(r)))
	}
	switch r.SessionStatus {
	case "PENDING", "SCHEDULED", "":
		if strings.HasPrefix(r.Reason, "placed on ") {
			return r.Reason
		}
		return "waiting for its turn" + because(briefly(r.Reason))
	case "PREPARING", "PREPARED":
		return "preparing"
	case "PULLING":
		return "pulling the image" + because(briefly(r.Reason))
	case "CREATING":
		return "starting"
	case "RUNNING":
		text := "started, waiting for its first good probe"
		if p.StartTimeout != nil {
			text += " (" + inSeconds(*p.StartTimeout) + " at most)"
		}
		return text + because(briefly(strings.TrimPrefix(r.Health, "starting: ")))
	}
	return strings.ToLower(r.SessionStatus) + because(briefly(r.Reason))
}

// unhealthyUntil says what becomes of an unhealthy route.
func unhealthyUntil(p api.Policy) string {
	switch {
	case p.OnUnhealthy != nil && *p.OnUnhealthy == "hold":
		return "; kept for a person to look at"
	case p.UnhealthyTTL != nil:
		return "; replaced unless a probe passes within " + inSeconds(*p.UnhealthyTTL)
	}
	return ""
}

// inSeconds prints a number of seconds as people write it: 90s, 5m, 1h.
func inSeconds(n float64) string {
	d := time.Duration(n * float64(time.Second))
	if d >= 2*time.Minute {
		return span(d)
	}
	return d.Round(time.Millisecond).String()
}

// destroyAndWait removes a service and waits until nothing of it is left.
func (a *app) destroyAndWait(ctx context.Context, c *api.Client, ref string, timeout time.Duration) error {
	s, err := c.Service(ctx, ref)
	if err != nil {
		return err
	}
	if err := c.DestroyService(ctx, s.ID); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, timeout, errWaitedLongEnough)
	defer cancel()
	show := a.newProgress()
	defer show.clear()
	err = c.WatchService(waiting, s.ID, func(now api.Service) error {
		if now.Status == "DESTROYED" {
			return api.ErrStopWatch
		}
		s = now
		show.line(a.now(), fmt.Sprintf("service %s: %s", s.Name, leaving(s)))
		return nil
	})
	switch {
	case errors.Is(err, api.KindError(api.KindNotFound)):
		return nil
	case ctx.Err() != nil:
		return &hinted{context.Cause(ctx), "its removal goes on; what is left of it: palisade session list --service " + s.ID}
	case errors.Is(err, errWaitedLongEnough):
		return &hinted{
			fmt.Errorf("service %s is not gone after %s: %s", s.Name, timeout, leaving(s)),
			"it goes on; what runs of it: palisade session list --service " + s.ID,
		}
	}
	return err
}

// leaving says what is waited for before a service is gone.
func leaving(s api.Service) string {
	requests := 0
	for _, r := range s.Routes {
		requests += r.InFlight
	}
	switch {
	case len(s.Routes) == 0:
		return "its engines have ended"
	case requests > 0:
		return fmt.Sprintf("%s left, %s in flight", plural(len(s.Routes), "route"), plural(requests, "request"))
	}
	return plural(len(s.Routes), "route") + " left, engines are ending"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// copyLog prints a log as it comes. Ctrl-C ends it, and is no failure.
func (a *app) copyLog(ctx context.Context, body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err = io.Copy(a.out, body); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	return nil
}
