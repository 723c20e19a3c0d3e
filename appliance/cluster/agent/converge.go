package agent

import "github.com/palisade-run/palisade/appliance/cluster"

// presence is what the node's runtime has of a session.
type presence int

const (
	nothing presence = iota
	runs
	ended
	unknown // it may be there, or half of it
)

// action is what is to be done next for one session.
type action string

const (
	rest   action = ""       // until something changes
	look   action = "look"   // what is here
	start  action = "start"  // after it was taken in
	end    action = "end"    // what runs
	remove action = "remove" // what has ended
	tell   action = "tell"   // that it is as the runtime has it
	lose   action = "lose"   // tell that it has ended, and nobody knows how
	refuse action = "refuse" // tell that it was to end before it was begun
	letGo  action = "let go" // take back the report: nothing is left
)

// next says what is to be done for a session that is wanted so (nil: not at all), was reported so (nil: not at all), and is
// present so. fenced: nobody has heard of this node for longer than the session may run on unseen.
func next(want *cluster.Wanted, told *cluster.Report, here presence, fenced bool) action {
	switch {
	case want != nil && want.Unreadable:
		return rest
	case here == unknown:
		return look
	case want == nil || told != nil && told.Round != want.Round: // what is here is of before
		switch {
		case here == runs:
			return end
		case here == ended:
			return remove
		case told != nil && want == nil:
			return letGo
		case want == nil:
			return rest
		}
		return begin(want)
	case told == nil:
		// Without a report it was never taken in: what is here under its id belongs to nobody.
		switch here {
		case runs:
			return end
		case ended:
			return remove
		case nothing, unknown:
		}
		return begin(want)
	}
	switch told.State {
	case cluster.Starting:
		if here == nothing {
			return begin(want)
		}
		return tell
	case cluster.Running:
		switch {
		case here == nothing:
			return lose
		case here == ended:
			return tell
		case want.Stop != nil || fenced:
			return end
		}
	case cluster.Ended, cluster.Refused:
		if here == runs {
			return end
		}
	}
	return rest
}

func begin(want *cluster.Wanted) action {
	if want.Stop != nil {
		return refuse
	}
	return start
}
