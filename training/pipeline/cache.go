package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Circumstances are what a step's outcome depends on beside what its pipeline says.
type Circumstances struct {
	Image   string   `json:"image"`   // digest
	Inputs  []string `json:"inputs"`  // where they are: the same place is the same content, for nobody writes there again
	Folders []string `json:"folders"` // fingerprint of each that it mounts
}

// CacheKey names all that a step's outcome depends on, as one word; "" where its outputs are not to be used again.
func CacheKey(s Step, c Circumstances) string {
	if s.Run == nil || !s.Run.Cache {
		return ""
	}
	// How patiently it is run is of no account for what it leaves.
	run := *s.Run
	run.Timeout, run.Retries, run.Priority, run.Preemptible, run.MinRuntime, run.Selector = 0, 0, nil, false, 0, nil
	raw, err := json.Marshal([]any{1, s.Key, run, s.Inputs, c})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// Cached finds the newest step of earlier jobs, newest first, that left what a step with a key would leave. Where the job that
// ran it is not kept any more, one that used its outputs again stands for it.
func Cached(jobs []*Job, key string, there func(output string) bool) (output, job string, found bool) {
	if key == "" {
		return "", "", false
	}
	for _, status := range []StepStatus{StepSucceeded, StepCached} {
		for _, j := range jobs {
			for _, p := range j.Steps {
				if p.Cache == key && p.Status == status && there(p.Output) {
					return p.Output, j.Name(), true
				}
			}
		}
	}
	return "", "", false
}
