package admin

import (
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/idle"
)

// Idle says how interactive sessions stand with what ends them for want of use. *idle.Keeper is it.
type Idle interface {
	Standing(s sessions.Session) (st idle.Standing, ok bool)
}

// withIdle adds how a session stands.
func (s *server) withIdle(out api.Session, v sessions.Session) api.Session {
	if s.Idle == nil {
		return out
	}
	st, ok := s.Idle.Standing(v)
	if !ok {
		return out
	}
	out.Idle = &api.SessionIdle{
		Timeout: st.Timeout.Seconds(), MaxLifetime: st.Lifetime.Seconds(), Connections: st.Open,
		UsedAt: timePtr(st.Used.Truncate(time.Second)), EndsAt: timePtr(st.Ends.Truncate(time.Second)), Reason: st.Reason,
	}
	return out
}
