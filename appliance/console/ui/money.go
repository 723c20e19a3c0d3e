package ui

import (
	"math"
	"strconv"
)

// Money writes an amount with its currency, so that small ones are not nothing: 0.0042 USD, 12.34 USD, 1,234,568 KRW.
func Money(amount float64, currency string) string {
	text := "–"
	switch abs := math.Abs(amount); {
	case math.IsNaN(amount) || math.IsInf(amount, 0):
	case abs == 0:
		text = "0"
	case abs < 0.01:
		text = strconv.FormatFloat(amount, 'g', 2, 64)
	case abs < 1000:
		text = strconv.FormatFloat(amount, 'f', 2, 64)
	case abs < 1e15:
		text = grouped(int64(math.Round(amount)))
	default:
		text = strconv.FormatFloat(amount, 'g', 6, 64)
	}
	if currency == "" {
		return text
	}
	return text + " " + currency
}
