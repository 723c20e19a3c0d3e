package install

import "slices"

// Here is how many bytes of sources are on the box, by recipe.Source's Where: those of models, and what installs that did not
// come to their end have left. It is what is known without asking a place or the disk; whoever fetches looks for himself.
func (m *Manager) Here() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int64{}
	for _, model := range m.models {
		for _, r := range model.Revisions {
			if source, is := r.Recipe.Source(r.Choice.Source); is && r.Folder != "" {
				out[source.Where()] = max(out[source.Where()], r.Bytes())
			}
		}
	}
	for _, j := range m.jobs {
		if j.KeptOf != "" && (j.Status == Running || j.Status == Failed) {
			out[j.KeptOf] = max(out[j.KeptOf], j.Kept)
		}
	}
	return out
}

const (
	// speedOf is how many of the newest downloads say how fast they are: lines and places change.
	speedOf = 3
	// telling is the least that a download has to have fetched to say anything: what is smaller is all beginnings.
	telling = 16 << 20
)

// Downloads is how fast the last downloads from elsewhere were together, in bytes a second, and how many they were; 0, 0: there
// was none that says anything.
func (m *Manager) Downloads() (rate float64, of int) {
	m.mu.Lock()
	var all []State
	for _, j := range m.jobs {
		all = append(all, j.State)
	}
	m.mu.Unlock()
	return downloads(all)
}

func downloads(all []State) (rate float64, of int) {
	all = slices.DeleteFunc(slices.Clone(all), func(s State) bool {
		at := s.at(StepDownload)
		return at < 0 || s.Steps[at].Status != Finished || !s.Steps[at].EndedAt.After(s.Steps[at].StartedAt) || s.Fetched < telling ||
			s.Listing == nil || s.Listing.Ref.Scheme == "file" || s.Listing.Ref.Scheme == "made"
	})
	slices.SortFunc(all, func(a, b State) int {
		return b.Steps[b.at(StepDownload)].EndedAt.Compare(a.Steps[a.at(StepDownload)].EndedAt)
	})
	all = all[:min(len(all), speedOf)]
	var bytes, seconds float64
	for _, s := range all {
		step := s.Steps[s.at(StepDownload)]
		bytes, seconds = bytes+float64(s.Fetched), seconds+step.EndedAt.Sub(step.StartedAt).Seconds()
	}
	if seconds == 0 {
		return 0, 0
	}
	return bytes / seconds, len(all)
}
