package sessions

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Checkpoints keep a directory for each session of a person that is there in all of its runs.
type Checkpoints interface {
	// Make returns a session's directory, which is made where it is missing.
	Make(session string) (dir string, err error)
	// Forget removes it. What is not there is no error.
	Forget(session string) error
}

// CheckpointDir is where a session finds the directory that is there in all of its runs: PALISADE_CHECKPOINT_DIR.
const CheckpointDir = HomeDir + "/.checkpoint"

// MetricsFile is the name of the file there in which a job may write its figures: PALISADE_METRICS.
const MetricsFile = "metrics.jsonl"

// outsideHome is where it is for a session whose home is a folder: nothing is made in folders that their owners have not
// made there.
const outsideHome = "/checkpoint"

// checkpointTarget is where a session has its directory. given: a folder of its owner's is mounted there, and is it.
func checkpointTarget(mounts []Mount) (target string, given bool) {
	at := func(target string) bool {
		return slices.ContainsFunc(mounts, func(m Mount) bool { return path.Clean(m.Target) == target })
	}
	switch {
	case at(CheckpointDir):
		return CheckpointDir, true
	case at(HomeDir):
		return outsideHome, at(outsideHome)
	}
	return CheckpointDir, false
}

// withCheckpoints shows a session its directory, and says where it is.
func (r *runner) withCheckpoints(spec *Spec, s Session) error {
	if r.points == nil || !s.Personal() {
		return nil
	}
	target, given := checkpointTarget(s.Mounts)
	for name, value := range map[string]string{"PALISADE_CHECKPOINT_DIR": target, metricsEnv: path.Join(target, MetricsFile)} {
		if _, set := spec.Env[name]; !set {
			spec.Env[name] = value
		}
	}
	if given {
		return nil
	}
	dir, err := r.points.Make(s.checkpointOwner())
	if err != nil {
		return err
	}
	spec.Mounts = append(slices.Clip(spec.Mounts), Mount{Source: dir, Target: target})
	return nil
}

// checkpointOwner is the session whose directory it is: the containers of one session share one.
func (s Session) checkpointOwner() string { return cmp.Or(s.clusterID(), s.ID) }

// metricsEnv is what tells a job where to write its figures.
const metricsEnv = "PALISADE_METRICS"

// MetricsPlace says where a session writes its figures.
type MetricsPlace struct {
	Path    string // as the session sees it; "": it is no session of a person
	Own     bool   // it is in the directory that is kept for Session
	Session string
	Mount   Mount  // else it is in this one; without a source: in none
	Within  string // the directory or the mount: from there to the file
}

// MetricsAt says where a session writes its figures, going by what it was told.
func (s Session) MetricsAt() MetricsPlace {
	if !s.Personal() {
		return MetricsPlace{}
	}
	target, given := checkpointTarget(s.Mounts)
	p := MetricsPlace{Path: path.Join(target, MetricsFile), Session: s.checkpointOwner()}
	if at := s.Launch.Env[metricsEnv]; at != "" {
		if p.Path = path.Clean(at); !path.IsAbs(p.Path) {
			p.Path = path.Join(HomeDir, p.Path)
		}
	}
	best := "" // the mount that lies on top
	under := func(dir string) bool {
		rest, ok := strings.CutPrefix(p.Path, dir+"/")
		if ok && len(dir) > len(best) {
			best, p.Within = dir, rest
			return true
		}
		return false
	}
	if !given && under(target) {
		p.Own = true
	}
	for _, m := range s.Mounts {
		if under(path.Clean(m.Target)) {
			p.Own, p.Mount = false, m
		}
	}
	return p
}

// scratch are the directories of a session that go with its run, but for those that its owner has put a folder at.
func scratch(s Session) []string {
	return slices.DeleteFunc(slices.Clone(s.Launch.Scratch), func(dir string) bool {
		return slices.ContainsFunc(s.Mounts, func(m Mount) bool { return path.Clean(m.Target) == dir })
	})
}
