package usage

import (
	"testing"
	"time"
)

func TestPrices(t *testing.T) {
	var none *Prices
	if _, known := none.Tokens("x", "y", 1, 1); known || none.Any() {
		t.Error("nothing has a price")
	}
	p := &Prices{Models: map[string]ModelPrice{"llama": {1, 2}, "chat": {10, 20}}, Devices: map[string]float64{"H100": 3, "A100": 1}}
	for _, c := range []struct {
		model, service string
		cost           float64
		known          bool
	}{{"llama", "chat", 5, true}, {"other", "chat", 50, true}, {"other", "else", 0, false}, {"", "", 0, false}} {
		if cost, known := p.Tokens(c.model, c.service, 1000, 2000); cost != c.cost || known != c.known {
			t.Errorf("%+v: %v %t", c, cost, known)
		}
	}
	p.Models["*"] = ModelPrice{0, 1}
	if cost, known := p.Tokens("other", "else", 1000, 2000); cost != 2 || !known {
		t.Error(cost, known)
	}
	for _, c := range []struct {
		kinds map[string]int
		cost  float64
		known bool
	}{{map[string]int{"H100": 2}, 3, true}, {map[string]int{"H100": 1, "A100": 3}, 1.5, true}, {map[string]int{"H100": 1, "L4": 1}, 0, false}, {nil, 0, false}} {
		if cost, known := p.Hour(c.kinds); cost != c.cost || known != c.known {
			t.Errorf("%v: %v %t", c.kinds, cost, known)
		}
	}
	p.Devices["*"] = 0.5
	if cost, known := p.Hour(map[string]int{"H100": 1, "L4": 1}); cost != 1.75 || !known {
		t.Error(cost, known)
	}
	if cost, known := p.Hour(nil); cost != 0.5 || !known {
		t.Error(cost, known)
	}
}

// What it costs, and whose it is, is told whatever groups are made by.
func TestFoldWithPricesAndUsers(t *testing.T) {
	rows := []Row{
		{Hour: time.Unix(0, 0), Key: Key{Token: "tok-1", Service: "chat", Model: "a"}, Class: 2, Sums: Sums{Requests: 1, Prompt: 1000, Completion: 1000}},
		{Hour: time.Unix(0, 0), Key: Key{Token: "tok-2", Service: "chat", Model: "b"}, Class: 2, Sums: Sums{Requests: 1, Prompt: 500}},
		{Hour: time.Unix(0, 0), Key: Key{Service: "chat", Model: "a"}, Class: 2, Sums: Sums{Requests: 1, Completion: 100}},
	}
	q := &Query{By: []Dimension{ByUser}, Users: map[string]string{"tok-1": "ada", "tok-2": "ada"}, Prices: &Prices{Models: map[string]ModelPrice{"a": {1, 2}}}}
	r := Fold(rows, q)
	if len(r.Groups) != 2 || r.Groups[0].User != "ada" || r.Groups[0].Cost != 3 || r.Groups[0].Unpriced != 500 || r.Groups[0].Requests != 2 || r.Groups[1].User != "" || r.Groups[1].Cost != 0.2 {
		t.Errorf("%+v", r.Groups)
	}
	if r.Total.Cost != 3.2 || r.Total.Unpriced != 500 {
		t.Errorf("%+v", r.Total)
	}
}
