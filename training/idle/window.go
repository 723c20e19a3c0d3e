package idle

import "time"

// window is what a session did lately.
type window struct {
	parts []part
}

// part is the mean of a length of time. -1: it is not known, or there is none of it.
type part struct {
	from, to            time.Time
	cpu, memory, device float64
}

func (w *window) add(p part, keep time.Duration) {
	w.parts = append(w.parts, p)
	for len(w.parts) > 1 && w.parts[1].from.Before(p.to.Add(-keep)) {
		w.parts = w.parts[1:]
	}
}

// mean is that of a length of time before now; nil where not all of it is known.
func (w *window) mean(of func(part) float64, now time.Time, length time.Duration) *float64 {
	from := now.Add(-length)
	if len(w.parts) == 0 || w.parts[0].from.After(from) {
		return nil
	}
	sum, covered := 0.0, time.Duration(0)
	for _, p := range w.parts {
		d := p.to.Sub(p.from)
		if p.from.Before(from) {
			d = p.to.Sub(from)
		}
		if v := of(p); d > 0 {
			if v < 0 {
				return nil
			}
			sum += v * d.Seconds()
			covered += d
		}
	}
	if covered < length*3/4 { // the newest part ends a while ago
		return nil
	}
	return new(sum / covered.Seconds())
}
