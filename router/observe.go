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
}

// Observe tells o of all requests from now on. To be called before the first table is set.
func (r *Router) Observe(o Observers) { r.observers = o }
