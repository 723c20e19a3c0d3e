package usage

import (
	"maps"
	"slices"
)

// Prices are what is charged for what is used, all in one currency. The zero value charges nothing.
type Prices struct {
	Currency string                // EUR, KRW, credits: written behind amounts
	Models   map[string]ModelPrice // by the model as clients name it, or its service; "*": all others
	Devices  map[string]float64    // of an accelerator that is held for an hour, by its model; "*": all others
}

// ModelPrice is what a thousand tokens of a model cost.
type ModelPrice struct {
	Prompt     float64
	Completion float64
}

// anyName stands for all that have no price of their own.
const anyName = "*"

// Any reports whether anything has a price.
func (p *Prices) Any() bool { return p != nil && len(p.Models)+len(p.Devices) > 0 }

// Tokens is what tokens of a model, or of a service where that has none, cost. known is false where there is no price for them.
func (p *Prices) Tokens(model, service string, prompt, completion int64) (cost float64, known bool) {
	if p == nil {
		return 0, false
	}
	for _, name := range []string{model, service, anyName} {
		if price, ok := p.Models[name]; ok && name != "" {
			return (float64(prompt)*price.Prompt + float64(completion)*price.Completion) / 1000, true
		}
	}
	return 0, false
}

// Hour is what an hour of an accelerator costs on a box that has so many of each kind: their mean where prices differ, since
// it is not kept which kind somebody held. known is false where one of them has no price.
func (p *Prices) Hour(kinds map[string]int) (cost float64, known bool) {
	if p == nil || len(p.Devices) == 0 {
		return 0, false
	}
	all := 0
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		price, ok := p.Devices[kind]
		if !ok {
			price, ok = p.Devices[anyName]
		}
		if !ok {
			return 0, false
		}
		cost += price * float64(kinds[kind])
		all += kinds[kind]
	}
	if all == 0 { // there are none now
		cost, known = p.Devices[anyName]
		return cost, known
	}
	return cost / float64(all), true
}
