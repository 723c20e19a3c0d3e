package pipeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/training/pipeline"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const diamond = `
version: 1
name: diamond
defaults: {image: host}
tasks:
  - {name: top, command: x}
  - {name: left, command: x, depends_on: [top]}
  - {name: right, command: x, depends_on: [top]}
  - {name: bottom, command: x, depends_on: [left, right]}
  - {name: beside, command: x, depends_on: [right]}
`

func job(t *testing.T, text string) *pipeline.Job {
	t.Helper()
	d := parse(t, text)
	n := pipeline.Naming{Pipeline: d.Name, Number: 1, ID: "job-1"}
	plan, values, ps := d.Expand(nil, n)
	if ps.Err() != nil {
		t.Fatal(ps)
	}
	return &pipeline.Job{Naming: n, Plan: plan, Parameters: values, State: plan.Fresh()}
}

// play decides once, does what is to be done, and tells what it was.
func play(j *pipeline.Job, seen map[string]pipeline.Seen) string {
	state, actions := pipeline.Decide(j, seen, "", now)
	j.State = state
	var words []string
	for _, a := range actions {
		if a.Kind == pipeline.ActionStart {
			j.Of(a.Key).Session = "ses-" + a.Key
		}
		words = append(words, string(a.Kind)+" "+a.Key)
	}
	return strings.Join(words, ", ")
}

func statuses(j *pipeline.Job) string {
	words := []string{string(j.Status)}
	for _, p := range j.Steps {
		words = append(words, p.Key+"="+string(p.Status))
	}
	return strings.Join(words, " ")
}

func ended(well bool, key ...string) map[string]pipeline.Seen {
	out := map[string]pipeline.Seen{}
	for _, k := range key {
		out[k] = pipeline.Seen{Ended: true, Well: well, Reason: "exit code 3"}
	}
	return out
}

// TestFailingBranch: it stops what depends on it and nothing else, and is where a resume goes on.
func TestFailingBranch(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	if got := play(j, nil); got != "start top" {
		t.Error(got)
	}
	if got := play(j, nil); got != "" {
		t.Errorf("again: %s", got)
	}
	if got := play(j, ended(true, "top")); got != "start left, start right" {
		t.Error(got)
	}
	if got := play(j, ended(false, "left")); got != "" {
		t.Error(got)
	}
	if got := statuses(j); got != "RUNNING top=SUCCEEDED left=FAILED right=RUNNING bottom=SKIPPED beside=WAITING" {
		t.Error(got)
	}
	if got := play(j, ended(true, "right")); got != "start beside" {
		t.Error(got)
	}
	play(j, ended(true, "beside"))
	if got := statuses(j); got != "FAILED top=SUCCEEDED left=FAILED right=SUCCEEDED bottom=SKIPPED beside=SUCCEEDED" {
		t.Error(got)
	}
	if j.Reason != "left failed: exit code 3; 1 of 5 skipped" {
		t.Error(j.Reason)
	}
	state, err := pipeline.Resume(*j, "ada", now)
	if err != nil {
		t.Fatal(err)
	}
	j.State = state
	if left, bottom := j.Of("left"), j.Of("bottom"); left.Attempt != 2 || left.Session != "" || bottom.Attempt != 1 {
		t.Errorf("%+v %+v", left, bottom)
	}
	if got := play(j, nil); got != "start left" {
		t.Error(got)
	}
	if got := play(j, ended(true, "left")); got != "start bottom" {
		t.Error(got)
	}
	play(j, ended(true, "bottom"))
	if j.Status != pipeline.StatusSucceeded || j.Resumes != 1 {
		t.Errorf("%s: %s", statuses(j), j.Reason)
	}
	if _, err := pipeline.Resume(*j, "ada", now); !errors.Is(err, pipeline.ErrState) {
		t.Errorf("nothing was left to do: %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	play(j, nil)
	j.CancelledBy = "ada"
	if got := play(j, nil); got != "stop top" {
		t.Error(got)
	}
	if got := statuses(j); got != "RUNNING top=RUNNING left=CANCELLED right=CANCELLED bottom=CANCELLED beside=CANCELLED" {
		t.Error(got)
	}
	play(j, map[string]pipeline.Seen{"top": {Ended: true, Undone: true, Reason: "ended by ada"}})
	if j.Status != pipeline.StatusCancelled || j.Reason != "cancelled by ada" || j.EndedAt != now {
		t.Errorf("%s %s", statuses(j), j.Reason)
	}
	// One that waits for another is cancelled without ever having run.
	j = job(t, diamond)
	state, _ := pipeline.Decide(j, nil, "diamond.1", now)
	if state.Status != pipeline.StatusQueued || !strings.Contains(state.Reason, "diamond.1") {
		t.Errorf("%+v", state)
	}
	j.CancelledBy = "ada"
	if state, _ = pipeline.Decide(j, nil, "diamond.1", now); state.Status != pipeline.StatusCancelled {
		t.Errorf("%+v", state)
	}
}

// TestEndedByHand: somebody who ends a task's session has cancelled it.
func TestEndedByHand(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	play(j, nil)
	play(j, map[string]pipeline.Seen{"top": {Ended: true, Undone: true, Reason: "ended by bob"}})
	if got := statuses(j); got != "CANCELLED top=CANCELLED left=SKIPPED right=SKIPPED bottom=SKIPPED beside=SKIPPED" {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	j := job(t, "version: 1\nname: aa\nmax_parallel: 3\ntasks: [{name: a, image: x, command: x, matrix: {v: [1, 2, 3]}, max_parallel: 2}, {name: b, image: x, command: x, matrix: {v: [1, 2]}}]")
	if got := play(j, nil); got != "start a-1, start a-2, start b-1" {
		t.Error(got)
	}
	if a, b := j.Of("a-3").Reason, j.Of("b-2").Reason; !strings.Contains(a, "2 of at most 2") && !strings.Contains(a, "another task") || !strings.Contains(b, "3 of at most 3") {
		t.Errorf("%q %q", a, b)
	}
	if got := play(j, ended(true, "b-1")); got != "start b-2" {
		t.Error(got)
	}
	if got := play(j, ended(true, "a-1")); got != "start a-3" {
		t.Error(got)
	}
}

// TestBlocked: what could not be started is tried again, later each time, and cancelled at once.
func TestBlocked(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	state, actions := pipeline.Decide(j, nil, "", now)
	if len(actions) != 1 {
		t.Fatal(actions)
	}
	j.State = state
	j.Of("top").Blocked(errors.New("the database is away"), now)
	if state, actions = pipeline.Decide(j, nil, "", now); len(actions) != 0 || !strings.Contains(state.Of("top").Reason, "database is away") {
		t.Errorf("%+v", state.Of("top"))
	}
	if _, actions = pipeline.Decide(j, nil, "", now.Add(time.Second)); len(actions) != 1 {
		t.Error("it is not tried again")
	}
	j.CancelledBy = "ada"
	if state, _ = pipeline.Decide(j, nil, "", now); state.Status != pipeline.StatusCancelled {
		t.Errorf("%+v", state)
	}
}

// TestEveryJobEnds plays graphs by chance, with steps that end well or not, in any order: a job ends, each step that ran did so
// after all that it needs had ended well, and whatever did not run has a reason.
func TestEveryJobEnds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		chance := rand.New(rand.NewPCG(seed, 1))
		text := "version: 1\nname: aa\nmax_parallel: " + fmt.Sprint(1+chance.IntN(4)) + "\ndefaults: {image: x}\ntasks:\n"
		names := chance.Perm(2 + chance.IntN(12)) // in any order in the file
		for _, n := range names {
			var after []string
			for m := range n {
				if chance.IntN(3) == 0 {
					after = append(after, fmt.Sprintf("t%d", m))
				}
			}
			text += fmt.Sprintf("  - {name: t%d, command: x, depends_on: [%s]}\n", n, strings.Join(after, ", "))
		}
		j := job(t, text)
		for range 200 {
			seen := map[string]pipeline.Seen{}
			for _, p := range j.Steps {
				if p.Status == pipeline.StepRunning && p.Session != "" && chance.IntN(2) == 0 {
					seen[p.Key] = pipeline.Seen{Ended: true, Well: chance.IntN(6) > 0, Reason: "so"}
				}
			}
			if chance.IntN(100) == 0 {
				j.CancelledBy = "ada"
			}
			play(j, seen)
			if j.Status.Ended() {
				break
			}
			for i, s := range j.Plan.Steps {
				if j.Steps[i].Status != pipeline.StepRunning {
					continue
				}
				for _, need := range s.Needs() {
					if !j.Of(need).Status.Well() {
						t.Fatalf("seed %d: %s runs before %s: %s", seed, s.Key, need, statuses(j))
					}
				}
			}
		}
		if !j.Status.Ended() || j.Reason == "" || slices.ContainsFunc(j.Steps, func(p pipeline.Progress) bool {
			return !p.Status.Ended() || p.Status != pipeline.StepSucceeded && p.Reason == ""
		}) {
			t.Fatalf("seed %d: %s: %s", seed, statuses(j), j.Reason)
		}
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	s := &pipeline.Schedule{Cron: "30 2 * * *", Zone: "Europe/Berlin", Enabled: true}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct{ since, now, due string }{
		{"2026-03-01T00:00:00Z", "2026-03-01T01:29:59Z", ""},
		{"2026-03-01T00:00:00Z", "2026-03-01T01:30:00Z", "2026-03-01T01:30:00Z"},
		{"2026-03-01T01:30:00Z", "2026-03-01T20:00:00Z", ""},
		{"2026-03-01T01:30:00Z", "2026-03-09T20:00:00Z", "2026-03-09T01:30:00Z"}, // eight were missed: one
		{"2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"}, // clocks went forward
		{"2026-03-09T00:00:00Z", "2026-03-01T20:00:00Z", ""},                     // the box's clock went back
	} {
		due, _, err := s.Due(at(c.since), at(c.now))
		got := ""
		if !due.IsZero() {
			got = due.UTC().Format(time.RFC3339)
		}
		if err != nil || got != c.due {
			t.Errorf("since %s at %s: %q, not %q (%v)", c.since, c.now, got, c.due, err)
		}
	}
	s.Enabled = false
	if due, next, _ := s.Due(at("2026-03-01T00:00:00Z"), at("2026-03-05T00:00:00Z")); !due.IsZero() || !next.IsZero() {
		t.Error("it is not enabled")
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	j.Plan.Notify = []pipeline.Notification{{On: []string{"failure"}}, {On: []string{"success", "failure", "cancelled"}}, {On: []string{"recovery"}}, {On: []string{"success", "recovery"}}}
	for _, c := range []struct {
		status, before pipeline.Status
		want           string
	}{
		{pipeline.StatusFailed, "", "0 failure, 1 failure"},
		{pipeline.StatusSucceeded, pipeline.StatusSucceeded, "1 success, 3 success"},
		{pipeline.StatusSucceeded, pipeline.StatusFailed, "1 success, 2 recovery, 3 recovery"},
		{pipeline.StatusCancelled, pipeline.StatusFailed, "1 cancelled"},
	} {
		j.Status = c.status
		var words []string
		for _, n := range pipeline.Notices(j, c.before) {
			words = append(words, fmt.Sprint(n.To, " ", n.Event))
		}
		if got := strings.Join(words, ", "); got != c.want {
			t.Errorf("%s after %s: %s, not %s", c.status, c.before, got, c.want)
		}
	}
	n := pipeline.Notice{}
	for tries := 1; n.Open(); tries++ {
		if n = n.Tried(errors.New("no answer"), now); tries > 10 {
			t.Fatal("it is tried for ever")
		}
	}
	if !n.Lost || n.Tries != 6 {
		t.Errorf("%+v", n)
	}
	if n = (pipeline.Notice{}).Tried(nil, now); n.Open() || n.SentAt != now {
		t.Errorf("%+v", n)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	run := pipeline.Run{Image: "a", Command: "x", Cache: true}
	step := pipeline.Step{Key: "a", Task: "a", Run: &run}
	base := pipeline.Circumstances{Image: "sha256:1", Inputs: []string{"1/b.1"}}
	key := pipeline.CacheKey(step, base)
	other := func(change func(s *pipeline.Step, r *pipeline.Run, c *pipeline.Circumstances)) string {
		s, r, c := step, run, base
		change(&s, &r, &c)
		s.Run = &r
		return pipeline.CacheKey(s, c)
	}
	type step_ = pipeline.Step
	for name, k := range map[string]string{
		"command": other(func(_ *step_, r *pipeline.Run, _ *pipeline.Circumstances) { r.Command = "y" }),
		"env":     other(func(_ *step_, r *pipeline.Run, _ *pipeline.Circumstances) { r.Env = map[string]string{"A": ""} }),
		"image":   other(func(_ *step_, _ *pipeline.Run, c *pipeline.Circumstances) { c.Image = "sha256:2" }),
		"inputs":  other(func(_ *step_, _ *pipeline.Run, c *pipeline.Circumstances) { c.Inputs = []string{"2/b.1"} }),
		"folders": other(func(_ *step_, _ *pipeline.Run, c *pipeline.Circumstances) { c.Folders = []string{"x"} }),
		"off":     other(func(_ *step_, r *pipeline.Run, _ *pipeline.Circumstances) { r.Cache = false }),
	} {
		if k == key {
			t.Errorf("another %s is no other task", name)
		}
	}
	if other(func(_ *step_, r *pipeline.Run, _ *pipeline.Circumstances) { r.Timeout = time.Hour }) != key {
		t.Error("a task with another timeout is another task")
	}
	j := job(t, diamond)
	j.Steps[0] = pipeline.Progress{Key: "top", Status: pipeline.StepSucceeded, Cache: key, Output: "1/top.1"}
	there := true
	find := func() bool {
		output, from, found := pipeline.Cached([]*pipeline.Job{j}, key, func(string) bool { return there })
		return found && output == "1/top.1" && from == "diamond.1"
	}
	if !find() {
		t.Error("not found")
	}
	if there = false; find() {
		t.Error("its outputs are gone")
	}
	if there, j.Steps[0].Status = true, pipeline.StepCached; !find() {
		t.Error("not found with a job that used it again, where the one that ran it is not kept any more")
	}
	if there, j.Steps[0].Status = true, pipeline.StepFailed; find() {
		t.Error("it had failed")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	e := pipeline.Expect{Status: 200, Contains: []string{"palisade"}, Excludes: []string{"error"}, Matches: "fence|wall", JSON: map[string]string{"choices.0.text": "^A", "n": "^2$"}}
	if err := e.Judge(pipeline.Answer{Status: 200, Body: `{"choices":[{"text":"A palisade is a fence"}],"n":2}`}); err != nil {
		t.Error(err)
	}
	err := e.Judge(pipeline.Answer{Status: 500, Body: `{"choices":[{"text":"error"}]}`})
	for _, words := range []string{"500, not 200", `does not hold "palisade"`, `holds "error"`, "does not match", "no n", `choices.0.text of its answer does not match "^A": error`} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("nothing says %q: %v", words, err)
		}
	}
	if err := e.Judge(pipeline.Answer{Status: 500, Body: "\x1b]0;owned\x07\u009b31m"}); err == nil || strings.ContainsAny(err.Error(), "\x1b\x07\u009b") {
		t.Errorf("what an engine says reaches the terminal: %q", err)
	}
	if err := e.Judge(pipeline.Answer{Status: 200, Body: "palisade fence"}); err == nil || !strings.Contains(err.Error(), "no JSON") {
		t.Error(err)
	}
}
