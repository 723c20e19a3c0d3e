package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/training/pipeline"
)

// lookAgain is when a schedule is looked at again though it says that nothing comes before: clocks are set.
const lookAgain = time.Minute

// schedule makes jobs of pipelines whose schedules are due.
func (k *Keeper) schedule(ctx context.Context, now time.Time) {
	for key, kept := range k.kept {
		if kept.Source == "" || now.Before(k.next[key]) && k.next[key].Sub(now) <= lookAgain {
			continue
		}
		k.next[key] = now.Add(lookAgain)
		d, ps := pipeline.Parse(kept.Name, []byte(kept.Source))
		if ps.Err() != nil {
			k.complain(ctx, "schedule/"+key, "a pipeline that is kept cannot be read by this version; it does not run by itself", ps, "pipeline", kept.Name)
			continue
		}
		if d.Schedule == nil {
			continue
		}
		due, next, err := d.Schedule.Due(kept.Scheduled, now)
		if err != nil {
			k.complain(ctx, "schedule/"+key, "a schedule cannot be read", err, "pipeline", kept.Name)
			continue
		}
		if !next.IsZero() && next.Before(k.next[key]) {
			k.next[key] = next
		}
		if due.IsZero() {
			continue
		}
		if err := k.fire(ctx, kept, d, due); err != nil {
			k.next[key] = now.Add(tickEvery)
			k.complain(ctx, "schedule/"+key, "a scheduled job could not be made; it will be tried again", err, "pipeline", kept.Name)
		}
	}
}

// fire makes the job of a moment, or leaves it out, as the pipeline's overlap says.
func (k *Keeper) fire(ctx context.Context, kept *Kept, d *pipeline.Definition, due time.Time) error {
	var running, waiting *pipeline.Job
	for _, j := range k.jobs {
		if j.Project != kept.Project || j.Pipeline != kept.Name || j.Status.Ended() || j.DueAt.IsZero() {
			continue
		}
		if j.Status == pipeline.StatusQueued && running != nil {
			waiting = j
		} else {
			running = j
		}
	}
	skip := running != nil && (d.Schedule.Overlap == pipeline.OverlapSkip || d.Schedule.Overlap == pipeline.OverlapQueue && waiting != nil)
	if skip {
		now := *kept
		now.Scheduled = due
		saving, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		if err := k.Store.SavePipeline(saving, now); err != nil {
			return err
		}
		k.kept[kept.Project+"/"+kept.Name] = &now
		k.publish()
		k.Log.InfoContext(ctx, "a scheduled job is left out: the one before still runs", "pipeline", kept.Name, "due", due, "running", running.Name())
		return nil
	}
	if running != nil && d.Schedule.Overlap == pipeline.OverlapReplace && running.CancelledBy == "" {
		state := running.Clone()
		state.CancelledBy = "the schedule: the next one is due"
		state.Reason = "is being cancelled by " + state.CancelledBy
		if err := k.save(ctx, running, state); err != nil {
			return fmt.Errorf("cancelling %s: %w", running.Name(), err)
		}
	}
	// The moment and the job are written together: a crash neither loses it nor makes two.
	_, err := k.add(ctx, d, pipeline.Job{
		Project: kept.Project, CreatedBy: kept.AppliedBy, DueAt: due.UTC(), Source: kept.Source, Parameters: d.Schedule.Parameters,
	}, func(now *Kept) { now.Scheduled = due.UTC() })
	return err
}

// Next is when a pipeline's schedule comes next; zero: it has none, or it is not enabled.
func Next(kept Kept, now time.Time) time.Time {
	d, ps := pipeline.Parse(kept.Name, []byte(kept.Source))
	if kept.Source == "" || ps.Err() != nil || d.Schedule == nil {
		return time.Time{}
	}
	_, next, err := d.Schedule.Due(kept.Scheduled, now)
	if err != nil {
		return time.Time{}
	}
	return next
}
