package ui

import (
	"math"
	"testing"
)

func TestMoney(t *testing.T) {
	for want, amount := range map[string]float64{"0 USD": 0, "0.0042 USD": 0.0042, "12.35 USD": 12.345678, "1,234,568 USD": 1234567.8, "– USD": math.NaN(), "-3.50 USD": -3.5, "1e+20 USD": 1e20} {
		if got := Money(amount, "USD"); got != want {
			t.Errorf("%v: %s, want %s", amount, got, want)
		}
	}
	if got := Money(1, ""); got != "1.00" {
		t.Error(got)
	}
}

func TestFileIcon(t *testing.T) {
	for name, want := range map[string]string{"a.PNG": "photo", "a": "file", "x/y.ipynb": "notebook", "m.gguf": "database"} {
		if got := FileIcon(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for url, good := range map[string]bool{"data:image/png;base64,AA==": true, "data:image/svg+xml;base64,AA": false, "javascript:x": false, "data:image/png;base64,A\"A": false, "data:text/html;base64,AA": false} {
		if got := DataURL(url) != ""; got != good {
			t.Errorf("%s: %t", url, got)
		}
	}
}
