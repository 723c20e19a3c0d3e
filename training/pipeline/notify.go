package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Message is what a webhook is sent of a job's end. Chat servers show its text.
type Message struct {
	Text      string        `json:"text"`
	Event     string        `json:"event"`
	Pipeline  string        `json:"pipeline"`
	Project   string        `json:"project"`
	Job       string        `json:"job"`
	JobID     string        `json:"job_id"`
	Status    string        `json:"status"`
	Reason    string        `json:"reason"`
	CreatedBy string        `json:"created_by"`
	StartedAt time.Time     `json:"started_at"`
	EndedAt   time.Time     `json:"ended_at"`
	Duration  float64       `json:"duration"` // seconds
	Tasks     []MessageTask `json:"tasks"`
}

// MessageTask is one task in a Message.
type MessageTask struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// Message says how a job has ended.
func (j *Job) Message(event string) Message {
	m := Message{
		Event: event, Pipeline: j.Pipeline, Project: j.Project, Job: j.Name(), JobID: j.ID, Status: string(j.Status), Reason: j.Reason,
		CreatedBy: j.CreatedBy, StartedAt: j.StartedAt, EndedAt: j.EndedAt, Duration: j.EndedAt.Sub(j.StartedAt).Seconds(),
	}
	if j.StartedAt.IsZero() {
		m.Duration = 0
	}
	for _, p := range j.Steps {
		m.Tasks = append(m.Tasks, MessageTask{p.Key, string(p.Status), p.Reason})
	}
	verb := strings.ToLower(string(j.Status))
	if event == "recovery" {
		verb = "succeeded again"
	}
	took := time.Duration(m.Duration * float64(time.Second)).Round(time.Second)
	m.Text = fmt.Sprintf("Pipeline %s: job %s %s after %s: %s", j.Pipeline, j.Name(), verb, took, j.Reason)
	return m
}

// Notices are the notifications of a job that has ended. before is how the job before it ended; "" where there was none.
func Notices(j *Job, before Status) (out []Notice) {
	event := map[Status]string{StatusSucceeded: "success", StatusFailed: "failure", StatusCancelled: "cancelled"}[j.Status]
	for i, n := range j.Plan.Notify {
		switch recovered := j.Status == StatusSucceeded && before == StatusFailed; {
		case recovered && slices.Contains(n.On, "recovery"):
			out = append(out, Notice{To: i, Event: "recovery"})
		case slices.Contains(n.On, event):
			out = append(out, Notice{To: i, Event: event})
		}
	}
	return out
}

// waits between the tries of a notification.
var waits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}

// Tried is a notification after one more try; why is nil where it was taken.
func (n Notice) Tried(why error, now time.Time) Notice {
	n.Tries++
	n.NextAt, n.Fault = time.Time{}, ""
	switch {
	case why == nil:
		n.SentAt = now
	case n.Tries > len(waits):
		n.Lost, n.Fault = true, why.Error()
	default:
		n.NextAt, n.Fault = now.Add(waits[n.Tries-1]), why.Error()
	}
	return n
}

// Open reports whether the notification is still to be sent.
func (n Notice) Open() bool { return n.SentAt.IsZero() && !n.Lost }
