package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// image brings the engine's image.
func (m *Manager) image(ctx context.Context, j *job) (string, error) {
	if m.Images == nil || j.Choice.Image == hostImage {
		return "", errSkip("the engine is a program of this box")
	}
	err := m.Images.Pull(ctx, j.Choice.Image, func(done, total int64, message string) {
		m.note(j, Transfer{Bytes: total, Here: done, Message: message})
	})
	if err != nil {
		return "", fmt.Errorf("pulling image %s: %w", j.Choice.Image, err)
	}
	return j.Choice.Image, nil
}

// hostImage stands for programs of the box.
const hostImage = "host"

// target is the revision that an install is to have run: its own, or the one that is gone back to.
func (m *Manager) target(j *job) (Model, Revision, error) {
	model, err := m.Model(j.Project, j.Model)
	if err != nil {
		return model, Revision{}, err
	}
	number := j.Revision
	if j.Wish.Kind == KindRollback {
		if number = cmp.Or(j.Wish.Revision, j.Revision, model.previous()); number == 0 {
			return model, Revision{}, &fault{kind: ErrState, message: fmt.Sprintf("model %s has no earlier revision that was good", j.Model), hint: "palisade model show " + j.Model + " lists its revisions"}
		}
	}
	r := model.Revision(number)
	if r == nil {
		return model, Revision{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("model %s has no revision %d", j.Model, number), hint: "palisade model show " + j.Model + " lists those that it has"}
	}
	return model, *r, nil
}

// service makes the service, or has the one that there is run the new revision, route after route.
func (m *Manager) service(ctx context.Context, j *job) (string, error) {
	model, r, err := m.target(j)
	if err != nil {
		return "", err
	}
	wish := ServiceWish{Project: j.Project, Name: j.Model, By: j.CreatedBy, Replicas: j.Wish.Replicas, Folder: r.Folder, Choice: r.Choice}
	there, err := m.serviceOf(model, j)
	made := errors.Is(err, ErrNotFound)
	switch {
	case made:
		if model.Service != "" && j.Wish.Kind != KindInstall {
			return "", &fault{kind: ErrState, message: fmt.Sprintf("model %s has no service to update", j.Model), hint: "palisade install " + model.Source + " makes one"}
		}
		there, err = m.Services.Create(ctx, wish)
	case err == nil:
		there, err = m.Services.Update(ctx, there.ID, wish)
	}
	if err != nil {
		return "", err
	}
	if err := m.edit(ctx, j, func(s *State) {
		s.Revision, s.Folder, s.Service, s.Rollout, s.Made = r.Number, r.Folder, there.ID, there.Revision, s.Made || made
	}); err != nil {
		return "", err
	}
	if err := m.change(ctx, j.Project, j.Model, func(s *ModelState) { s.Service = there.ID }); err != nil {
		return "", err
	}
	if made {
		return "service " + there.Name, nil
	}
	return fmt.Sprintf("service %s, revision %d", there.Name, there.Revision), nil
}

// serviceOf finds the service of a model: the one that is known, or the one that a crash has left between being made and being
// written down. ErrNotFound where there is none; ErrExists where one of the name is somebody's own.
func (m *Manager) serviceOf(model Model, j *job) (Service, error) {
	for _, id := range []string{j.Service, model.Service} {
		if id == "" {
			continue
		}
		if there, err := m.Services.Service(j.Project, id); !errors.Is(err, ErrNotFound) {
			return there, err
		}
	}
	there, err := m.Services.Service(j.Project, j.Model)
	if err == nil && (there.Folder == "" || !model.has(there.Folder)) {
		err = &fault{kind: ErrExists, message: fmt.Sprintf("there is a service %s already, which no install has made", j.Model), hint: "give the model another name: --name"}
	}
	return there, err
}

// patience says when enough is enough: giveUpAfter starts that failed in a row.
const giveUpAfter = 3

// verdict judges a service that is to come up.
func verdict(s Service, rollout int) (up bool, fault string) {
	switch {
	case s.Revision < rollout:
		return false, fmt.Sprintf("revision %d of service %s did not come up, and it went back to revision %d: %s", rollout, s.Name, s.Revision, cmp.Or(s.LastError, s.Sentence))
	case s.Revision > rollout:
		return false, fmt.Sprintf("somebody has changed service %s meanwhile: it runs revision %d now, and not %d", s.Name, s.Revision, rollout)
	case s.Replicas == 0:
		return true, ""
	case s.Good == rollout && s.Healthy > 0:
		return true, ""
	case s.Failures >= giveUpAfter:
		return false, fmt.Sprintf("service %s failed to start %d times: %s", s.Name, s.Failures, cmp.Or(s.LastError, s.Sentence))
	}
	return false, ""
}

// awaitStart waits until the service answers its probes.
func (m *Manager) awaitStart(ctx context.Context, j *job) (string, error) {
	return m.await(ctx, j, j.Service, j.Rollout)
}

// await waits until a revision of a service answers its probes.
func (m *Manager) await(ctx context.Context, j *job, service string, rollout int) (string, error) {
	began, said, since := time.Now(), "", time.Now()
	for {
		changed := m.Services.Changed() // before the look: what changes after it wakes us
		there, err := m.Services.Service(j.Project, service)
		if errors.Is(err, ErrNotFound) {
			return "", &fault{kind: ErrStart, message: fmt.Sprintf("somebody has removed service %s meanwhile", j.Model), hint: "the same command makes it again"}
		}
		if err != nil {
			return "", err
		}
		up, wrong := verdict(there, rollout)
		if wrong != "" {
			return "", &fault{kind: ErrStart, message: wrong, hint: "palisade service logs " + there.Name + " shows what the engine says"}
		}
		if up {
			return "it answers after " + time.Since(began).Round(100*time.Millisecond).String(), nil
		}
		if there.Sentence != said {
			said, since = there.Sentence, time.Now()
			m.note(j, Transfer{Message: said})
		}
		left := m.Settings.Patience - time.Since(since)
		if left <= 0 {
			return "", &fault{
				kind: ErrStart, message: fmt.Sprintf("service %s has not come up, and has said nothing new for %s: %s", there.Name, m.Settings.Patience, said),
				hint: "palisade service show " + there.Name + "; palisade service logs " + there.Name,
			}
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return "", context.Cause(ctx)
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// How a smoke test is asked.
const (
	testTries   = 3
	testRest    = 2 * time.Second
	testSeconds = 60 // where the recipe says nothing
)

// test asks what the recipe says, by the way that clients take. A revision that does not answer it is not left in place where
// there was a good one before.
func (m *Manager) test(ctx context.Context, j *job) (string, error) {
	model, r, err := m.target(j)
	if err != nil {
		return "", err
	}
	note := "it answers as the recipe says"
	switch test := r.Recipe.SmokeTest; {
	case m.Probe == nil || test == nil:
		note, err = "", errSkip("the recipe has no smoke test")
	default:
		err = m.ask(ctx, j, *test)
	}
	if _, skip := errors.AsType[errSkip](err); err != nil && !skip {
		if ctx.Err() != nil || errors.Is(err, ErrStart) || model.Current == 0 || model.Current == r.Number {
			return "", err
		}
		return "", m.back(ctx, model, j, err)
	}
	if settled := m.settle(ctx, j); settled != nil {
		return "", settled
	}
	return note, err
}

func (m *Manager) ask(ctx context.Context, j *job, test recipe.SmokeTest) (wrong error) {
	there, err := m.Services.Service(j.Project, j.Service)
	if err != nil {
		return err
	}
	if _, changed := verdict(there, j.Rollout); changed != "" { // by somebody, or by a daemon that ended while it went back
		return &fault{kind: ErrStart, message: changed, hint: "palisade service show " + there.Name}
	}
	if there.Replicas == 0 {
		return errSkip("the service is scaled to zero")
	}
	request, err := test.Request(cmp.Or(there.ModelName, there.Name))
	if err != nil {
		return err
	}
	for try := range testTries {
		if try > 0 {
			select {
			case <-time.After(testRest):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		limit := time.Duration(cmp.Or(test.MaxSeconds, testSeconds)) * time.Second
		asking, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
		answer, err := m.Probe.Ask(asking, j.Project, there.ID, request)
		if err != nil && asking.Err() != nil {
			err = context.Cause(asking)
		}
		cancel()
		if err == nil {
			err = test.Judge(answer)
		}
		if err == nil {
			return nil
		}
		wrong = err
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return &fault{
		kind: ErrTest, message: fmt.Sprintf("%s %s: %s", request.Method, request.Path, strings.ReplaceAll(wrong.Error(), "\n", "; ")),
		hint: "palisade service logs " + there.Name + " shows what the engine says; the service runs",
	}
}

// back has the service of a model run the revision that was good before, and waits until it does.
func (m *Manager) back(ctx context.Context, model Model, j *job, why error) error {
	there, err := m.runAgain(ctx, model, j.CreatedBy)
	if err == nil && there.ID != "" {
		_, err = m.await(ctx, j, there.ID, there.Revision)
	}
	if err != nil {
		return errors.Join(why, fmt.Errorf("going back to revision %d: %w", model.Current, err))
	}
	return &fault{
		kind: ErrTest, message: fmt.Sprintf("revision %d failed its test, and the service runs revision %d again: %v", j.Revision, model.Current, why),
		hint: "palisade service logs " + j.Model + " shows what the engine says",
	}
}

// runAgain has a model's service run the revision that counts, and returns it; nothing where there is none.
func (m *Manager) runAgain(ctx context.Context, model Model, by string) (Service, error) {
	r := model.Revision(model.Current)
	if r == nil || model.Service == "" {
		return Service{}, nil
	}
	there, err := m.Services.Service(model.Project, model.Service)
	if errors.Is(err, ErrNotFound) {
		return Service{}, nil
	}
	if err != nil || there.Folder == r.Folder {
		return there, err
	}
	return m.Services.Update(ctx, model.Service, ServiceWish{Project: model.Project, Name: there.Name, By: by, Folder: r.Folder, Choice: r.Choice})
}

// settle makes the install's revision the one that counts, and drops those that nobody goes back to.
func (m *Manager) settle(ctx context.Context, j *job) error {
	number := m.stateOf(j).Revision
	if err := m.change(ctx, j.Project, j.Model, func(s *ModelState) {
		if r := s.Revision(number); r != nil {
			good := *r
			good.Good = true
			s.Current, *s = number, s.with(good)
			s.Current = number
		}
	}); err != nil {
		return err
	}
	model, err := m.Model(j.Project, j.Model)
	if err != nil {
		return err
	}
	for _, spare := range model.spare(m.Settings.Revisions) {
		if err := m.dropRevision(ctx, model, spare); err != nil { // somebody uses it: the next update tries again
			m.Log.InfoContext(ctx, "an old revision of a model stays", "model", model.Name, "revision", spare, "why", err)
		}
	}
	return nil
}

// calibrate measures the service. What it finds is good to know, and no reason to fail.
func (m *Manager) calibrate(ctx context.Context, j *job) (string, error) {
	if m.Measure == nil {
		return "", errSkip("nothing measures services here")
	}
	sentence, err := m.Measure.Calibrate(ctx, j.Project, j.Service, func(message string) { m.note(j, Transfer{Message: message}) })
	if err != nil && ctx.Err() == nil {
		return "", errSkip("not measured: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return sentence, err
}

// destroy removes a service and waits until it is gone.
func (m *Manager) destroy(ctx context.Context, project, id, by string) error {
	err := m.Services.Destroy(ctx, project, id, by)
	for err == nil {
		changed := m.Services.Changed()
		if _, err = m.Services.Service(project, id); err != nil {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting until service %s is gone: %w", id, context.Cause(ctx))
		}
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
