package fleet

import "time"

const (
	// crowd is from how many boxes on most of them do not die at one time.
	crowd = 10
	// crowdPatience is how many times as long they are waited for when most are silent.
	crowdPatience = 6
)

// Grace is for how long a box may be silent until what ran there is begun elsewhere, where silent of all boxes are: as asked for, but
// longer where most of many are. They did not all die; a network did, or etcd is behind. What they run is running, and to begin all
// of it on those that are left would be more than those can bear.
func Grace(asked time.Duration, silent, all int) time.Duration {
	if all >= crowd && 2*silent > all {
		return crowdPatience * asked
	}
	return asked
}
