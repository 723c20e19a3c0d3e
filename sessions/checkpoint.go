package sessions

import (
	"cmp"
	"path"
	"slices"
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
	for name, value := range map[string]string{"PALISADE_CHECKPOINT_DIR": target, "PALISADE_METRICS": path.Join(target, MetricsFile)} {
		if _, set := spec.Env[name]; !set {
			spec.Env[name] = value
		}
	}
	if given {
		return nil
	}
	dir, err := r.points.Make(cmp.Or(s.clusterID(), s.ID)) // the containers of one session share one
	if err != nil {
		return err
	}
	spec.Mounts = append(slices.Clip(spec.Mounts), Mount{Source: dir, Target: target})
	return nil
}

// scratch are the directories of a session that go with its run, but for those that its owner has put a folder at.
func scratch(s Session) []string {
	return slices.DeleteFunc(slices.Clone(s.Launch.Scratch), func(dir string) bool {
		return slices.ContainsFunc(s.Mounts, func(m Mount) bool { return path.Clean(m.Target) == dir })
	})
}
