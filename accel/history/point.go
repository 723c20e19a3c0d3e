package history

import (
	"cmp"
	"slices"
	"time"
)

// Value is one thing over one step; -1 where the device did not tell it.
type Value struct {
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// Point is what a device said in one step. Steps in which it said nothing have no point: a gap is a gap.
type Point struct {
	At          time.Time `json:"at"`          // begin of the step; of the finest step, the sample's own time
	Samples     int       `json:"samples"`     // how many it stands for, at least 1
	Utilization Value     `json:"utilization"` // 0 to 1
	Memory      Value     `json:"memory"`      // bytes
	Power       Value     `json:"power"`       // watts
	Temperature Value     `json:"temperature"` // degrees Celsius
}

// points sums records up, oldest first.
//  1. With a step of one sample, each record is a point.
//  2. Else the records of each step are one. Steps begin at multiples of themselves, so that a point stays what it is
//     when the period that is looked at moves on.
func points(all []record, step time.Duration) []Point {
	slices.SortFunc(all, func(a, b record) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	var out []Point
	for len(all) > 0 {
		n, at := 1, all[0].at // 1
		if step > Every {     // 2
			at = at.Truncate(step)
			for n < len(all) && all[n].at.Truncate(step).Equal(at) {
				n++
			}
		}
		some := all[:n]
		out = append(out, Point{
			At: at, Samples: n,
			Utilization: sum(some, func(r record) float64 { return r.utilization }),
			Memory:      sum(some, func(r record) float64 { return float64(r.memory) }),
			Power:       sum(some, func(r record) float64 { return r.power }),
			Temperature: sum(some, func(r record) float64 { return r.temperature }),
		})
		all = all[n:]
	}
	return out
}

// sum takes the mean and the largest of what is known. Every known value but a temperature is 0 or more, and no
// device that is -1 degrees cold computes.
func sum(all []record, of func(record) float64) Value {
	v, known := Value{Mean: -1, Max: -1}, 0
	for _, r := range all {
		x := of(r)
		if x < 0 {
			continue
		}
		if known == 0 {
			v.Mean = 0
		}
		known++
		v.Mean += (x - v.Mean) / float64(known)
		v.Max = max(v.Max, x)
	}
	return v
}
