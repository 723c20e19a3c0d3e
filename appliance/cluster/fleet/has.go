package fleet

import "time"

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

// FenceOf is how long a session that is wanted on a node runs on there unseen, as it was said when it was started: 0 is for ever. False: it is
// not wanted there, or that is not known yet.
func (f *Fleet) FenceOf(node, id string) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, wanted := f.orders[node][id]
	return o.fence, wanted
}
