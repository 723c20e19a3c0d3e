package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/router/usage"
)

// Usage is how what was used is told of.
type Usage struct {
	Prices Prices `yaml:"prices"`
}

// Prices are what is charged.
type Prices struct {
	Currency string `yaml:"currency"`
	// Models are prices of a thousand tokens, as {prompt: 0.002, completion: 0.006}, by the model's name or its service's; "*"
	// of all others.
	Models map[string]map[string]string `yaml:"models"`
	// Devices are prices of an accelerator for an hour, by its model; "*" of all others.
	Devices map[string]string `yaml:"devices"`
}

const mostPrice = 1e9

// Settings are those of the room; nil where nothing has a price. Check comes before.
func (p Prices) Settings() *usage.Prices {
	if len(p.Models)+len(p.Devices) == 0 {
		return nil
	}
	out := &usage.Prices{Currency: p.Currency, Models: map[string]usage.ModelPrice{}, Devices: map[string]float64{}}
	for name, words := range p.Models {
		prompt, _ := amount(words["prompt"])
		completion, _ := amount(words["completion"])
		out.Models[name] = usage.ModelPrice{Prompt: prompt, Completion: completion}
	}
	for name, text := range p.Devices {
		out.Devices[name], _ = amount(text)
	}
	return out
}

// amount reads a price; "" is none.
func amount(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > mostPrice {
		return 0, fmt.Errorf("%q is no price", text)
	}
	return v, nil
}

func (p Prices) check() (ps catalog.Problems) {
	const hint = "a number such as 0.002"
	for _, name := range slices.Sorted(maps.Keys(p.Models)) {
		for _, what := range slices.Sorted(maps.Keys(p.Models[name])) {
			field := "usage.prices.models." + name + "." + what
			if what != "prompt" && what != "completion" {
				ps = append(ps, problem(field, "there is no such price", "prompt and completion, of a thousand tokens each"))
			} else if _, err := amount(p.Models[name][what]); err != nil {
				ps = append(ps, problem(field, err.Error(), hint))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Devices)) {
		if _, err := amount(p.Devices[name]); err != nil {
			ps = append(ps, problem("usage.prices.devices."+name, err.Error(), hint))
		}
	}
	if len(p.Models)+len(p.Devices) > 0 && p.Currency == "" {
		ps = append(ps, problem("usage.prices.currency", "is needed beside prices", "like USD"))
	}
	return ps
}
