package tally

import "github.com/prometheus/client_golang/prometheus"

// figures are what is measured.
type figures struct {
	outages, alone, calls prometheus.Counter
	waits                 prometheus.Histogram
}

func newFigures(reg prometheus.Registerer, c *Counter) figures {
	f := figures{
		outages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "palisade_limits_outages_total", Help: "How often limits could not be counted together with other boxes any more, because Redis failed or was slow.",
		}),
		alone: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "palisade_limits_alone_total", Help: "Requests that this box let in or refused by its share of the limits, without the other boxes.",
		}),
		calls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "palisade_limits_calls_total", Help: "Requests let in, refused or settled by Redis.",
		}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "palisade_limits_wait_seconds", Help: "How long a request waited for Redis to let it in or refuse it.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1},
		}),
	}
	if reg == nil {
		return f
	}
	reg.MustRegister(f.outages, f.alone, f.calls, f.waits,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "palisade_limits_together", Help: "1 while limits are counted together with the other boxes, 0 while this box counts alone.",
		}, func() float64 {
			if c.Status().Mode == Together {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "palisade_limits_round_trips_total", Help: "Round trips to Redis by which requests were let in or settled.",
		}, func() float64 { return float64(c.tripped.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "palisade_limits_boxes", Help: "Processes that count limits together, or did when they last could.",
		}, func() float64 { return float64(c.Status().Boxes) }))
	return f
}
