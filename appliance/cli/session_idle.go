package cli

import (
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// idleWords say when a session was used last, and when it is ended.
func (a *app) idleWords(i *api.SessionIdle) [][2]string {
	if i == nil {
		return nil
	}
	used, ends := a.agoPtr(i.UsedAt), ""
	if i.Connections > 0 {
		used = plural(i.Connections, "connection") + " open now"
	}
	if i.EndsAt != nil {
		left := i.EndsAt.Sub(a.now()).Round(time.Second)
		ends = "in " + max(left, 0).String() + ", at " + i.EndsAt.Local().Format("2006-01-02 15:04:05") + ": " + i.Reason
	}
	return [][2]string{{"used", used}, {"will be ended", ends}}
}
