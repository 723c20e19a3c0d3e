package config

import (
	"strings"
	"testing"
)

func TestPrices(t *testing.T) {
	if p := (Prices{Currency: "USD"}); p.Settings() != nil || len(p.check()) != 0 {
		t.Error("a currency alone charges nothing")
	}
	good := Prices{Currency: "USD", Models: map[string]map[string]string{"*": {"prompt": "0.002", "completion": "6e-3"}}, Devices: map[string]string{"NVIDIA H100": "2.5"}}
	if ps := good.check(); len(ps) != 0 {
		t.Error(ps)
	}
	if s := good.Settings(); s.Models["*"].Completion != 0.006 || s.Devices["NVIDIA H100"] != 2.5 || s.Currency != "USD" {
		t.Errorf("%+v", s)
	}
	bad := Prices{Models: map[string]map[string]string{"m": {"prompt": "-1", "answer": "1"}}, Devices: map[string]string{"d": "much", "e": "NaN", "f": "1e12"}}
	text := bad.check().Error()
	for _, want := range []string{"models.m.prompt", "models.m.answer", "devices.d", "devices.e", "devices.f", "prices.currency"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not said in %s", want, text)
		}
	}
}
