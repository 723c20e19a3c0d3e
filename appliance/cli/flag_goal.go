package cli

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// goal is the value of a flag that says what each route is to have: a number over 0, or auto, which is what a calibration found.
type goal struct {
	value float64
	auto  bool
}

// Type is what help calls it.
func (g *goal) Type() string { return "number|auto" }

// String writes it as people do; "" where it was not given, so that help shows no default.
func (g *goal) String() string {
	switch {
	case g.auto:
		return "auto"
	case g.value == 0:
		return ""
	}
	return figure(&g.value)
}

// Set reads it.
func (g *goal) Set(text string) error {
	if strings.EqualFold(text, "auto") {
		*g = goal{auto: true}
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || math.IsInf(n, 0) {
		return errors.New("it is a number over 0, or auto: as many requests at once as palisade calibrate found")
	}
	*g = goal{value: n}
	return nil
}
