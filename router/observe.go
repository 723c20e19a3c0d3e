package router

import (
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/usage"
)

// Observers are told what requests did. Each may be nil.
type Observers struct {
	Live     *record.Live
	Captures *record.Captures
	Usage    *usage.Meter
	Log      *record.AccessLog
	Tracing  record.Tracing
	Spans    interface{ Write(*record.Record) }
	// Demand is told of every request, sampled or not: what came is played again to rehearse how it should be scaled.
	Demand interface{ Write(*record.Record) }
	// Held is called each time that a request begins to wait, or would if any might, for a service of which no
	// route can answer; and when that comes to be while some wait. It must not block, nor call the router.
	Held func(serviceID string)
}

// Observe tells o of all requests from now on. To be called before the first table is set.
func (r *Router) Observe(o Observers) { r.observers = o }
