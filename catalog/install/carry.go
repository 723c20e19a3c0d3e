package install

import (
	"context"
	"errors"
	"time"
)

// errSkip is a step for which there is nothing to do; its text says why.
type errSkip string

func (e errSkip) Error() string { return string(e) }

// carry brings one install to its end, step by step, or as far as ctx lets it. An install is written down before and after each
// step, and each step finds what an interrupted one has left; so it does not matter where a crash hits.
func (m *Manager) carry(ctx context.Context, j *job) {
	for {
		state := m.stateOf(j)
		if ctx.Err() != nil {
			m.interrupted(ctx, j)
			return
		}
		step, more := state.next()
		if !more || state.Status.Ended() {
			return
		}
		if err := m.edit(ctx, j, func(s *State) { *s = s.start(step, clock()) }); err != nil {
			continue // ctx has ended
		}
		began := time.Now()
		note, err := m.do(ctx, j, step)
		m.note(j, Transfer{})
		m.metrics.step(step, time.Since(began))
		skip, skipped := errors.AsType[errSkip](err)
		switch {
		case ctx.Err() != nil:
			continue
		case skipped:
			err = m.edit(ctx, j, func(s *State) { *s = s.finish(step, Skipped, string(skip), clock()) })
		case err != nil:
			m.failed(ctx, j, step, err)
			return
		default:
			err = m.edit(ctx, j, func(s *State) { *s = s.finish(step, Finished, note, clock()) })
		}
		if err == nil && m.stateOf(j).Status == Done {
			m.metrics.ended(j.Wish.Kind, Done)
			m.Log.InfoContext(ctx, "a model is installed", "model", j.Model, "kind", j.Wish.Kind, "by", j.CreatedBy)
		}
	}
}

func (m *Manager) stateOf(j *job) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return j.State
}

// do does one step. It may have been done before, wholly or in part.
func (m *Manager) do(ctx context.Context, j *job, step Step) (note string, err error) {
	switch step {
	case StepResolve:
		return m.resolve(ctx, j)
	case StepLicense:
		return m.license(j)
	case StepPlan:
		return m.plan(ctx, j)
	case StepDownload:
		return m.download(ctx, j)
	case StepFolder:
		return m.folder(ctx, j)
	case StepImage:
		return m.image(ctx, j)
	case StepService:
		return m.service(ctx, j)
	case StepStart:
		return m.awaitStart(ctx, j)
	case StepTest:
		return m.test(ctx, j)
	case StepCalibrate:
		return m.calibrate(ctx, j)
	}
	return "", errSkip("unknown to this version")
}

// failed ends an install at a step. What is useful stays: parts of files, files, the service as it is.
func (m *Manager) failed(ctx context.Context, j *job, step Step, err error) {
	hint := hintOf(err)
	if hint == "" {
		hint = "what has come is kept; the same command goes on"
	}
	m.Log.WarnContext(ctx, "an install failed", "model", j.Model, "kind", j.Wish.Kind, "step", step, "error", err)
	if m.edit(ctx, j, func(s *State) { *s = s.fail(step, err.Error(), hint, clock()) }) == nil {
		m.metrics.ended(j.Wish.Kind, Failed)
	}
}

// interrupted is the end of a carrier whose context has ended: the appliance stops, or somebody wished it.
func (m *Manager) interrupted(ctx context.Context, j *job) {
	wish, is := errors.AsType[cancelled](context.Cause(ctx))
	if !is {
		return // gone on with by the next daemon
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	why := ""
	if err := m.clean(ctx, j, wish.by); err != nil {
		why = err.Error()
		m.Log.WarnContext(ctx, "what a cancelled install has left was not all removed", "model", j.Model, "error", err)
	}
	if m.edit(ctx, j, func(s *State) {
		*s = s.cancel(wish.by, clock())
		s.Hint = why
		s.Listing, s.Files, s.Folder, s.Revision, s.Service, s.Made = nil, nil, "", 0, "", false
		s.Kept, s.KeptOf = 0, ""
	}) == nil {
		m.metrics.ended(j.Wish.Kind, Cancelled)
	}
}

// cleanTimeout bounds the clean-up after an install that was cancelled.
const cleanTimeout = 2 * time.Minute

// clean removes what of an install is nobody's:
//  1. A service that it has made, while it has never answered.
//  2. The revision that it has made, while it is not good, with its folder; a model without revisions.
//  3. Bytes that no model and no other install needs.
//
// A service that was told to run the new revision goes back to the one before.
func (m *Manager) clean(ctx context.Context, j *job, by string) error {
	state := m.stateOf(j)
	var failed error
	model, err := m.Model(j.Project, j.Model)
	known := err == nil
	good := known && model.Current != 0 && model.Current == state.Revision
	switch {
	case good || state.Service == "":
	case state.Made && (!known || model.Current == 0):
		failed = errors.Join(failed, m.destroy(ctx, j.Project, state.Service, by))
	case known && model.Current != 0:
		_, err := m.runAgain(ctx, model, by)
		failed = errors.Join(failed, err)
	}
	if known && !good && state.Revision != 0 && j.Wish.Kind != KindRollback {
		if r := model.Revision(state.Revision); r != nil && !r.Good {
			failed = errors.Join(failed, m.dropRevision(ctx, model, r.Number))
		}
	}
	m.mu.Lock()
	j.Listing, j.Files = nil, nil // nobody goes on with it
	m.mu.Unlock()
	_, err = m.Sweep(ctx, 0)
	return errors.Join(failed, err)
}
