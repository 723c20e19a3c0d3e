package pipeline

import (
	"fmt"
	"slices"
	"strings"
)

// circle is a circle of tasks that wait for one another, beginning and ending with the same; nil where there is none.
func circle(tasks []Task) []string {
	const (
		open = 1 + iota
		done
	)
	after := map[string][]string{}
	for _, t := range tasks {
		after[t.Name] = t.DependsOn
	}
	state := map[string]int{}
	var path []string
	var visit func(name string) []string
	visit = func(name string) []string {
		switch state[name] {
		case done:
			return nil
		case open:
			return append(slices.Clone(path[slices.Index(path, name):]), name)
		}
		state[name] = open
		path = append(path, name)
		for _, next := range after[name] {
			if found := visit(next); found != nil {
				return found
			}
		}
		path = path[:len(path)-1]
		state[name] = done
		return nil
	}
	for _, t := range tasks {
		if found := visit(t.Name); found != nil {
			return found
		}
	}
	return nil
}

// Node is a task as it is drawn.
type Node struct {
	Name   string
	After  []string
	Note   string     // beside its name: how many instances, how it stands
	Status StepStatus // "": it is drawn of a file
}

// Nodes are the tasks of a file.
func (d *Definition) Nodes() []Node {
	out := make([]Node, len(d.Tasks))
	for i, t := range d.Tasks {
		out[i] = Node{Name: t.Name, After: t.DependsOn}
		switch n := t.Count(); {
		case t.Serve != nil:
			out[i].Note = "service " + t.Serve.Service
		case n > 1:
			out[i].Note = fmt.Sprintf("×%d", n)
		}
	}
	return out
}

// Nodes are the tasks of a job, with how they stand; of a matrix all instances are one.
func (j *Job) Nodes() []Node {
	var out []Node
	counts := map[string]map[StepStatus]int{}
	for i, s := range j.Plan.Steps {
		if counts[s.Task] == nil {
			counts[s.Task] = map[StepStatus]int{}
			n := Node{Name: s.Task}
			for _, in := range s.Inputs {
				n.After = append(n.After, in.Task)
			}
			out = append(out, n)
		}
		counts[s.Task][j.Steps[i].Status]++
	}
	for i := range out {
		of := counts[out[i].Name]
		var words []string
		total := 0
		// The first that there is says how the task stands.
		for _, status := range []StepStatus{StepFailed, StepRunning, StepCancelled, StepSkipped, StepWaiting, StepSucceeded, StepCached} {
			n := of[status]
			total += n
			if n > 0 && out[i].Status == "" {
				out[i].Status = status
			}
			if n > 0 {
				words = append(words, fmt.Sprintf("%d %s", n, status))
			}
		}
		out[i].Note = string(out[i].Status)
		if total > 1 {
			out[i].Note = fmt.Sprintf("×%d: %s", total, strings.Join(words, ", "))
		}
	}
	return out
}

// layers puts nodes into columns: each in the first one after all that it comes after. There are no circles.
func layers(nodes []Node) [][]Node {
	depth, byName := map[string]int{}, map[string]Node{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	var of func(n Node) int
	of = func(n Node) int {
		if d, known := depth[n.Name]; known {
			return d
		}
		d := 0
		for _, name := range n.After {
			d = max(d, of(byName[name])+1)
		}
		depth[n.Name] = d
		return d
	}
	var out [][]Node
	for _, n := range nodes {
		d := of(n)
		for len(out) <= d {
			out = append(out, nil)
		}
		out[d] = append(out[d], n)
	}
	return out
}

// sorted are the nodes with each after those that it comes after, near them where it can be.
func sorted(nodes []Node) []Node {
	var out []Node
	for _, layer := range layers(nodes) {
		out = append(out, layer...)
	}
	return out
}
