package fleet

// Has is the node that has reported a session; false: none has, or that is not known yet.
func (f *Fleet) Has(id string) (node string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, of := range f.reports {
		if _, has := of[id]; has {
			return name, true
		}
	}
	return "", false
}
